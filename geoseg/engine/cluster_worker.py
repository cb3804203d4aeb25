"""What workers of a cluster do: settle how a scene is predicted, and predict chunks of it.

A task brings paths, options and a rectangle, never an array. The worker opens bundles and scenes
itself, once each, and keeps them with the compiled run-times as long as the same are asked for.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geoseg import __version__
from geoseg.engine.area import hide_in
from geoseg.engine.choose import Choice
from geoseg.engine.cluster_reach import reaching
from geoseg.engine.crew import Crew, describe
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.memory import block_cache
from geoseg.engine.options import PredictOptions
from geoseg.engine.parts import Part, make_part
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_products import products_of
from geoseg.engine.scene_run import SceneRun
from geoseg.engine.settings import mark_of, settings_of
from geoseg.engine.targets import Targets
from geoseg.errors import WorkError
from geoseg.geo.gdal import limit_block_cache
from geoseg.geo.raster import Scene
from geoseg.nn.open_model import open_model

_KEPT_SCENES = 4

Runtimes = list[dict[str, Any]]
"""As `geoseg.engine.crew.describe` tells them."""


@dataclass(frozen=True, kw_only=True)
class SceneOrder:
    """A scene that is to be predicted, as workers are told of it."""

    scene: str
    """Its path, which leads there from wherever a worker runs."""

    bundles: tuple[str, ...]
    """Their paths, likewise."""

    options: PredictOptions
    """How scenes are predicted."""

    targets: Targets
    """What is written, by the process that gives the order."""

    sha256: str
    """Hashes of the bundles' files."""

    stamp: tuple[int, ...]
    """Sizes and change times of the scene's files: what was kept of older ones is not used."""

    mark: str
    """Of the settings; a worker that sees another scene or model gets another one."""

    remote: str | None = None
    """The one remote file that may be read; None for all."""

    version: str = __version__
    """Of geoseg."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How a scene is predicted."""

    runtimes: Runtimes
    """By each bundle."""

    seconds: list[float | None]
    """Of the bare forward pass of a window by each, where measured."""

    device: str
    """Where the networks run."""

    classes: list[int]
    """Channels of each network's scores."""

    base_memory: int
    """Bytes that a worker takes with its run-times, warm, but without any scene."""

    messages: list[tuple[int, str]]
    """Levels and texts of what there was to be said."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A rectangle of the outputs."""

    part: int
    """Place of the part that it belongs to."""

    rows: tuple[int, int]
    """First row, and behind the last."""

    cols: tuple[int, int]
    """First column, and behind the last."""

    phase: tuple[int, ...] | None = None
    """Windows of an earlier run that came before, by network; None where all are new."""

    @property
    def height(self) -> int:
        """Rows."""
        return self.rows[1] - self.rows[0]


@dataclass(frozen=True, kw_only=True)
class ChunkResult:
    """A chunk that is predicted."""

    arrays: list[npt.NDArray[Any]]
    """Values (bands, rows, width) of each raster, as they are in the file."""

    windows: list[int]
    """Windows that went through each network."""

    skipped: list[int]
    """Windows without any valid pixel, by network."""

    messages: list[tuple[int, str]]
    """Levels and texts of what there was to be said."""


def settle(order: SceneOrder, runtimes: object, *, measure: bool) -> Settled:
    """Find the run-times for a scene.

    Args:
        order: The scene.
        runtimes: Those of an earlier run, which are taken if they are to be had; or None.
        measure: Whether the seconds of the bare forward pass are wanted.

    Raises:
        GeosegError: If the scene or a bundle cannot be read, or no device is there.
    """
    with _alone(order) as (messages, (ensemble, crew)):
        job = _job(order, ensemble)
        choices = None
        if runtimes is not None:
            choices = crew.restore(runtimes, job.views, job.hide, measure=measure)
        if choices is None:
            choices = crew.choose(job.views, job.hide, measure=measure)
        return Settled(
            runtimes=describe(choices),
            seconds=[choice.window_seconds for choice in choices],
            device=choices[0].backend.device.type,
            classes=[choice.backend.classes for choice in choices],
            base_memory=crew.base_memory,
            messages=messages,
        )


def predict_chunk(order: SceneOrder, runtimes: Runtimes, chunk: Chunk) -> ChunkResult:
    """Predict a chunk.

    Args:
        order: The scene.
        runtimes: By which.
        chunk: What of it.

    Raises:
        GeosegError: If the scene cannot be read, or the work itself fails.
        MemoryError: If there is not enough.
    """
    with _alone(order) as (messages, (ensemble, crew)):
        run = _kept_run(order, runtimes, ensemble, crew)
        limit_block_cache(block_cache(run.job.own, chunk.cols[1] - chunk.cols[0]))
        arrays, part, phase = run.predict(chunk)
        return ChunkResult(
            arrays=arrays,
            windows=[
                found - before for found, before in zip(part.counts.windows, phase, strict=True)
            ],
            skipped=part.counts.skipped,
            messages=messages,
        )


class ChunkRun(SceneRun):
    """A scene of which chunks are predicted, by run-times that are settled.

    Args:
        job: The scene.
        ensemble: The bundles.
        crew: The devices of this worker.
        options: How scenes are predicted.
        runtimes: By which.
    """

    def __init__(
        self,
        job: SceneJob,
        ensemble: Ensemble,
        crew: Crew,
        options: PredictOptions,
        runtimes: Runtimes,
    ) -> None:
        self.job, self._runtimes = job, runtimes
        self._part: Part | None = None
        self._rasters = products_of(job, ensemble, options)
        super().__init__(job, ensemble, crew, options)

    def plan(self) -> list[Part]:
        """The chunk that is wanted."""
        assert self._part is not None
        return [self._part]

    def predict(self, chunk: Chunk) -> tuple[list[npt.NDArray[Any]], Part, Sequence[int]]:
        """Predict a chunk.

        Returns:
            Values of each raster; the chunk with its windows counted, from what number on.
        """
        part = make_part(self.job, self.teams[0], chunk.rows, chunk.cols)
        phase = chunk.phase or self._phase(chunk)
        part.counts.windows = list(phase)
        self._part = part
        width = chunk.cols[1] - chunk.cols[0]
        arrays = [
            np.empty((profile.count, chunk.height, width), profile.dtype)
            for profile in self.profiles
        ]
        row = 0
        for _, values, valid in self.product_rows():
            rows = slice(row, row + len(valid))
            for product, array, fresh in zip(self._rasters, arrays, values, strict=True):
                array[:, rows] = fresh
                array[:, rows][:, ~valid] = array.dtype.type(product.nodata)
            row += len(valid)
        return arrays, part, phase

    def _phase(self, chunk: Chunk) -> list[int]:
        """Windows to count from, so that the scene's last batch is as high as without chunks.

        A network may round otherwise in a batch of another size. All batches of a chunk are full
        but the scene's last one.
        """
        members = [member for group in self.teams[0] for member in group]
        shape = self.job.own.grid.shape
        is_plain = len(members) == 1 and self.job.own.grid.matches(self.job.views.scene.grid)
        if not is_plain or (chunk.rows[1], chunk.cols[1]) != shape:
            return [0] * len(members)
        layout = members[0].layout
        rest = layout.count - layout.crop(chunk.rows, chunk.cols).count
        return [rest % members[0].batch_size]

    def _choose(self, crew: Crew) -> list[Choice]:
        job = self.job
        choices = crew.restore(self._runtimes, job.views, job.hide, measure=False)
        if choices is None:
            names = ", ".join(str(each["name"]) for each in self._runtimes)
            problem = f"a worker does not have the run-time {names} on its device"
            raise WorkError(job.own.path, problem, "Let all workers be alike, or give --backend")
        return choices


class _Kept:
    """What a worker keeps from one task to the next."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """One task at a time: the threads of the processor are those of one network."""
        self.key: object = None
        self.opened: tuple[Ensemble, Crew] | None = None
        self.runs: OrderedDict[object, ChunkRun] = OrderedDict()

    def open(self, order: SceneOrder) -> tuple[Ensemble, Crew]:
        """The bundles, opened anew only if others are asked for, or by other options."""
        key = order.bundles, order.sha256, order.options
        if self.opened is None or self.key != key:
            self.runs.clear()
            self.opened = None  # two models need not have room beside each other
            ensemble = Ensemble([open_model(path) for path in order.bundles], order.options)
            # By what was found: what is not what the order tells of is opened anew next time.
            self.key = order.bundles, ensemble.sha256, order.options
            self.opened = ensemble, Crew(ensemble, order.options)
        return self.opened


_kept = _Kept()


@contextmanager
def _alone(
    order: SceneOrder,
) -> Iterator[tuple[list[tuple[int, str]], tuple[Ensemble, Crew]]]:
    """Have the worker for one task, and its messages gathered for whoever gave the order."""
    if order.version != __version__:
        problem = f"a worker has geoseg {__version__}, this is geoseg {order.version}"
        raise WorkError("--cluster", problem, f"Install geoseg {order.version} there")
    messages: list[tuple[int, str]] = []
    listener = _Listener(messages)
    logger = logging.getLogger("geoseg")
    with _kept.lock:
        # Each thread has a number of its own, which a convolution takes that comes before others.
        torch.set_num_threads(torch.get_num_threads())
        before = logger.propagate, logger.level
        logger.addHandler(listener)
        logger.propagate = False
        logger.setLevel(logging.INFO)
        try:
            with reaching(order.remote):
                yield messages, _kept.open(order)
        except RuntimeError as error:
            # What torch raises where the processor has no memory; on a GPU batches are halved.
            if "allocate memory" not in str(error):
                raise
            raise MemoryError(str(error)) from error
        finally:
            logger.removeHandler(listener)
            logger.propagate, logger.level = before


class _Listener(logging.Handler):
    """Gathers what is logged."""

    def __init__(self, messages: list[tuple[int, str]]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append((record.levelno, record.getMessage()))


def _job(order: SceneOrder, ensemble: Ensemble) -> SceneJob:
    """The scene as this worker sees it, which must be as it was seen where the order came from."""
    views = ensemble.look_at(order.scene)
    own = Scene.open(order.scene, replace(views.scene.options, resolution=None))
    settings = settings_of(views, ensemble, order.options)
    if mark_of(settings) != order.mark:
        raise WorkError(
            order.scene,
            "a worker sees another scene or model under this name",
            "Let all workers see the same files",
        )
    return SceneJob(
        views=views,
        own=own,
        hide=hide_in(order.options.aoi, own),
        targets=order.targets,
        settings=settings,
        replaceable=frozenset(),
    )


def _kept_run(order: SceneOrder, runtimes: Runtimes, ensemble: Ensemble, crew: Crew) -> ChunkRun:
    key = order.scene, order.stamp, order.mark, repr(runtimes)
    run = _kept.runs.pop(key, None)
    if run is None:
        run = ChunkRun(_job(order, ensemble), ensemble, crew, order.options, runtimes)
    _kept.runs[key] = run
    while len(_kept.runs) > _KEPT_SCENES:
        _kept.runs.popitem(last=False)
    return run
