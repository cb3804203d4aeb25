"""Predict scenes with model bundles: class raster, probabilities, polygons."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from geoseg.engine.area import hide_outside
from geoseg.engine.cluster_predict import predict_on_cluster
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.crew import Crew
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.finished import finished_files, read_outcome
from geoseg.engine.late_polygons import write_late_polygons
from geoseg.engine.options import Estimate, PredictOptions, PredictResult
from geoseg.engine.pipeline import visible
from geoseg.engine.resized import is_seen_whole
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import Outcome, SceneRun
from geoseg.engine.settings import settings_of
from geoseg.engine.targets import check_targets, targets_of
from geoseg.errors import ConfigError
from geoseg.geo.cog_options import check_options
from geoseg.geo.mosaic_vrt import check_mosaic_name, place, write_mosaic
from geoseg.geo.output_lock import writing_all
from geoseg.geo.outputs import check_output, make_folders
from geoseg.geo.paths import find_scenes
from geoseg.geo.polygon_drivers import check_format
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import resolve_device, resolve_precision
from geoseg.nn.open_model import open_model
from geoseg.progress import Progress

__all__ = ["Estimate", "PredictOptions", "PredictResult", "estimate", "predict"]

logger = logging.getLogger(__name__)

_PIPELINE = 0.95
"""Share of its time that a run spends in the network, for estimates."""


def predict(
    scenes: str | Path | Sequence[str | Path],
    bundles: str | Path | Sequence[str | Path],
    output: str | Path,
    options: PredictOptions | None = None,
    *,
    progress: Progress | None = None,
) -> list[PredictResult]:
    """Predict scenes, each on its own grid.

    All inputs and outputs are checked before any work begins.

    Args:
        scenes: Files, globs, folders, URLs or `@list.txt`.
        bundles: A model bundle or an exported model, or several of the same classes, whose
            answers are combined.
        output: The class raster; or a folder, as it must be for several scenes, which gets
            `<scene>.tif`. A name without suffix is taken for a folder.
        options: How to predict.
        progress: Where to report.

    Returns:
        One result a scene, in order.

    Raises:
        SceneError: If a scene cannot be read.
        BundleError: If a bundle cannot be read, or does not fit a scene or the other bundles.
        ConfigError: If an option makes no sense.
        OutputError: If an output must not or cannot be written.
        WorkError: If the work itself fails.
    """
    options, progress = options or PredictOptions(), progress or Progress()
    models = _open_models(bundles)
    options = _with_mode(options, models)
    ensemble, jobs = _plan(scenes, models, output, options)
    with make_folders(path for job in jobs for path in job.targets.files):
        results = _predict_scenes(jobs, ensemble, options, progress)
    if options.mosaic is not None:
        rasters = [result.classes for result in results]
        write_mosaic(options.mosaic, rasters, ensemble.legend, overwrite=_may_replace(options))
    return results


def estimate(
    scenes: str | Path | Sequence[str | Path],
    bundles: str | Path | Sequence[str | Path],
    output: str | Path,
    options: PredictOptions | None = None,
) -> list[Estimate]:
    """Tell what predicting scenes will take; nothing is written.

    The network is run on the first windows of each scene, to time it.

    Args:
        scenes: As of `predict`.
        bundles: As of `predict`.
        output: As of `predict`.
        options: How to predict.

    Returns:
        One estimate a scene, in order.

    Raises:
        GeosegError: As of `predict`.
    """
    options = replace(options or PredictOptions(), timings=True, resume=False)
    if options.cluster is not None:
        raise ConfigError("--cluster", "is given together with --dry-run", "Leave one of them out")
    models = _open_models(bundles)
    options = _with_mode(options, models)
    ensemble, jobs = _plan(scenes, models, output, options)
    crew = Crew(ensemble, options)
    estimates = []
    for job in jobs:
        run = SceneRun(job, ensemble, crew, options)
        parts = run.plan()
        windows = job.views.cost(options)
        seconds = run.window_seconds or 0.0
        height, width = job.own.grid.shape
        estimates.append(
            Estimate(
                scene=job.own.path,
                classes=job.targets.classes,
                windows=windows,
                panels=len({part.cols for part in parts}),
                memory=run.memory(parts),
                seconds=windows * seconds / (_PIPELINE * len(crew.devices)),
                output_bytes=height * width * run.bytes_per_pixel,
                runtime=run.runtime,
            )
        )
    return estimates


def _open_models(bundles: str | Path | Sequence[str | Path]) -> list[ModelBundle]:
    names = [bundles] if isinstance(bundles, str | Path) else list(bundles)
    if not names:
        raise ConfigError("--model", "names no bundle", "Give one or more")
    return [open_model(str(name)) for name in names]


def _with_mode(options: PredictOptions, models: Sequence[ModelBundle]) -> PredictOptions:
    """The options with a mode: that of training, unless something tells of sliding windows."""
    if options.mode is not None:
        return options
    if not is_seen_whole(options, [model.card for model in models]):
        return replace(options, mode="stride")
    logger.info(
        "trained on whole images, scaled to %d pixels: scenes are seen so, too; --mode stride "
        "slides windows",
        models[0].card.window,
    )
    return replace(options, mode="resize")


def _plan(
    scenes: str | Path | Sequence[str | Path],
    models: Sequence[ModelBundle],
    output: str | Path,
    options: PredictOptions,
) -> tuple[Ensemble, list[SceneJob]]:
    """Look at every scene and every output before the first is predicted."""
    ensemble = Ensemble(models, options)
    _check_options(ensemble, options)
    paths = find_scenes(
        [scenes] if isinstance(scenes, str | Path) else scenes,
        allow_remote=options.scene.allow_remote,
    )
    jobs = [_job(path, ensemble, output, options, many=len(paths) > 1) for path in paths]
    inputs = [path for path in (*paths, *(model.path for model in models), options.aoi) if path]
    check_targets([(job.own.path, job.targets, job.replaceable) for job in jobs], inputs)
    if options.mosaic is not None:
        _check_mosaic(options, jobs, inputs)
    hides = hide_outside(options.aoi, [job.own for job in jobs])
    return ensemble, [replace(job, hide=hide) for job, hide in zip(jobs, hides, strict=True)]


def _check_options(ensemble: Ensemble, options: PredictOptions) -> None:
    if isinstance(options.batch_size, int) and options.batch_size < 1:
        raise ConfigError("--batch-size", f"{options.batch_size} is below 1", "Give 1 or more")
    if options.scale is not None and not 0 < options.scale < math.inf:
        raise ConfigError("--scale", f"{options.scale} is not above 0", "Give such as 0.0001")
    if options.cluster is not None:
        ClusterSpec.parse(options.cluster)
        if options.timings:
            raise ConfigError("--timings", "tells nothing of workers", "Leave out --cluster")
    else:
        resolve_precision(options.precision, resolve_device(options.device))
    check_options(dict(options.creation_options), holds_classes=True)
    excluded = {ensemble.legend.class_of(name).value for name in options.exclude}
    if len(excluded) == ensemble.legend.count:
        raise ConfigError("--exclude", "names all classes of the model", "Leave one out")


def _check_mosaic(
    options: PredictOptions, jobs: Sequence[SceneJob], inputs: Sequence[str | Path]
) -> None:
    """Refuse a mosaic that cannot be made of these scenes, or written there."""
    assert options.mosaic is not None
    path = check_mosaic_name(options.mosaic)
    made = {job.targets.classes.parent.absolute() for job in jobs}
    if path.parent.is_dir() or path.parent.absolute() not in made:
        check_output(path, overwrite=_may_replace(options), inputs=inputs)
    place([(job.own.path, job.own.grid) for job in jobs])


def _may_replace(options: PredictOptions) -> bool:
    """Whether a mosaic may be replaced: it is made anew when a run goes on."""
    return options.overwrite or options.resume


def _job(
    path: str, ensemble: Ensemble, output: str | Path, options: PredictOptions, *, many: bool
) -> SceneJob:
    """What is to be done for one scene; the area of interest is looked at later."""
    views = ensemble.look_at(path)
    own = Scene.open(path, replace(views.scene.options, resolution=None))
    targets = targets_of(path, output, options, many=many)
    if targets.polygons is not None:
        check_format(targets.polygons, own.grid.crs)
    job = SceneJob(
        views=views,
        own=own,
        hide=visible,
        targets=targets,
        settings=settings_of(views, ensemble, options),
        replaceable=frozenset(targets.files if options.overwrite else ()),
    )
    if options.resume:
        return replace(job, replaceable=job.replaceable | finished_files(job))
    return job


def _predict_scenes(
    jobs: Sequence[SceneJob], ensemble: Ensemble, options: PredictOptions, progress: Progress
) -> list[PredictResult]:
    """All scenes, here or by a cluster."""
    if options.cluster is not None:
        return predict_on_cluster(jobs, ensemble, options, _predict_scene, progress)
    crew = Crew(ensemble, options)
    return [
        _predict_scene(
            job,
            ensemble,
            options,
            progress,
            lambda job: SceneRun(job, ensemble, crew, options).run(progress),
        )
        for job in jobs
    ]


def _predict_scene(
    job: SceneJob,
    ensemble: Ensemble,
    options: PredictOptions,
    progress: Progress,
    run: Callable[[SceneJob], Outcome],
) -> PredictResult:
    """The rasters of a scene, and its polygons; what an earlier run has finished stays."""
    targets = job.targets
    with writing_all(targets.files):
        finished = finished_files(job) if options.resume else frozenset()
        if finished.issuperset(targets.rasters):
            outcome = read_outcome(job, ensemble.legend)
            if targets.polygons is not None and targets.polygons not in finished:
                write_late_polygons(job, ensemble, Crew(ensemble, options), options, progress)
        else:
            outcome = run(job)
    height, width = job.own.grid.shape
    return PredictResult(
        scene=job.own.path,
        classes=targets.classes,
        probabilities=targets.probabilities,
        uncertainty=targets.uncertainty,
        polygons=targets.polygons,
        pixels={entry.name: outcome.pixels[entry.value] for entry in ensemble.legend.classes},
        nodata_pixels=height * width - sum(outcome.pixels.values()),
        windows=outcome.windows,
        skipped=outcome.skipped,
        runtime=outcome.runtime,
        timings=outcome.timings,
    )
