"""Job: class rasters are compared with labels; how good is the map?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg import __version__
from geoseg.errors import ConfigError, LabelError
from geoseg.geo.classes import legend_of_classes, open_classes, strips
from geoseg.geo.comparing import Comparer, Comparison
from geoseg.geo.labels import LabelOptions, Labels, find_labels
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output, check_output_folder
from geoseg.geo.paths import find_scenes
from geoseg.progress import Progress
from geoseg.reports.accuracy import Report, write_report

logger = logging.getLogger(__name__)

REPORT = "report.json"
"""Name of the report in its folder."""


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

    assume_crs: str | None = None
    """CRS of predictions that have none; without it, they are taken as plain images."""

    overwrite: bool = False
    """Whether an existing report may be replaced."""

    def __post_init__(self) -> None:
        if self.mode not in ("global", "per-image"):
            raise ConfigError("--mode", f"{self.mode!r} is unknown", "Give global or per-image")


def evaluate(
    predictions: Sequence[str | Path],
    labels: str | Path,
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
            `{stem}`.
        output: Folder for `report.json`; None writes nothing.
        options: What is compared, and how.
        progress: Where to tell how far it is.

    Returns:
        The report.

    Raises:
        SceneError: If a prediction cannot be read or does not hold classes.
        LabelError: If labels cannot be read, do not touch their prediction, or leave no pixel
            to compare; or a prediction holds values that are not in the legend.
        LegendError: If the legend cannot be read, or lacks a class to be ignored.
        OutputError: If the report cannot or must not be written there.
    """
    options, progress = options or EvaluateOptions(), progress or Progress()
    target = None if output is None else _check_target(Path(output), options)
    paths = find_scenes(predictions)
    scenes = [open_classes(path, options.assume_crs) for path in paths]
    legend = legend_of_classes(scenes[0], options.legend)
    left_out = [legend.names.index(legend.class_of(c).name) for c in options.ignore]
    sources = _Sources(legend, options.labels)
    windows = sum(len(strips(scene)) for scene in scenes)
    compared: list[Comparison] = []
    with progress.task("evaluate", total=windows, unit="strip") as task:
        for scene, path in zip(scenes, find_labels(str(labels), paths), strict=True):
            comparer = Comparer(scene.path, scene.grid, sources.open(path), legend)
            for window in strips(scene):
                comparer.count(scene.read(window))
                task.advance()
            compared.append(comparer.result())
    report = _report(compared, legend, left_out, options, str(labels))
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_report(report, target)
    return report


class _Sources:
    """Opens each label file once, though many predictions may share it."""

    def __init__(self, legend: Legend, options: LabelOptions) -> None:
        self._legend = legend
        self._options = options
        self._opened: dict[str, Labels] = {}

    def open(self, path: str) -> Labels:
        """The labels of a file, as classes of the legend."""
        if path not in self._opened:
            self._opened[path] = Labels.open(path, self._legend, self._options)
        return self._opened[path]


def _report(
    compared: list[Comparison],
    legend: Legend,
    left_out: list[int],
    options: EvaluateOptions,
    labels: str,
) -> Report:
    report = Report(
        scenes=tuple(compared),
        names=legend.names,
        left_out=tuple(left_out),
        mode=options.mode,
        settings={
            "labels": labels,
            "mode": options.mode,
            "ignore": [legend.names[index] for index in left_out],
            "legend": legend.to_dict(),
            "geoseg": __version__,
        },
    )
    if not report.counted_pixels:
        raise LabelError(
            labels, "no pixel has both a class and a label", "Check the CRS and extent of both"
        )
    for comparison in compared:
        if not comparison.matrix.any():
            logger.warning("%s: no pixel has both a class and a label", comparison.prediction)
    return report


def _check_target(folder: Path, options: EvaluateOptions) -> Path:
    """The report's path; the folder is made only when there is something to put in."""
    folder = folder.expanduser()
    if not folder.exists():
        return check_output_folder(folder) / REPORT
    if not folder.is_dir():
        check_output_folder(folder)
    return check_output(folder / REPORT, overwrite=options.overwrite)
