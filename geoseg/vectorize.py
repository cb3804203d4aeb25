"""Job: a class raster becomes polygons with class, true area, perimeter and confidence."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError
from geoseg.geo.classes import class_values, legend_of_classes, open_classes, strips
from geoseg.geo.legend import Legend
from geoseg.geo.merging import fill_holes, merge_small_regions
from geoseg.geo.outputs import check_output
from geoseg.geo.polygon_files import write_polygons
from geoseg.geo.polygon_formats import polygon_driver
from geoseg.geo.polygons import polygonize_regions
from geoseg.geo.probabilities import Probabilities
from geoseg.geo.raster import Scene
from geoseg.geo.regions import Regions, label_regions
from geoseg.geo.values import count_values
from geoseg.progress import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VectorizeOptions:
    """What becomes a polygon, and how much it is generalised."""

    classes: tuple[str | int, ...] | None = None
    """Names or values of the classes that become polygons; None for all."""

    min_area: float = 0.0
    """Square metres (pixels without a CRS); smaller regions go to the neighbouring class with
    the longest shared border."""

    fill_holes: float = 0.0
    """Square metres (pixels without a CRS); smaller holes go to the class around them."""

    simplify: float = 0.0
    """Tolerance in metres (pixels without a CRS); shared borders stay shared."""

    scene: str | None = None
    """What the column `scene` says; None for the file name of the class raster."""

    assume_crs: str | None = None
    """CRS of a class raster that has none; without it, it is taken as a plain image."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""

    def __post_init__(self) -> None:
        for name in ("min_area", "fill_holes", "simplify"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(option, f"{value} is not 0 or more", "Give 0 for none")


@dataclass(frozen=True, kw_only=True)
class VectorizeResult:
    """What was written."""

    path: Path
    """The file of polygons."""

    polygons: int
    """How many there are."""

    counts: dict[str, int]
    """Polygons of each class that has some."""

    areas: dict[str, float]
    """Area of each class that has some, in `unit`."""

    unit: str
    """`m2`, or `pixels` where the class raster has no CRS."""


def vectorize(
    classes: str | Path,
    output: str | Path,
    options: VectorizeOptions | None = None,
    *,
    probabilities: str | Path | None = None,
    legend: Legend | str | Path | None = None,
    progress: Progress | None = None,
) -> VectorizeResult:
    """Turn a class raster into polygons that form a coverage without gaps or overlaps.

    Regions are 4-connected. Merging of small regions and filling of holes come first, on the
    pixels; so before simplification the polygons of a class hold exactly its pixels.

    Args:
        classes: The class raster; nodata and the legend's `ignore` never become polygons.
        output: `.gpkg`, `.fgb`, `.parquet`, `.geojson` or `.shp`.
        options: What becomes a polygon.
        probabilities: Raster of one band per class on the same grid, for `mean_prob`.
        legend: The classes, or a file that tells them; by default what the raster and the
            files beside it tell, else classes named by their values.
        progress: Where to tell how far it is.

    Returns:
        What was written; an empty layer where there is nothing to draw.

    Raises:
        OutputError: If the output cannot or must not be written there.
        SceneError: If a raster cannot be read, does not hold classes, or has another grid.
        LegendError: If the legend cannot be read, or lacks a class asked for.
        LabelError: If the raster holds values that are not in the legend.
        ConfigError: If an option makes no sense.
    """
    options, progress = options or VectorizeOptions(), progress or Progress()
    classes = os.fspath(classes)
    inputs = [classes] if probabilities is None else [classes, os.fspath(probabilities)]
    path = check_output(output, overwrite=options.overwrite, inputs=inputs)
    polygon_driver(path)
    scene = open_classes(classes, options.assume_crs)
    if scene.grid.crs is None:
        logger.warning("%s: has no CRS; positions, areas, perimeters are in pixels", classes)
    legend = legend_of_classes(scene, legend)
    chosen = [legend.class_of(name).value for name in options.classes or legend.values]
    bands = None if probabilities is None else _probabilities(probabilities, legend, scene)
    with progress.task("vectorize", total=4, unit="step") as task:
        values = _generalised(_read(scene, legend), scene, legend, options)
        task.advance()
        regions = label_regions(values, scene.grid.row_areas())
        frame = polygonize_regions(regions, scene.grid, legend.ignore, simplify=options.simplify)
        task.advance()
        frame = _attributed(frame, regions, legend, bands)
        frame["scene"] = options.scene or Path(classes).name
        frame = frame[frame["class_id"].isin(chosen)].reset_index(drop=True)
        task.advance()
        write_polygons(path, frame, legend=legend, overwrite=options.overwrite)
        task.advance()
    return _result(path, frame, scene)


def _probabilities(path: str | Path, legend: Legend, scene: Scene) -> Probabilities:
    found = Probabilities.open(os.fspath(path), legend, scene.options)
    found.check(scene.grid)
    return found


def _read(scene: Scene, legend: Legend) -> npt.NDArray[Any]:
    """Read all classes, with the legend's `ignore` where there is no data."""
    values = np.empty(scene.grid.shape, legend.dtype)
    counts: Counter[int] = Counter()
    for window in strips(scene):
        raster = scene.read(window)
        counts.update(count_values(raster.data[0][raster.valid]))
        values[window.toslices()] = class_values(raster.data[0], raster.valid, legend)
    legend.check(counts, scene.path)
    return values


def _generalised(
    values: npt.NDArray[Any], scene: Scene, legend: Legend, options: VectorizeOptions
) -> npt.NDArray[Any]:
    if options.min_area > 0:
        values = merge_small_regions(values, scene.grid, options.min_area, legend.ignore)
    if options.fill_holes > 0:
        values = fill_holes(values, scene.grid, options.fill_holes, legend.ignore)
    return values


def _attributed(
    frame: geopandas.GeoDataFrame, regions: Regions, legend: Legend, bands: Probabilities | None
) -> geopandas.GeoDataFrame:
    """Add names and mean probabilities; `frame`'s index is the number of the region."""
    names = dict(zip(legend.values, legend.names, strict=True))
    frame.insert(1, "class_name", frame["class_id"].map(names).astype("str"))
    means = np.full(len(regions.values), np.nan)
    if bands is not None:
        means = bands.means(regions, legend.ignore)
    frame["mean_prob"] = means[frame.index]
    return frame


def _result(path: Path, frame: geopandas.GeoDataFrame, scene: Scene) -> VectorizeResult:
    if frame.empty:
        logger.warning("%s: no polygons; the layer is empty", path)
    by_class = frame.groupby("class_name", sort=False)
    return VectorizeResult(
        path=path,
        polygons=len(frame),
        counts={str(name): int(count) for name, count in by_class.size().items()},
        areas={str(name): float(area) for name, area in by_class["area_m2"].sum().items()},
        unit="pixels" if scene.grid.crs is None else "m2",
    )
