"""Scenes predicted by a cluster: it is started, handed the scenes, and ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_forks import TO_PREDICT, begin_to_import
from geoseg.engine.cluster_run import ClusterRun
from geoseg.engine.cluster_scenes import run_scenes
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.options import PredictOptions
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import Outcome
from geoseg.nn.device import resolve_device, resolve_precision
from geoseg.progress import Progress

T = TypeVar("T")

Finish = Callable[[SceneJob, Ensemble, PredictOptions, Progress, Callable[[SceneJob], Outcome]], T]
"""Deals with a scene: what is finished already stays, for the rest it calls what it is given."""


def predict_on_cluster(
    jobs: Sequence[SceneJob],
    ensemble: Ensemble,
    options: PredictOptions,
    finish: Finish[T],
    progress: Progress,
) -> list[T]:
    """Predict scenes by the cluster that the options name.

    Args:
        jobs: The scenes.
        ensemble: The bundles.
        options: How scenes are predicted, and where.
        finish: Deals with one scene.
        progress: Where to report.

    Returns:
        What `finish` gave for each scene, in order.

    Raises:
        ConfigError: If the cluster cannot be used so.
        WorkError: If scenes failed, once all others are done; or if the cluster is lost.
    """
    assert options.cluster is not None
    begin_to_import(options.cluster, TO_PREDICT)
    spec = ClusterSpec.parse(options.cluster)
    with Cluster(spec, gpus=_gpus(spec, options)) as cluster:

        def work(job: SceneJob, priority: int, told: Progress) -> T:
            def run(job: SceneJob) -> Outcome:
                return ClusterRun(job, ensemble, options, cluster, priority).run(told)

            return finish(job, ensemble, options, told, run)

        return run_scenes(jobs, cluster, work, progress)


def _gpus(spec: ClusterSpec, options: PredictOptions) -> int:
    """GPUs that workers of this machine share out; those of other machines look for themselves.

    Raises:
        ConfigError: If the device asked for is not here, where it would have to be.
    """
    if spec.kind != "local":
        return 0
    resolve_precision(options.precision, resolve_device(options.device))
    on_processor = options.backend == "openvino" or options.precision == "int8"
    shares = options.device == "cuda" or (options.device == "auto" and not on_processor)
    return torch.cuda.device_count() if shares and torch.cuda.is_available() else 0
