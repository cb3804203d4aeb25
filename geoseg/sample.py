"""Job: places of a class raster are drawn by lot, for somebody to tell what is really there."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.classes import class_values, legend_of_classes, open_classes, strips
from geoseg.geo.legend import Legend
from geoseg.geo.output_lock import writing
from geoseg.geo.raster import Raster, Scene
from geoseg.geo.remote import file_name
from geoseg.geo.sample_design import Picks, allocate, draw
from geoseg.geo.sample_file import check_sample_path, write_sample
from geoseg.geo.sample_points import FIELD, LEAST
from geoseg.geo.values import count_values
from geoseg.progress import Progress, Task

logger = logging.getLogger(__name__)

_SEEDS = 2**63


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How many places are drawn, and what their file tells."""

    count: int = 500
    """Points in all."""

    min_per_class: int = 50
    """Points of each class of the map at least; the others are dealt in proportion to area."""

    seed: int = 0
    """Equal seeds draw equal points of equal maps."""

    show_class: bool = False
    """Whether the map's class stands in the file; an interpreter who knows it is biased."""

    assume_crs: str | None = None
    """CRS of a class raster that has none; without it, it is taken as a plain image."""

    overwrite: bool = False
    """Whether an existing file may be replaced."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError("--count", f"{self.count} is below 1", "Give a number of points")
        if self.min_per_class < LEAST:
            raise ConfigError(
                "--min-per-class",
                f"{self.min_per_class} is below {LEAST}",
                "Without two points of a class its error cannot be told",
            )
        if not 0 <= self.seed < _SEEDS:
            raise ConfigError("--seed", f"{self.seed} is not 0 or more", "Give another")


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """What was drawn."""

    path: Path
    """The file of points."""

    points: dict[str, int]
    """Points of each class of the map."""

    areas: dict[str, float]
    """Area of each class of the map, in `unit`."""

    unit: str
    """`m2`, or `pixels` where the class raster has no CRS."""


def sample(
    classes: str | Path,
    output: str | Path,
    options: SampleOptions | None = None,
    *,
    legend: Legend | str | Path | None = None,
    progress: Progress | None = None,
) -> SampleResult:
    """Draw a random sample of places, stratified by the classes of a map.

    The raster is read twice, a few rows at a time: to count, and to find the pixels drawn.

    Args:
        classes: The class raster; nodata and the legend's `ignore` are never drawn.
        output: GeoPackage of points in the centres of pixels, in an order by lot: `id`,
            `reference` (empty, for the interpreter), `scene`, and `map_class` if asked for.
        options: How many, and how.
        legend: The classes, or a file that tells them; by default what the raster and the
            files beside it tell, else classes named by their values.
        progress: Where to tell how far it is.

    Returns:
        What was drawn.

    Raises:
        OutputError: If the output cannot or must not be written there.
        SceneError: If the raster cannot be read, does not hold classes, or has no pixel of any.
        LegendError: If the legend cannot be read.
        LabelError: If the raster holds values that are not in the legend.
        ConfigError: If an option makes no sense, or `count` is too few for all classes.
    """
    options, progress = options or SampleOptions(), progress or Progress()
    classes = os.fspath(classes)
    path = check_sample_path(output, overwrite=options.overwrite, inputs=[classes])
    scene = open_classes(classes, options.assume_crs)
    legend = legend_of_classes(scene, legend)
    row_areas = scene.grid.row_areas()
    with writing(path):
        with progress.task("sample", total=2 * len(strips(scene)), unit="strip") as task:
            counts = _count(scene, legend, task)
            pixels, areas = counts.sum(axis=0), row_areas @ counts
            if not pixels.any():
                raise SceneError(classes, "has no pixel with a class", "Check the file")
            points = allocate(areas, pixels, options.count, options.min_per_class)
            _warn(classes, legend, points, options)
            picks = draw(counts, row_areas, points, options.seed)
            cols = _find(scene, legend, picks, task)
        frame = _frame(scene, legend, picks, cols, show_class=options.show_class)
        write_sample(path, frame, FIELD, legend)
    return SampleResult(
        path=path,
        points=dict(zip(legend.names, points.tolist(), strict=True)),
        areas=dict(zip(legend.names, areas.tolist(), strict=True)),
        unit="pixels" if scene.grid.crs is None else "m2",
    )


def _count(scene: Scene, legend: Legend, task: Task) -> npt.NDArray[np.int64]:
    """Pixels of each class in each row: (height, C)."""
    counts = np.zeros((scene.grid.height, legend.count), np.int64)
    for window in strips(scene):
        raster = scene.read(window)
        legend.check(count_values(raster.data[0][raster.valid]), scene.path)
        indices = _indices(raster, legend)
        for index in range(legend.count):
            counts[window.row_off : window.row_off + window.height, index] = np.count_nonzero(
                indices == index, axis=1
            )
        task.advance()
    return counts


def _find(scene: Scene, legend: Legend, picks: Picks, task: Task) -> npt.NDArray[np.int64]:
    """The column (n,) of each pixel that was drawn; rows without any are not read again."""
    cols = np.full(len(picks.rows), -1)
    for window in strips(scene):
        first, last = window.row_off, window.row_off + window.height
        here = np.flatnonzero((picks.rows >= first) & (picks.rows < last))
        if here.size:
            indices = _indices(scene.read(window), legend)
            for place in here:
                own = indices[picks.rows[place] - first] == picks.classes[place]
                cols[place] = np.flatnonzero(own)[picks.ordinals[place]]
        task.advance()
    return cols


def _indices(raster: Raster, legend: Legend) -> npt.NDArray[Any]:
    return legend.encode(class_values(raster.data[0], raster.valid, legend))


def _warn(
    classes: str, legend: Legend, points: npt.NDArray[np.int64], options: SampleOptions
) -> None:
    few = [
        f"{name} ({number})"
        for name, number in zip(legend.names, points.tolist(), strict=True)
        if 0 < number < options.min_per_class
    ]
    if few:
        listing = ", ".join(few)
        logger.warning("%s: all pixels are drawn of classes with few: %s", classes, listing)
    drawn = int(points.sum())
    if drawn < options.count:
        logger.warning("%s: %d points, as there are no more pixels with a class", classes, drawn)


def _frame(
    scene: Scene,
    legend: Legend,
    picks: Picks,
    cols: npt.NDArray[np.int64],
    *,
    show_class: bool,
) -> geopandas.GeoDataFrame:
    """The points in the centres of their pixels."""
    t = scene.grid.transform
    col, row = cols + 0.5, picks.rows + 0.5
    geometry = shapely.points(t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f)
    columns: dict[str, Any] = {
        "id": np.arange(1, len(cols) + 1),
        FIELD: pd.array([None] * len(cols), dtype="string"),
        "scene": file_name(scene.path),
    }
    if show_class:
        columns["map_class"] = np.array(legend.names, dtype=object)[picks.classes]
    crs = None if scene.grid.crs is None else scene.grid.crs.to_wkt()
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs=crs)
