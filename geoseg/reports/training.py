"""What is shown of a training: its pictures, and the reports of its best epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from geoseg import __version__
from geoseg.geo.comparing import Comparison
from geoseg.geo.legend import Legend
from geoseg.geo.sample_view import SampleView
from geoseg.reports.accuracy import Report, write_report
from geoseg.reports.figures import draw_confusion, draw_curves, draw_samples


def draw_training(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    matrix: npt.NDArray[Any],
    views: Sequence[SampleView],
    *,
    legend: Legend,
    band_names: Sequence[str],
) -> None:
    """Draw `curves.png`, `confusion.png` and `samples.png`.

    Args:
        folder: Where they are written.
        history: One row of figures an epoch.
        matrix: (C, C) pixel counts, rows are the reference.
        views: Samples with their predictions.
        legend: The classes.
        band_names: Of the samples' images.

    Raises:
        WorkError: If a file cannot be written.
    """
    draw_curves(history, folder / "curves.png")
    draw_confusion(matrix, legend.names, folder / "confusion.png")
    draw_samples(views, legend, folder / "samples.png", band_names)


def report_epoch(
    path: Path, found: Sequence[Comparison], legend: Legend, labels: str, epoch: int
) -> None:
    """Write what `geoseg evaluate` writes, of one epoch.

    Args:
        path: JSON file to write.
        found: What was counted of each scene; those without a pixel are left out.
        legend: The classes.
        labels: What it was compared with.
        epoch: Which epoch, from 1.

    Raises:
        WorkError: If the file cannot be written.
    """
    settings = {
        "labels": labels,
        "mode": "global",
        "ignore": [],
        "legend": legend.to_dict(),
        "geoseg": __version__,
        "epoch": epoch,
    }
    seen = tuple(each for each in found if each.pixels)
    write_report(Report(scenes=seen, names=legend.names, settings=settings), path)
