"""Job: class rasters become polygons with class, true area, perimeter and confidence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.class_mosaic import ClassMosaic, MosaicFields
from geoseg.geo.class_rows import ClassRows, SceneRows, ToldRows
from geoseg.geo.classes import legend_of_classes, open_classes
from geoseg.geo.common_legend import common_legend
from geoseg.geo.gdal import limit_block_cache
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.outlining import Outlining
from geoseg.geo.outputs import check_output
from geoseg.geo.paths import find_scenes
from geoseg.geo.polygon_columns import SceneNames, boxes_of, one_name, polygon_columns
from geoseg.geo.polygon_drivers import polygon_driver
from geoseg.geo.polygon_layer import PolygonLayer
from geoseg.geo.polygon_writer import check_layer, write_layer
from geoseg.geo.probabilities import Probabilities
from geoseg.geo.raster import Scene
from geoseg.geo.remote import file_name
from geoseg.geo.tracing import Fields
from geoseg.progress import Progress

logger = logging.getLogger(__name__)

_LEAST_CACHE, _BLOCK_ROWS = 8 << 20, 2048
"""Bytes of GDAL's decoded blocks, and rows of them beyond: whole rows of blocks stay, no more."""


@dataclass(frozen=True, kw_only=True)
class VectorizeOptions:
    """What becomes a polygon, and how much it is generalised."""

    classes: tuple[str | int, ...] | None = None
    """Names or values of the classes that become polygons; None for all."""

    connectivity: Literal[4, 8] = 4
    """Pixels of a polygon touch along a side (4), or at a corner too (8)."""

    min_area: float = 0.0
    """Square metres (pixels without a CRS); smaller regions go to the neighbouring class with
    the longest shared border."""

    fill_holes: float = 0.0
    """Square metres (pixels without a CRS); smaller holes go to the class around them."""

    simplify: float = 0.0
    """Tolerance in metres (pixels without a CRS); shared borders stay shared."""

    smooth: bool = False
    """Whether corners are rounded; shared borders stay shared."""

    regularize: bool = False
    """Whether outlines get right angles, as of buildings; they need not share borders then."""

    margin: bool = False
    """Whether there is a column `margin`: how far the probability of the own class is above the
    second. It needs probabilities."""

    merge: bool = False
    """Whether several rasters are taken as one, so that polygons go on over their borders."""

    append: bool = False
    """Whether polygons are added to a layer that is there."""

    scene: str | None = None
    """What the column `scene` says; None for the file name of the class raster."""

    assume_crs: str | None = None
    """CRS of a class raster that has none; without it, it is taken as a plain image."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""

    def __post_init__(self) -> None:
        self.outlining()
        if self.append and self.overwrite:
            raise ConfigError("--append", "and --overwrite contradict each other", "Give one")

    def outlining(self, keep: Iterable[int] | None = None) -> Outlining:
        """How class values become polygons.

        Args:
            keep: Values of the classes that become polygons; None for all.

        Raises:
            ConfigError: If an option makes no sense.
        """
        return Outlining(
            keep=None if keep is None else frozenset(keep),
            connectivity=self.connectivity,
            min_area=self.min_area,
            fill_holes=self.fill_holes,
            simplify=self.simplify,
            smooth=self.smooth,
            regularize=self.regularize,
            margin=self.margin,
        )


@dataclass(frozen=True, kw_only=True)
class VectorizeResult:
    """What was written."""

    path: Path
    """The file of polygons."""

    polygons: int
    """How many this run has put there."""

    counts: dict[str, int]
    """Polygons of each class that has some."""

    areas: dict[str, float]
    """Area of each class that has some, in `unit`."""

    unit: str
    """`m2`, or `pixels` where the class raster has no CRS."""


def vectorize(
    classes: str | Path | Sequence[str | Path],
    output: str | Path,
    options: VectorizeOptions | None = None,
    *,
    probabilities: str | Path | Sequence[str | Path] | None = None,
    legend: Legend | str | Path | None = None,
    progress: Progress | None = None,
) -> VectorizeResult:
    """Turn class rasters into polygons that form a coverage without gaps or overlaps.

    The rasters are streamed: memory does not grow with their height. Merging of small regions
    and filling of holes come first, on the pixels; so before simplification the polygons of a
    class hold exactly its pixels.

    Args:
        classes: The class rasters: files, globs, folders, URLs, or `@list.txt`. Nodata and the
            legend's `ignore` never become polygons.
        output: `.gpkg`, `.fgb`, `.parquet`, `.geojson`, `.geojsonl` or `.shp`.
        options: What becomes a polygon.
        probabilities: Raster of one band per class on the same grid, for `mean_prob`; of several
            class rasters as many in the same order, or a folder with one of each one's name.
        legend: The classes, or a file that tells them; by default what the rasters and the
            files beside them tell, else classes named by their values.
        progress: Where to tell how far it is.

    Returns:
        What was written; an empty layer where there is nothing to draw.

    Raises:
        OutputError: If the output cannot or must not be written there.
        SceneError: If a raster cannot be read, does not hold classes, or has another grid.
        LegendError: If the legend cannot be read, or lacks a class asked for.
        LabelError: If a raster holds values that are not in the legend.
        ConfigError: If an option makes no sense.
    """
    options, progress = options or VectorizeOptions(), progress or Progress()
    paths = _expanded(classes)
    tables = _probability_paths(probabilities, paths, options)
    path = check_output(
        output, overwrite=options.overwrite or options.append, inputs=[*paths, *tables]
    )
    polygon_driver(path)
    scenes = [open_classes(path, options.assume_crs) for path in paths]
    _check_same_crs(scenes)
    limit_block_cache(_LEAST_CACHE)  # a legend may be made of all values
    common = common_legend([legend_of_classes(scene, legend) for scene in scenes], paths)
    layer = PolygonLayer(
        columns=polygon_columns(margin=options.margin), crs=scenes[0].grid.crs, legend=common
    )
    check_layer(path, layer, overwrite=options.overwrite, append=options.append)
    if layer.crs is None:
        logger.warning("%s: has no CRS; positions, areas, perimeters are in pixels", paths[0])
    keep = None
    if options.classes is not None:
        keep = [common.class_of(name).value for name in options.classes]
    outlining = options.outlining(keep)
    bands = 1 + (common.count if tables else 0)
    limit_block_cache(_LEAST_CACHE + _BLOCK_ROWS * bands * max(s.grid.width for s in scenes))
    sources = _sources(scenes, tables, common, options)
    tally = _Tally(common)
    total = sum(source.grid.height for source in sources) * outlining.passes
    with progress.task("vectorize", total, "rows") as task:
        rows = (
            batch
            for source in sources
            for batch in outlining.rows(
                ToldRows(source.rows, task.advance),
                source.grid,
                common,
                source.names,
                source.fields,
            )
        )
        write_layer(
            path, tally.counted(rows), layer, overwrite=options.overwrite, append=options.append
        )
    if not tally.counts.any():
        logger.warning("%s: no polygons; the layer is empty", path)
    return tally.result(path, "pixels" if layer.crs is None else "m2")


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Class values that are traced in one go."""

    rows: ClassRows
    grid: Grid
    names: SceneNames
    fields: Fields | None


def _sources(
    scenes: Sequence[Scene], tables: Sequence[str], legend: Legend, options: VectorizeOptions
) -> list[_Source]:
    """One for each scene, or one for all of them together."""
    probabilities = [
        _probabilities(table, legend, scene) for table, scene in zip(tables, scenes, strict=False)
    ]
    if options.merge and len(scenes) > 1:
        return [_merged(scenes, probabilities, legend, options)]
    fields = [each.fields(legend.ignore, margin=options.margin) for each in probabilities]
    return [
        _Source(
            rows=SceneRows(scene, legend),
            grid=scene.grid,
            names=one_name(options.scene or file_name(scene.path)),
            fields=fields[place] if fields else None,
        )
        for place, scene in enumerate(scenes)
    ]


def _merged(
    scenes: Sequence[Scene],
    probabilities: Sequence[Probabilities],
    legend: Legend,
    options: VectorizeOptions,
) -> _Source:
    mosaic = ClassMosaic(scenes, legend)
    fields = None
    if probabilities:
        fields = MosaicFields(mosaic, probabilities, legend.ignore, margin=options.margin)
    names: SceneNames = lambda batch: mosaic.names(boxes_of(batch))  # noqa: E731
    if options.scene is not None:
        names = one_name(options.scene)
    return _Source(rows=mosaic, grid=mosaic.grid, names=names, fields=fields)


def _probabilities(path: str, legend: Legend, scene: Scene) -> Probabilities:
    found = Probabilities.open(path, legend, scene.options)
    found.check(scene.grid)
    return found


def _probability_paths(
    given: str | Path | Sequence[str | Path] | None, paths: Sequence[str], options: VectorizeOptions
) -> list[str]:
    """The raster of probabilities of each class raster; none where none are given."""
    option = "--probabilities"
    if given is None:
        if options.margin:
            raise ConfigError("--margin", f"needs {option}", "Give the raster of probabilities")
        return []
    if isinstance(given, str | Path):
        folder = Path(given).expanduser()
        if folder.is_dir():
            found = [folder / Path(path).name for path in paths]
            missing = next((path for path in found if not path.exists()), None)
            if missing is not None:
                problem = f"holds no {missing.name}"
                raise SceneError(folder, problem, "Name each file as its class raster")
            given = found
    tables = _expanded(given)
    if len(tables) != len(paths):
        raise ConfigError(
            option,
            f"{len(tables)} given, {len(paths)} class rasters",
            "Give one for each, or a folder with one of each name",
        )
    return tables


def _expanded(given: str | Path | Sequence[str | Path]) -> list[str]:
    """Files of what was typed; a plain path stays, for an error that tells what is wrong."""
    entries = [given] if isinstance(given, str | Path) else list(given)
    found: list[str] = []
    for entry in (os.fspath(entry) for entry in entries):
        is_plain = not (set("*?[@") & set(entry) or os.path.isdir(entry))
        found.extend([entry] if is_plain or os.path.exists(entry) else find_scenes([entry]))
    return list(dict.fromkeys(found))


def _check_same_crs(scenes: Sequence[Scene]) -> None:
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.grid.crs != first.grid.crs:
            raise SceneError(
                scene.path,
                f"is in {scene.grid.crs}, {first.path} in {first.grid.crs}; a layer has one CRS",
                "Vectorize scenes of one CRS into a layer",
            )


class _Tally:
    """Counts polygons and sums areas of each class while they pass."""

    def __init__(self, legend: Legend) -> None:
        self._legend = legend
        self.counts = np.zeros(max(legend.values) + 1, np.int64)
        self._areas = np.zeros(max(legend.values) + 1)

    def counted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Hand rows on, counted."""
        for batch in batches:
            values = batch.column("class_id").to_numpy()
            # One after the other: so sums do not depend on how rows come in batches.
            np.add.at(self.counts, values, 1)
            np.add.at(self._areas, values, batch.column("area_m2").to_numpy())
            yield batch

    def result(self, path: Path, unit: str) -> VectorizeResult:
        """What was counted, in the order of the legend."""
        found = [entry for entry in self._legend.classes if self.counts[entry.value]]
        return VectorizeResult(
            path=path,
            polygons=int(self.counts.sum()),
            counts={entry.name: int(self.counts[entry.value]) for entry in found},
            areas={entry.name: float(self._areas[entry.value]) for entry in found},
            unit=unit,
        )
