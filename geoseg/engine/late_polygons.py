"""Polygons of a scene whose rasters an earlier run has finished without them."""

from __future__ import annotations

import logging
from dataclasses import replace

from geoseg.engine.confidence import NODATA
from geoseg.engine.crew import Crew
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.options import PredictOptions
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_polygons import Confidences, writing_polygons
from geoseg.engine.scene_run import SceneRun
from geoseg.geo.class_rows import SceneRows, ToldRows
from geoseg.geo.classes import open_classes
from geoseg.geo.cog import RasterWriter
from geoseg.geo.remote import file_name
from geoseg.progress import Progress

logger = logging.getLogger(__name__)


def write_late_polygons(
    job: SceneJob, ensemble: Ensemble, crew: Crew, options: PredictOptions, progress: Progress
) -> None:
    """Predict a scene once more for the confidences, and make its polygons of the class raster.

    Args:
        job: The scene; its rasters stay as they are.
        ensemble: The bundles.
        crew: The devices.
        options: With which the rasters were made.
        progress: Where to report.

    Raises:
        SceneError: If the scene cannot be read.
        WorkError: If the work itself fails.
    """
    assert job.targets.confidences is not None
    logger.info("%s: is predicted again, as polygons tell confidences", job.own.path)
    run = SceneRun(job, ensemble, crew, replace(options, resume=False))
    classes, *_, confidences = run.profiles
    assert classes.nodata is not None
    writer = RasterWriter(job.targets.confidences, confidences, overwrite=True)
    try:
        name, height = file_name(job.own.path), job.own.grid.height
        with progress.task(name, height, "rows") as task:
            for window, values, valid in run.product_rows():
                values[-1][:, ~valid] = NODATA
                writer.write(values[-1], window)
                task.advance(len(valid) * window.width // job.own.grid.width)
        legend = replace(ensemble.legend, ignore=int(classes.nodata))
        rows = SceneRows(open_classes(str(job.targets.classes)), legend)
        fields = Confidences(writer)
        with (
            progress.task(f"polygons of {name}", height, "rows") as task,
            writing_polygons(
                job, ToldRows(rows, task.advance), fields, legend, margin=options.margin
            ),
        ):
            pass  # nothing else is to be waited for
    finally:
        writer.abort()
