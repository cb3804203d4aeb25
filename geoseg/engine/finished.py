"""Scenes that an earlier run has finished, so that the next one may leave them as they are."""

from __future__ import annotations

import numpy as np
import rasterio

from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import Outcome
from geoseg.engine.settings import RUN_TAG, mark_of
from geoseg.engine.unfinished import read_journal
from geoseg.geo.gdal import GDAL_ERRORS
from geoseg.geo.legend import Legend


def is_finished(job: SceneJob) -> bool:
    """Whether the rasters of a scene are there, made with the same settings, after the scene."""
    rasters = job.targets.rasters
    if not all(path.is_file() for path in rasters):
        return False
    changed = job.own.stamp[1]
    if any(path.stat().st_mtime_ns < changed for path in rasters):
        return False
    return all(_mark(str(path)) == mark_of(job.settings) for path in rasters)


def is_begun(job: SceneJob) -> bool:
    """Whether an earlier run with the same settings has left an unfinished scene."""
    journal = read_journal(job)
    if journal is None:
        return False
    journal.close()
    return True


def read_outcome(job: SceneJob, legend: Legend) -> Outcome:
    """What came of a scene that was finished by an earlier run, by its class raster."""
    found = dict.fromkeys(legend.values, 0)
    with rasterio.open(job.targets.classes) as dataset:
        runtime = str(dataset.tags().get("GEOSEG_RUNTIME", ""))
        for _, window in dataset.block_windows(1):
            values, counts = np.unique(dataset.read(1, window=window), return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                if value in found:
                    found[value] += count
    return Outcome(pixels=found, windows=0, skipped=0, runtime=runtime, timings=None)


def _mark(path: str) -> str | None:
    try:
        with rasterio.open(path) as dataset:
            mark: str | None = dataset.tags().get(RUN_TAG)
            return mark
    except GDAL_ERRORS:
        return None
