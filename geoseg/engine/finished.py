"""Scenes that an earlier run has finished, so that the next one may leave them as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import Outcome
from geoseg.engine.settings import RUN_TAG, mark_of
from geoseg.geo.gdal import GDAL_ERRORS
from geoseg.geo.legend import Legend


def finished_files(job: SceneJob) -> frozenset[Path]:
    """Outputs that are there, made with the same settings, after the scene was last changed.

    Polygons count where the rasters do, and they were made after them.
    """
    found = {path for path in job.targets.rasters if _is_finished(path, job)}
    polygons, classes = job.targets.polygons, job.targets.classes
    is_mapped = found.issuperset(job.targets.rasters)
    if is_mapped and polygons is not None and _changed(polygons) >= _changed(classes):
        found.add(polygons)
    return frozenset(found)


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


def _is_finished(path: Path, job: SceneJob) -> bool:
    if not path.is_file() or _changed(path) < max(job.own.stamp[1], job.own.sources[0]):
        return False
    try:
        with rasterio.open(path) as dataset:
            return bool(dataset.tags().get(RUN_TAG) == mark_of(job.settings))
    except GDAL_ERRORS:
        return False


def _changed(path: Path) -> int:
    """When a file was changed; never, where it is missing."""
    return path.stat().st_mtime_ns if path.is_file() else -1
