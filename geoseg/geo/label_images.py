"""Label images of any making: gray, coloured or paletted rasters, and arrays of MATLAB files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.windows import Window

from geoseg.errors import ConfigError, LabelError, SceneError
from geoseg.geo.classes import strips
from geoseg.geo.gdal import limit_block_cache, open_dataset
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.mat_labels import read_mat_labels
from geoseg.geo.matching import names_numbers, raster_colors, raster_values
from geoseg.geo.paths import SUFFIXES, find_scenes
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.recolor import VALUES, Reading, gray_color, pack, pack_rgb
from geoseg.geo.scene_place import assumed_crs
from geoseg.geo.values import count_values, list_counts

logger = logging.getLogger(__name__)

LABEL_SUFFIXES = (*SUFFIXES, ".mat")
"""What counts as a label image where a folder is given."""

_LEAST_CACHE, _BLOCK_ROWS = 64 << 20, 4 * 512
"""Bytes of GDAL's cache, and rows of three bands that it is to hold at least."""

_LOSSY = ("jpeg", "webp")
"""Compressions that change colours; as parts of what rasterio calls them."""


@dataclass(frozen=True, kw_only=True)
class LabelImage:
    """A label image that can be read window by window."""

    path: str
    """As the user wrote it."""

    grid: Grid
    """Its pixels."""

    scene: Scene | None
    """The raster; None for an array."""

    array: npt.NDArray[Any] | None = None
    """The array (height, width) of a MATLAB file."""

    is_rgb: bool = False
    """Whether it has red, green and blue."""

    @property
    def palette(self) -> dict[int, int]:
        """Packed colours by value, of a paletted raster."""
        table = self.scene.colormap if self.scene is not None else None
        return {value: pack(color) for value, color in (table or {}).items()}

    def windows(self) -> list[Window]:
        """Whole rows from the top down, few enough at a time to keep memory bounded."""
        return [self.grid.window] if self.scene is None else strips(self.scene)

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Values or packed colours (height, width) of a window, and where they are shown.

        Raises:
            LabelError: If there are values that no class can have.
            SceneError: If the file is damaged.
        """
        if self.array is not None or self.scene is None:
            keys = self.array if self.array is not None else np.zeros(self.grid.shape, np.uint8)
            return keys, np.ones(keys.shape, bool)
        raster = self.scene.read(window)
        if self.is_rgb:
            return pack_rgb(raster.data), raster.valid
        return _as_values(raster.data[0], raster.valid, self.path), raster.valid

    def counts(self) -> Counter[int]:
        """Pixels of each value that is shown, of an image that is not RGB.

        Raises:
            LabelError: If there are values that no class can have.
            SceneError: If the file is damaged.
        """
        found: Counter[int] = Counter()
        for window in self.windows():
            keys, valid = self.read(window)
            found.update(count_values(keys[valid]))
        return found


def bound_cache(width: int) -> None:
    """Keep GDAL from holding 5 % of the machine's memory: blocks are read once."""
    limit_block_cache(max(_LEAST_CACHE, 3 * _BLOCK_ROWS * width))


def find_label_images(paths: Sequence[str]) -> list[str]:
    """Turn what a user typed into label images; folders give their rasters and `.mat` files.

    Raises:
        SceneError: If an entry stands for no file.
    """
    return find_scenes(paths, LABEL_SUFFIXES)


def open_label_image(
    path: str, *, assume_crs: str | None = None, variable: str | None = None, lossy: bool = False
) -> LabelImage:
    """Look at a label image.

    Args:
        path: A raster of one band, or of red, green and blue; or a `.mat` file.
        assume_crs: CRS of a raster that has none; None takes it as a plain image.
        variable: Name of the array in a `.mat` file.
        lossy: Whether a compression that changes colours is let pass, with a warning.

    Raises:
        LabelError: If it cannot be read, has other bands or types, or was compressed with loss.
        ConfigError: If `assume_crs` is no CRS.
    """
    assumed_crs(assume_crs)
    if path.lower().endswith(".mat"):
        array = read_mat_labels(path, variable)
        height, width = array.shape
        grid = Grid(height=height, width=width, transform=Affine.identity(), crs=None)
        return LabelImage(path=path, grid=grid, scene=None, array=array)
    try:
        scene = open_plain(path, assume_crs, lossy=lossy)
    except SceneError as error:
        raise LabelError(error.subject, error.problem, error.cure) from error
    is_integer = np.dtype(scene.dtype).kind in "ui"
    is_rgb = scene.count == 3 and scene.dtype == "uint8"
    if not is_rgb and not (scene.count == 1 and is_integer):
        raise LabelError(
            path,
            f"has {scene.count} bands of {scene.dtype}",
            "Give one band of whole numbers, or red, green and blue of 8 bits",
        )
    if scene.validity == "mask":
        logger.info("%s: what its alpha or mask band hides is taken as not labelled", path)
    return LabelImage(path=path, grid=kept_grid(scene), scene=scene, is_rgb=is_rgb)


def open_plain(path: str, assume_crs: str | None = None, *, lossy: bool = True) -> Scene:
    """Open a raster; one without CRS and place is taken as a plain image.

    Raises:
        SceneError: If it cannot be read, or was compressed with loss and that is not let pass.
        ConfigError: If `assume_crs` is no CRS.
    """
    with open_dataset(path) as dataset:
        if assume_crs is None and dataset.crs is None:
            assume_crs = "none"
        compression = dataset.compression.value.lower() if dataset.compression else ""
        if dataset.driver == "JPEG" or any(name in compression for name in _LOSSY):
            _tell_loss(path, compression or "jpeg", lossy=lossy)
    return Scene.open(path, SceneOptions(assume_crs=assume_crs, resampling="nearest"))


def kept_grid(scene: Scene) -> Grid:
    """The grid of a copy; a place without a CRS, as world files tell it, is kept too."""
    if scene.grid.crs is not None:
        return scene.grid
    with open_dataset(scene.path) as dataset:
        return replace(scene.grid, transform=dataset.transform)


def choose_reading(
    images: Sequence[LabelImage], legend: Legend, unlabelled: int, wanted: Reading | None = None
) -> Reading:
    """Find out whether one-band images hold the legend's values or its colours.

    Grays and palettes can be both. All images are looked at together, so that a mask without
    buildings is not read otherwise than its neighbour.

    Args:
        images: Label images; those of red, green and blue are passed over.
        legend: The classes.
        unlabelled: Packed colour of pixels that are not labelled.
        wanted: What the user said; then nothing is read.

    Raises:
        ConfigError: If both readings fit and do not give the same classes, or an RGB image is to
            be read by value.
        LabelError: If there are values that no class can have.
    """
    colored = next((image for image in images if image.is_rgb), None)
    if colored is not None and wanted == "value":
        raise ConfigError(
            "--by", f"value: {colored.path} is red, green and blue", "Give --by color"
        )
    banded = [image for image in images if not image.is_rgb]
    if wanted is not None or not banded:
        return wanted or "color"
    palettes = [image.palette for image in banded]
    if all(_tells_values(palette, legend) for palette in palettes):
        return "value"
    counts: Counter[tuple[int, int]] = Counter()
    for image, palette in zip(banded, palettes, strict=True):
        for value, pixels in image.counts().items():
            color = palette.get(value, -1) if palette else gray_color(value)
            counts[value, color] += pixels
    return _decide(counts, legend, unlabelled, is_paletted=all(palettes))


def color_keys(legend: Legend, unlabelled: int) -> dict[int, int]:
    """Class value by packed colour, with that of pixels that are not labelled."""
    return {unlabelled: legend.ignore} | raster_colors(legend)


def value_keys(legend: Legend) -> dict[int, int]:
    """Class value by raster value, as far as 16 bits go."""
    return {key: value for key, value in raster_values(legend).items() if 0 <= key < VALUES}


def band_color_keys(image: LabelImage, by_color: dict[int, int]) -> dict[int, int]:
    """Class value by raster value of a gray or paletted image that is read by colour."""
    palette = image.palette or {value: gray_color(value) for value in range(256)}
    return {value: by_color[color] for value, color in palette.items() if color in by_color}


def _tells_values(palette: dict[int, int], legend: Legend) -> bool:
    """Whether a palette gives the legend's own values the legend's colours."""
    own = zip(legend.values, legend.colors, strict=True)
    return not names_numbers(legend) and all(palette.get(v) == pack(color) for v, color in own)


def _decide(
    counts: Counter[tuple[int, int]], legend: Legend, unlabelled: int, *, is_paletted: bool
) -> Reading:
    by_value, by_color = value_keys(legend), color_keys(legend, unlabelled)
    lost = {
        "value": sum(n for (value, _), n in counts.items() if value not in by_value),
        "color": sum(n for (_, color), n in counts.items() if color not in by_color),
    }
    agree = all(by_value.get(value) == by_color.get(color) for value, color in counts)
    reading: Literal["value", "color"] = "value" if lost["value"] <= lost["color"] else "color"
    if lost["value"] == lost["color"] == 0 and not agree:
        if not is_paletted or names_numbers(legend):
            found = dict.fromkeys(value for value, _ in counts)
            raise ConfigError(
                "--by",
                f"the values {', '.join(map(str, sorted(found)))} fit the legend both as values "
                "and as colours, with unlike classes",
                "Give --by value or --by color",
            )
        reading = "color"  # Places in a palette mean nothing by themselves.
    if reading == "color":
        logger.info("the label images hold the legend's colours, and are read by them")
    return reading


def _as_values(data: npt.NDArray[Any], valid: npt.NDArray[np.bool_], path: str) -> npt.NDArray[Any]:
    """Values that 16 bits can hold; 0 where they are hidden."""
    if data.dtype in (np.uint8, np.uint16):
        return data
    shown = np.where(valid, data, 0)
    outside = (shown < 0) | (shown >= VALUES)
    if outside.any():
        found = list_counts(count_values(shown[outside]), "pixels")
        raise LabelError(path, f"holds values that no class has: {found}", "Classes are 0 to 65534")
    return shown.astype(np.uint16)


def _tell_loss(path: str, compression: str, *, lossy: bool) -> None:
    problem = f"is compressed by {compression.upper()}, which changes colours and values"
    if not lossy:
        raise SceneError(path, problem, "Give the original, or --unknown nearest")
    logger.warning("%s: %s", path, problem)


def iterate(image: LabelImage) -> Iterator[tuple[Window, npt.NDArray[Any], npt.NDArray[np.bool_]]]:
    """Windows of an image with their keys, and where they are shown."""
    for window in image.windows():
        yield window, *image.read(window)
