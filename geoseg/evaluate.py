"""Job: class rasters are compared with labels; how good is the map?"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geoseg import __version__
from geoseg.errors import ConfigError, LabelError
from geoseg.geo.calibrating import Calibrator, find_probabilities
from geoseg.geo.classes import legend_of_classes, open_classes, strips, tags_of
from geoseg.geo.comparing import Comparer, Comparison
from geoseg.geo.error_map import window_side
from geoseg.geo.error_windows import WindowView, choose_windows, view_window
from geoseg.geo.gdal import limit_block_cache
from geoseg.geo.judging import Judge, Question
from geoseg.geo.label_agreement import check_grid, check_names
from geoseg.geo.labels import LabelOptions, find_labels
from geoseg.geo.legend import Legend
from geoseg.geo.map_polygons import FIELD as OBJECT_FIELD
from geoseg.geo.map_polygons import MapPolygons
from geoseg.geo.object_scores import SIZES
from geoseg.geo.opened_labels import OpenedLabels
from geoseg.geo.output_lock import writing_folder
from geoseg.geo.outputs import check_output, check_output_folder, make_folders
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import Scene
from geoseg.geo.sample_points import FIELD, SamplePoints, SampleReader
from geoseg.geo.scene_images import SceneImage, find_images
from geoseg.progress import Progress, Task
from geoseg.reports.accuracy import Report
from geoseg.reports.report_files import ReportParts, report_names, write_report_files

logger = logging.getLogger(__name__)

_BLOCK_CACHE = 256 << 20
"""Bytes of GDAL's decoded blocks, so that memory does not grow with the height of scenes."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What is compared, and how it is counted."""

    legend: Legend | str | Path | None = None
    """The classes, or a file that tells them; None takes the first prediction's."""

    labels: LabelOptions = field(default_factory=LabelOptions)
    """How the labels are read."""

    mode: Literal["global", "per-image"] = "global"
    """`global` scores the sum of all confusion matrices; `per-image` averages the scores of the
    scenes, each counting alike, a class over those scenes that have it."""

    ignore: tuple[str | int, ...] = ()
    """Names or values of classes whose reference pixels are not counted."""

    resample: bool = False
    """Whether label rasters on another grid are taken by their nearest pixels."""

    boundary: float | None = None
    """Tolerance of borders in metres (pixels where there is no CRS); None scores none."""

    objects: bool = False
    """Whether connected regions are matched."""

    object_classes: tuple[str | int, ...] | None = None
    """Names or values of the classes whose regions are objects; None for all but the background
    and those of `ignore`."""

    object_polygons: str | Path | None = None
    """Polygons that are the map's objects in place of its connected regions, such as `vectorize`
    writes: a file, a folder of them (matched by stem), or a pattern with `{stem}`."""

    object_field: str = OBJECT_FIELD
    """Attribute of these polygons that tells the class."""

    object_sizes: tuple[float, ...] = SIZES
    """Square metres (pixels where there is no CRS) that part small objects from larger ones."""

    probabilities: str | Path | None = None
    """Raster of one band per class, whose calibration is scored; for several predictions a folder
    with files of the same names, or a pattern with `{stem}`."""

    area: bool = False
    """Whether areas are summed, which `sample` implies."""

    sample: str | Path | None = None
    """Interpreted points that were drawn by lot in each class of these maps."""

    sample_field: str = FIELD
    """Attribute of the points that tells the class."""

    images: str | Path | None = None
    """Scenes to show beside the windows of the report: a file, a folder with files of the same
    names or stems, or a pattern with `{stem}`."""

    windows: int = 4
    """Most windows to show of those with the most errors, and of those with the fewest."""

    assume_crs: str | None = None
    """CRS of predictions that have none; without it, they are taken as plain images."""

    overwrite: bool = False
    """Whether the files of an existing report may be replaced."""

    def __post_init__(self) -> None:
        if self.mode not in ("global", "per-image"):
            raise ConfigError("--mode", f"{self.mode!r} is unknown", "Give global or per-image")
        if self.boundary is not None and not 0 < self.boundary < math.inf:
            raise ConfigError("--boundary", f"{self.boundary} is not above 0", "Give metres")
        if self.windows < 1:
            raise ConfigError("--windows", f"{self.windows} is below 1", "Give 1 or more")
        if not _ascends(self.object_sizes):
            listing = ", ".join(f"{size:g}" for size in self.object_sizes)
            raise ConfigError(
                "--object-sizes", f"{listing} do not ascend from above 0", "Give such as 100,1000"
            )


def _ascends(sizes: tuple[float, ...]) -> bool:
    return all(0 < size < math.inf for size in sizes) and all(a < b for a, b in pairwise(sizes))


def evaluate(
    predictions: Sequence[str | Path],
    labels: str | Path | None,
    output: str | Path | None = None,
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Report:
    """Compare class rasters with labels, a few rows at a time.

    Labels are brought onto the grid of each prediction. A pixel counts where both have a class:
    neither nodata or the legend's `ignore` in the prediction, nor `ignore` in the labels.

    Args:
        predictions: Class rasters; globs, folders and `@list.txt` too.
        labels: A raster or vector file, a folder of them (matched by stem), or a pattern with
            `{stem}`; None where there is a sample only.
        output: Folder for `report.json`, `report.html`, and its parts as pictures and tables;
            None writes nothing.
        options: What is compared, and how.
        progress: Where to tell how far it is.

    Returns:
        The report.

    Raises:
        SceneError: If a prediction, probabilities or an image cannot be read, or do not hold what
            they should.
        LabelError: If labels cannot be read, lie on another grid and `resample` is not set, do
            not touch their prediction, or leave no pixel to compare; a prediction holds values
            that are not in the legend, or names them unlike it; the sample does not fit the map.
        LegendError: If the legend cannot be read, or lacks a class that an option names.
        ConfigError: If there are neither labels nor a sample, or boundaries narrower than pixels.
        OutputError: If the report cannot or must not be written there.
    """
    options, progress = options or EvaluateOptions(), progress or Progress()
    if labels is None and options.sample is None:
        raise ConfigError("--labels", "are missing, and there is no sample", "Give either")
    if labels is None and (options.boundary or options.probabilities or _wants_objects(options)):
        problem = "are missing, which borders, objects and probabilities are compared with"
        raise ConfigError("--labels", problem, "Give them, or ask for areas only")
    paths = find_scenes(predictions)
    given = (labels, options.sample, options.object_polygons)
    inputs = [path for path in given if path is not None]
    names = report_names(_parts(labels, options), paths)
    folder = None if output is None else Path(output).expanduser()
    if folder is not None:
        _check_folder(folder, names, [*paths, *inputs], options)
    with nullcontext() if folder is None else writing_folder(folder):
        limit_block_cache(_BLOCK_CACHE)
        scenes = [open_classes(path, options.assume_crs) for path in paths]
        legend = legend_of_classes(scenes[0], options.legend)
        for scene in scenes:
            check_names(scene.path, legend, given=options.legend is not None)
        work = _Work(legend, options, scenes, shows_errors=not (folder is None or labels is None))
        found = [""] * len(paths) if labels is None else find_labels(str(labels), paths)
        windows = sum(len(strips(scene)) for scene in scenes)
        with progress.task("evaluate", total=windows, unit="strip") as task:
            for place, path in enumerate(found):
                work.compare(place, path, task)
        report = work.report(None if labels is None else str(labels))
        if folder is not None:
            views = work.views(report)
            with make_folders([folder / name for name in names]):
                write_report_files(report, folder, legend, views)
    return report


class _Work:
    """Counts one scene after the other.

    Args:
        legend: The classes.
        options: What is counted.
        scenes: The predictions.
        shows_errors: Whether it is also counted where they are wrong.
    """

    def __init__(
        self,
        legend: Legend,
        options: EvaluateOptions,
        scenes: Sequence[Scene],
        *,
        shows_errors: bool,
    ) -> None:
        self._legend, self._options, self._scenes = legend, options, scenes
        side = window_side([scene.grid.shape for scene in scenes]) if shows_errors else None
        self._question = replace(_question(legend, options), window=side)
        self._sources = OpenedLabels(legend, options.labels)
        self._images = _open_images(options, scenes)
        self._probabilities: list[str] | None = None
        if options.probabilities is not None:
            paths = [scene.path for scene in scenes]
            self._probabilities = find_probabilities(str(options.probabilities), paths)
        self._polygons: list[str] | None = None
        if options.object_polygons is not None:
            paths = [scene.path for scene in scenes]
            self._polygons = find_labels(str(options.object_polygons), paths)
        self._sample: SampleReader | None = None
        if options.sample is not None:
            crs = options.labels.assume_crs
            points = SamplePoints.open(str(options.sample), legend, options.sample_field, crs)
            self._sample = SampleReader(points, legend)
        self._compared: list[Comparison] = []

    def compare(self, place: int, path: str, task: Task) -> None:
        """Count a scene against the labels of a file, or alone where the path is empty."""
        scene, legend = self._scenes[place], self._legend
        labels = self._sources.open(path) if path else None
        if labels is not None and not self._options.resample:
            check_grid(labels, scene)
        comparer = Comparer(scene.path, scene.grid, labels, legend)
        calibrator = None
        if self._probabilities is not None:
            crs = scene.options.assume_crs
            calibrator = Calibrator(self._probabilities[place], scene.grid, legend, crs)
        tags = tags_of(scene)
        judge = Judge(
            self._question, scene.grid, calibrator, self._sample, self._map_polygons(place)
        )
        for window in strips(scene):
            raster, numbers = scene.read(window), None
            if labels is not None and self._question.objects is not None:
                numbers = labels.numbers(raster.grid)
            judge.push(*comparer.count(raster), numbers)
            task.advance()
        self._compared.append(replace(judge.result(comparer.result()), tags=tags))

    def _map_polygons(self, place: int) -> MapPolygons | None:
        """The objects of a scene, where they are not its connected regions."""
        if self._polygons is None:
            return None
        scene, field = self._scenes[place], self._options.object_field
        crs = self._options.labels.assume_crs
        polygons = MapPolygons(self._polygons[place], self._legend, field, crs)
        polygons.begin(scene.path, scene.grid)
        return polygons

    def report(self, labels: str | None) -> Report:
        """All that was counted.

        Raises:
            LabelError: If there is no pixel to compare, or the sample does not fit the maps.
        """
        options, legend = self._options, self._legend
        maps = [found.errors for found in self._compared if found.errors is not None]
        report = Report(
            scenes=tuple(self._compared),
            names=legend.names,
            left_out=self._question.left_out,
            mode=options.mode,
            windows=choose_windows(maps, options.windows) if maps else None,
            settings={"labels": labels, **_settings(options, self._question)},
        )
        if self._sample is not None and report.area is not None:
            mapped = np.array([row["mapped"] for row in report.area["classes"]])
            report = replace(report, sample=self._sample.result(mapped))
        if labels is not None:
            _check_counted(report, labels)
        return report

    def views(self, report: Report) -> list[WindowView]:
        """What is seen in the windows of a report, the worst ones first."""
        if report.windows is None:
            return []
        views = []
        for window in (*report.windows.worst, *report.windows.best):
            labels = self._sources.open(self._compared[window.scene].labels)
            scene, image = self._scenes[window.scene], self._images.get(window.scene)
            views.append(view_window(window, scene, labels, self._legend, image))
        return views


def _open_images(options: EvaluateOptions, scenes: Sequence[Scene]) -> dict[int, SceneImage]:
    """The image of each scene, by its place."""
    if options.images is None:
        return {}
    paths = find_images(str(options.images), [scene.path for scene in scenes])
    return {
        place: SceneImage.open(path, scene.grid, scene.options.assume_crs)
        for place, (path, scene) in enumerate(zip(paths, scenes, strict=True))
    }


def _parts(labels: str | Path | None, options: EvaluateOptions) -> ReportParts:
    """What the report will have."""
    return ReportParts(
        labels=labels is not None,
        boundary=options.boundary is not None,
        objects=_wants_objects(options),
        calibration=options.probabilities is not None,
        area=options.area or options.sample is not None,
        sample=options.sample is not None,
    )


def _question(legend: Legend, options: EvaluateOptions) -> Question:
    def indices(classes: Sequence[str | int]) -> tuple[int, ...]:
        return tuple(legend.names.index(legend.class_of(each).name) for each in classes)

    left_out, chosen = indices(options.ignore), options.object_classes
    if chosen is None:
        chosen = tuple(entry.name for entry in legend.foreground)
    objects = tuple(index for index in indices(chosen) if index not in left_out)
    if _wants_objects(options) and not objects:
        raise ConfigError("--objects", "no class is left that has any", "Look at --ignore")
    return Question(
        legend=legend,
        left_out=left_out,
        boundary=options.boundary,
        objects=objects if _wants_objects(options) else None,
        object_sizes=options.object_sizes,
        area=options.area or options.sample is not None,
    )


def _wants_objects(options: EvaluateOptions) -> bool:
    given = options.object_classes, options.object_polygons
    return options.objects or any(each is not None for each in given)


def _settings(options: EvaluateOptions, question: Question) -> dict[str, Any]:
    """What was asked for, as the report tells it."""
    names = question.legend.names
    objects = None if question.objects is None else [names[i] for i in question.objects]
    return {
        "mode": options.mode,
        "ignore": [names[index] for index in question.left_out],
        "resample": options.resample,
        "boundary": options.boundary,
        "objects": objects,
        "object_polygons": _text(options.object_polygons),
        "object_sizes": list(options.object_sizes),
        "probabilities": _text(options.probabilities),
        "sample": _text(options.sample),
        "images": _text(options.images),
        "legend": question.legend.to_dict(),
        "geoseg": __version__,
    }


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _check_counted(report: Report, labels: str) -> None:
    """Refuse a report that rests on no pixel; tell of scenes that added none."""
    if not report.counted_pixels:
        raise LabelError(
            labels, "no pixel has both a class and a label", "Check the CRS and extent of both"
        )
    for comparison in report.scenes:
        if not comparison.matrix.any():
            logger.warning("%s: no pixel has both a class and a label", comparison.prediction)


def _check_folder(
    folder: Path, names: Sequence[str], inputs: Sequence[str | Path], options: EvaluateOptions
) -> None:
    """Refuse a folder that the report must not or cannot be written to; it is not made yet."""
    if not folder.is_dir():
        check_output_folder(folder)
        return
    for name in names:
        check_output(folder / name, overwrite=options.overwrite, inputs=inputs)
