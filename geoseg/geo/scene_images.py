"""Images of the ground that class rasters were made of, to be shown beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.raster import Raster, Scene, SceneOptions
from geoseg.geo.remote import is_remote

_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".vrt", ".img", ".bmp")
_CURE = "Give a folder with files of the same names or stems, or a pattern with {stem}"


@dataclass(frozen=True)
class SceneImage:
    """A scene of which at most three bands are read, on the grid of a map."""

    scene: Scene
    """Red, green and blue, or one band."""

    grid: Grid
    """Of the map."""

    @classmethod
    def open(cls, path: str, grid: Grid, assume_crs: str | None = None) -> SceneImage:
        """Look at an image.

        Args:
            path: Its file.
            grid: Of the map that it is shown beside.
            assume_crs: CRS of an image that has none.

        Raises:
            SceneError: If it cannot be read, or cannot be laid beside the map.
            ConfigError: If `assume_crs` is no CRS.
        """
        if assume_crs is None and grid.crs is None:
            assume_crs = "none"
        scene = Scene.open(path, SceneOptions(assume_crs=assume_crs, resampling="average"))
        if scene.is_paletted:
            scene = Scene.open(path, replace(scene.options, expand_palette=True))
        else:
            bands = tuple(scene.bands[index] for index in shown_bands(scene))
            scene = Scene.open(path, replace(scene.options, bands=bands))
        if None in (scene.grid.crs, grid.crs) and scene.grid.shape != grid.shape:
            height, width = scene.grid.shape
            raise SceneError(
                path,
                f"has {width} x {height} pixels, the map {grid.width} x {grid.height}, and one of "
                "both has no CRS",
                "Give images of the map's pixels, or with a CRS",
            )
        return cls(scene, grid)

    @property
    def is_natural(self) -> bool:
        """Whether it shows red, green and blue, whose balance is to be kept."""
        return self.scene.band_names == ("red", "green", "blue")

    def read(self, window: Window) -> Raster:
        """The pixels in a window of the map.

        Raises:
            SceneError: If the image is broken there.
        """
        own, grid = self.scene.grid, self.grid
        if own.shape == grid.shape and (None in (own.crs, grid.crs) or own.matches(grid)):
            return self.scene.read(window)
        return self.scene.read_onto(grid.crop(window))


def shown_bands(scene: Scene) -> list[int]:
    """Places of the bands that are drawn: red, green, blue; the first three; or the first."""
    names = [name.lower() for name in scene.band_names]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(color) for color in ("red", "green", "blue")]
    return [0, 1, 2] if scene.count >= 3 else [0]


def find_images(given: str, predictions: Sequence[str]) -> list[str]:
    """Find the image of each map.

    Args:
        given: A file, that shows all of them; or a folder with an image of each map's name, or
            else its stem; or a pattern with `{stem}`, such as `scenes/{stem}_rgb.tif`.
        predictions: Paths of the class rasters.

    Returns:
        One path for each.

    Raises:
        SceneError: If one does not exist.
    """
    if "{stem}" in given:
        paths = [given.replace("{stem}", _stem(each)) for each in predictions]
    elif Path(given).is_dir():
        paths = [_in_folder(Path(given), each) for each in predictions]
    else:
        paths = [given] * len(predictions)
    for path, prediction in zip(paths, predictions, strict=True):
        if not is_remote(path) and not Path(path).exists():
            raise SceneError(prediction, f"has no image: {path} does not exist", _CURE)
    return paths


def _stem(path: str) -> str:
    return Path(path.rstrip("/")).stem


def _in_folder(folder: Path, prediction: str) -> str:
    """The file of a map's name, or else of its stem, but never the map itself."""
    name, stem = Path(prediction.rstrip("/")).name, _stem(prediction)
    names = [name, *(stem + suffix for suffix in _SUFFIXES)]
    for path in (folder / each for each in names):
        itself = path.exists() and Path(prediction).exists() and path.samefile(prediction)
        if path.exists() and not itself:
            return str(path)
    raise SceneError(prediction, f"has no image: no {stem}.* in {folder}", _CURE)
