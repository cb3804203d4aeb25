"""Labels: what is known of the ground, as a mask on any grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS

from geoseg.errors import LabelError, LegendError, SceneError
from geoseg.geo.geometry import Geometries, buffer_metres, is_polygonal, repair
from geoseg.geo.grid import Grid
from geoseg.geo.label_sources import LabelSource, PolygonSource, RasterSource
from geoseg.geo.legend import Legend
from geoseg.geo.matching import (
    legend_of_attributes,
    legend_of_names,
    match_attributes,
    names_numbers,
    pack_colors,
    raster_colors,
)
from geoseg.geo.palettes import read_raster_palette
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.remote import is_remote
from geoseg.geo.values import list_counts
from geoseg.geo.vector import VECTOR_SUFFIXES, crs_of, read_features, vector_layers

logger = logging.getLogger(__name__)

RASTER_SUFFIXES = (".tif", ".tiff", ".png", ".img", ".jp2", ".vrt", ".bmp", ".asc", ".npy")
"""Suffixes of label rasters that are looked for in a folder; JPEG, which blurs classes, is not."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How a label file is to be looked at."""

    field: str | None = None
    """Attribute of the polygons that tells the class; None where all are of one class."""

    layer: str | None = None
    """Layer of a file with several."""

    buffer: float | None = None
    """Metres by which points and lines are widened to polygons; None refuses them."""

    skip_thin: bool = False
    """Whether points and lines that no `buffer` widens are left out, and not refused."""

    extent: str | None = None
    """File of polygons in which labelling is complete; outside of them nothing is known."""

    assume_crs: str | None = None
    """CRS of a label file that has none; `none` takes it in plain pixels."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Labels of one file, burned or aligned onto any grid.

    No open file is held: labels can be passed to threads and processes.
    """

    path: str
    """The file, as the user wrote it."""

    legend: Legend
    """The classes of the masks: as given, or made of what the file holds."""

    source: LabelSource
    """The raster or the polygons."""

    extent: PolygonSource | None = None
    """Where labelling is complete (value 1); None: everywhere that the file covers."""

    skipped: int = 0
    """Points and lines that were left out."""

    @classmethod
    def open(
        cls, path: str | Path, legend: Legend | None, options: LabelOptions | None = None
    ) -> Labels:
        """Look at a label file, raster or vector.

        Args:
            path: The file.
            legend: The classes; None makes a legend of what the file holds.
            options: How to look at it.

        Raises:
            LabelError: If the file cannot be read, is empty, or does not fit the legend.
            LegendError: If no legend can be made of it, or its colours are ambiguous.
        """
        path, options = str(path), options or LabelOptions()
        open_source = _open_polygons if is_vector(path) else _open_raster
        legend, source = open_source(path, legend, options)
        extent = None if options.extent is None else _open_extent(options)
        return cls(path=path, legend=legend, source=source, extent=extent)

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        """The classes on a grid.

        Args:
            grid: Any grid; georeferenced as the labels are.

        Returns:
            Class values (height, width) of type `legend.dtype`. Polygons: by the pixel's centre,
            the last one wins; ground that none covers is background, or `ignore` where the
            legend has no background. Raster: the nearest pixel; `ignore` outside of it and where
            it has no data. Everywhere `ignore` outside of the extent.

        Raises:
            LabelError: If values are found that mean no class, or only one of both has a CRS.
        """
        mask = self.source.mask(grid)
        if self.extent is not None:
            mask[self.extent.mask(grid) == 0] = self.legend.ignore
        return mask

    def numbers(self, grid: Grid) -> npt.NDArray[Any] | None:
        """Which polygon shows at each pixel, from 1, so that those that touch are told apart.

        Returns:
            (height, width) int32, 0 where there is none; None where the labels are a raster.
        """
        return self.source.numbers(grid) if isinstance(self.source, PolygonSource) else None

    def touches(self, grid: Grid) -> bool:
        """Whether the labels reach the grid, so that its background is one that was looked at.

        Raises:
            LabelError: If only one of both has a CRS.
        """
        if self.extent is not None:
            return self.extent.reaches(grid)
        return self.source.touches(grid)

    def check(self) -> None:
        """Look for values that mean no class in the whole file, and not window by window.

        Raises:
            LabelError: If there are any; they are listed with their counts.
        """
        self.source.check()


def find_labels(labels: str, scenes: Sequence[str]) -> list[str]:
    """Find the label file of each scene.

    Args:
        labels: One file for all; or a folder with a file of each scene's stem (`a.png` for
            `a.tif`); or a pattern with `{stem}`, such as `masks/{stem}_mask.tif`.
        scenes: Paths of the scenes.

    Returns:
        One path for each scene.

    Raises:
        LabelError: If a scene has no label file, or a folder has several for it.
    """
    labels = labels if is_remote(labels) else os.path.expanduser(labels)
    if "{stem}" in labels:
        paths = [labels.replace("{stem}", _stem(scene)) for scene in scenes]
        for path, scene in zip(paths, scenes, strict=True):
            if not is_remote(path) and not Path(path).exists():
                raise LabelError(scene, f"has no labels: {path} does not exist", "Check --labels")
        return paths
    if not is_remote(labels) and not Path(labels).exists():
        raise LabelError(labels, "does not exist", "Give a label file, a folder, or use {stem}")
    # A file geodatabase is a folder, too.
    if is_remote(labels) or Path(labels).is_file() or labels.rstrip("/").endswith(".gdb"):
        return [labels] * len(scenes)
    if not Path(labels).is_dir():
        raise LabelError(labels, "is a device or pipe", "Write it to a file first")
    files = _files_by_stem(Path(labels))
    return [_find_by_stem(Path(labels), files, scene) for scene in scenes]


def is_vector(path: str) -> bool:
    """Whether a label file is taken for a vector file: by its suffix, or by what is in it."""
    suffix = Path(path).suffix.lower()
    if suffix == ".gpkg" and Path(path).is_file():
        return bool(vector_layers(path)) or Path(path).stat().st_size == 0
    return suffix in VECTOR_SUFFIXES


def _stem(scene: str) -> str:
    return Path(scene.rstrip("/")).stem


def _files_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The label files of a folder, looked at once for however many scenes."""
    known = (*RASTER_SUFFIXES, *VECTOR_SUFFIXES)
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in known:
            files.setdefault(file.stem, []).append(file)
    return files


def _find_by_stem(folder: Path, files: Mapping[str, Sequence[Path]], scene: str) -> str:
    found = [
        file
        for file in files.get(_stem(scene), ())
        if not (Path(scene).exists() and file.samefile(scene))
    ]
    if not found:
        raise LabelError(
            scene,
            f"has no labels: no {_stem(scene)}.* in {folder}",
            "Name them like the scenes, or give a pattern such as masks/{stem}_mask.tif",
        )
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise LabelError(
            scene, f"has several label files in {folder}: {names}", "Give a pattern with {stem}"
        )
    return str(found[0])


def _open_raster(
    path: str, legend: Legend | None, options: LabelOptions
) -> tuple[Legend, LabelSource]:
    scene_options = SceneOptions(assume_crs=options.assume_crs, resampling="nearest")
    try:
        scene = Scene.open(path, scene_options)
    except SceneError as error:
        raise LabelError(error.subject, error.problem, error.cure) from error
    if scene.count not in (1, 3) or (scene.count == 3 and scene.dtype != "uint8"):
        raise LabelError(
            path,
            f"has {scene.count} bands of {scene.dtype}",
            "Give one band of class values, or red, green and blue of the legend's colours",
        )
    if legend is None:
        legend = _legend_of_raster(scene)
        return legend, RasterSource(scene, legend, by_color=False)
    by_color = scene.count == 3 or _has_colors_of(scene, legend)
    if by_color:
        raster_colors(legend)
    return legend, RasterSource(scene, legend, by_color=by_color)


def _legend_of_raster(scene: Scene) -> Legend:
    """A legend of the names and colours of a raster, or else of its values."""
    if scene.count == 3:
        found = RasterSource(scene, Legend.of_values([0]), by_color=True).counts()
        counted = {f"#{color:06x}": count for color, count in found.items()}
        raise LegendError(
            scene.path,
            f"is coloured ({list_counts(counted, 'pixels')}) and no legend tells what means what",
            "Give a legend with these colours",
        )
    try:
        entries = read_raster_palette(Path(scene.path))
    except LegendError:
        entries = []
    if entries:
        names = {entry.value: entry.name for entry in entries if entry.name}
        colors = {e.value: _rgb(e.color) for e in entries if e.color is not None}
        return Legend.of_values([entry.value for entry in entries], names, colors)
    values = set(RasterSource(scene, Legend.of_values([0]), by_color=False).counts())
    # The largest value of the type is how masks say that a pixel is not labelled.
    values -= {np.iinfo(scene.dtype).max} if scene.dtype in ("uint8", "uint16") else set()
    if not values:
        raise LabelError(scene.path, "has no labelled pixel", "Check the file")
    return Legend.of_values(values)


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _has_colors_of(scene: Scene, legend: Legend) -> bool:
    """Whether all colours that occur in a paletted raster are the legend's.

    Palette indices mean nothing by themselves, so matching colours are better evidence than
    matching numbers; but a `from` with numbers tells what they mean.
    """
    if scene.colormap is None or names_numbers(legend):
        return False
    if len({entry.color for entry in legend.classes}) < legend.count:
        return False
    own = zip(legend.values, legend.colors, strict=True)
    if all(scene.colormap.get(value, ())[:3] == color for value, color in own):
        return False
    used = RasterSource(scene, legend, by_color=False).counts()
    known = raster_colors(legend)
    colors = [pack_colors(np.array(scene.colormap[v][:3]).reshape(3, 1)).item() for v in used]
    by_color = all(color in known for color in colors)
    if by_color and any(known[c] != v for c, v in zip(colors, used, strict=True)):
        logger.info("%s: its palette has the legend's colours; they tell the classes", scene.path)
    return by_color


def _open_polygons(
    path: str, legend: Legend | None, options: LabelOptions
) -> tuple[Legend, LabelSource]:
    columns = [options.field] if options.field is not None else []
    frame = read_features(path, options.layer, columns, options.assume_crs)
    geometries, kept = _polygons(path, frame.geometry.to_numpy(), crs_of(frame), options)
    geometries = geometries[kept]
    if options.field is None:
        legend = legend or legend_of_names([options.layer or Path(path).stem])
        values = np.full(len(geometries), _only_class(path, legend), dtype=np.uint16)
    else:
        attributes = frame[options.field].to_numpy(dtype=object)[kept]
        legend = legend or legend_of_attributes(attributes, path, options.field)
        values = match_attributes(attributes, legend, path, options.field)
    source = PolygonSource(
        path, geometries, values, crs_of(frame), _fill(path, legend, values), legend.dtype
    )
    return legend, source


def _open_extent(options: LabelOptions) -> PolygonSource:
    path = str(options.extent)
    frame = read_features(path, columns=[], assume_crs=options.assume_crs)
    geometries, kept = _polygons(path, frame.geometry.to_numpy(), crs_of(frame), LabelOptions())
    ones = np.ones(int(kept.sum()), dtype=np.uint8)
    return PolygonSource(path, geometries[kept], ones, crs_of(frame), 0, "uint8")


def _polygons(
    path: str,
    geometries: Geometries,
    crs: CRS | None,
    options: LabelOptions,
) -> tuple[Geometries, npt.NDArray[np.bool_]]:
    """Valid polygons of all features, and which of them have one."""
    geometries, found = repair(geometries)
    buffer = options.buffer
    if found.thin and buffer is None and not options.skip_thin:
        raise LabelError(
            path,
            f"{found.thin} features are points or lines, which cover no ground",
            "Give --label-buffer METRES to widen them",
        )
    if found.thin and buffer is not None:
        geometries = _widen(path, geometries, crs, buffer)
    kept = is_polygonal(geometries)
    if not kept.any():
        raise LabelError(path, "has no polygons", "Check that the right layer was exported")
    if str(found):
        logger.info("%s: %s", path, found)
    return geometries, kept


def _widen(path: str, geometries: Geometries, crs: CRS | None, buffer: float) -> Geometries:
    if not buffer > 0:
        raise LabelError("--label-buffer", f"{buffer} m is not above 0", "Give metres above 0")
    thin = ~shapely.is_missing(geometries) & ~is_polygonal(geometries)
    logger.info("%s: %d points or lines widened by %g m", path, thin.sum(), buffer)
    result = geometries.copy()
    if crs is None:
        result[thin] = shapely.buffer(geometries[thin], buffer)
    else:
        result[thin] = buffer_metres(geometries[thin], crs, buffer)
    return result


def _only_class(path: str, legend: Legend) -> int:
    """The class of polygons that nothing tells apart."""
    if len(legend.foreground) != 1:
        raise LabelError(
            path,
            f"its polygons may be any of {legend.count} classes ({', '.join(legend.names)})",
            "Name the attribute that tells them apart by --label-field",
        )
    return legend.foreground[0].value


def _fill(path: str, legend: Legend, values: npt.NDArray[np.uint16]) -> int:
    """What ground without a polygon is: background, unless polygons tell where that is."""
    if legend.background is None:
        return legend.ignore
    if (values == legend.background.value).any():
        logger.info(
            '%s: has polygons of "%s"; ground without a polygon is taken as unknown',
            path,
            legend.background.name,
        )
        return legend.ignore
    return legend.background.value
