"""One scene predicted by the workers of a cluster, and written here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_chunks import CHUNK_BYTES, Cutting, chunk_rows, cut_chunks
from geoseg.engine.cluster_crew import RemoteCrew
from geoseg.engine.cluster_flow import ChunkFlow
from geoseg.engine.cluster_reach import allowed_remote
from geoseg.engine.cluster_worker import (
    Chunk,
    ChunkResult,
    SceneOrder,
    Settled,
    predict_chunk,
    settle,
)
from geoseg.engine.crew import describe
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.fetch import Fetched
from geoseg.engine.options import PredictOptions
from geoseg.engine.panels import panel_width
from geoseg.engine.parts import Part, make_part
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import SceneRun
from geoseg.engine.settings import mark_of
from geoseg.engine.sink import Sink
from geoseg.errors import WorkError
from geoseg.geo.cog import BLOCK
from geoseg.geo.remote import is_remote
from geoseg.progress import Task

if TYPE_CHECKING:
    from distributed import Future


class ClusterRun(SceneRun):
    """Predicts one scene by a cluster.

    Args:
        job: The scene and its outputs.
        ensemble: The bundles; they are not run here.
        options: How scenes are predicted.
        cluster: Where.
        priority: Higher goes before other scenes.
    """

    def __init__(
        self,
        job: SceneJob,
        ensemble: Ensemble,
        options: PredictOptions,
        cluster: Cluster,
        priority: int = 0,
    ) -> None:
        self._cluster, self._priority = cluster, priority
        self._order = order_of(job, ensemble, options)
        super().__init__(job, ensemble, RemoteCrew(ensemble, self._settle), options)

    def plan(self) -> list[Part]:
        """Cut the scene into chunks.

        Raises:
            ConfigError: If the memory does not suffice for the narrowest one.
        """
        job, cutting = self._job, self._cutting()
        shape = job.own.grid.shape
        if self._options.mode == "resize":
            # Each chunk shows the network the whole scene: there are as few as memory wants.
            whole = replace(cutting, window=BLOCK, stride=BLOCK, workers=1)
            chunks = cut_chunks(shape, whole, cols=1)
        else:
            chunks = cut_chunks(shape, cutting, cols=self._panels(cutting.window))
        return [
            make_part(job, self.teams[0], rows, cols)
            for rows in chunks.rows
            for cols in chunks.cols
        ]

    def _run_parts(self, parts: Sequence[Part], sink: Sink, task: Task) -> None:
        """Hand the parts to the workers, and what comes of them to the sink."""
        runtimes = describe(self.choices)
        for part in parts:
            task.advance(part.row - part.rows[0])

        def submit(chunk: Chunk) -> Future:
            return self._cluster.submit(
                predict_chunk, self._order, runtimes, chunk, priority=self._priority
            )

        def take(chunk: Chunk, result: ChunkResult) -> None:
            counts = parts[chunk.part].counts
            for place, (windows, skipped) in enumerate(
                zip(result.windows, result.skipped, strict=True)
            ):
                counts.windows[place] += windows
                counts.skipped[place] += skipped
            width = chunk.cols[1] - chunk.cols[0]
            # Workers have put in what stands where there is no data.
            valid = np.broadcast_to(np.True_, (chunk.height, width))
            arrays = [Fetched(torch.from_numpy(_own(array))) for array in result.arrays]
            sink.put(chunk.part, arrays, valid)
            task.advance(chunk.height)

        left = [(place, part) for place, part in enumerate(parts) if not part.is_done]
        cutting, is_enough = self._cutting(), len(left) >= self._cluster.workers
        chunks = [
            chunk
            for place, part in left
            for chunk in self._chunks(place, part, cutting, is_enough=is_enough)
        ]
        ChunkFlow(self._cluster, self._job.own.path, submit, take).run(chunks)

    def _chunks(
        self, place: int, part: Part, cutting: Cutting, *, is_enough: bool
    ) -> Iterator[Chunk]:
        """What is left of a part: one chunk, or several where another run has cut it large.

        Args:
            place: Of the part.
            part: What is partly done.
            cutting: What a cut costs.
            is_enough: Whether there is a part for each worker.
        """
        height, width = part.rows[1] - part.row, part.cols[1] - part.cols[0]
        is_small = height * width * cutting.bytes_per_pixel <= CHUNK_BYTES
        step = height
        if not (is_small and is_enough) and self._options.mode != "resize":
            step = -(-chunk_rows((height, width), cutting, cols=1) // BLOCK) * BLOCK
        begun = part.row > part.rows[0]
        for top in range(part.row, part.rows[1], step):
            yield Chunk(
                part=place,
                rows=(top, min(top + step, part.rows[1])),
                cols=part.cols,
                phase=tuple(part.counts.windows) if begun and step == height else None,
            )

    def _cutting(self) -> Cutting:
        """What the cost of a cut depends on, by the network that has most windows in common."""
        job, members = self._job, [member for group in self.teams[0] for member in group]
        widest = max(members, key=lambda member: member.layout.window)
        ratio = job.own.grid.width / job.views.scene.grid.width
        window = max(round(widest.layout.window * ratio), 1)
        return Cutting(
            window=window,
            stride=min(max(round(widest.layout.stride * ratio), 1), window),
            bytes_per_pixel=sum(
                each.count * np.dtype(each.dtype).itemsize for each in self.profiles
            ),
            block=BLOCK,
            workers=self._cluster.workers,
        )

    def _panels(self, window: int) -> int | None:
        """Chunks side by side, so that none is too wide for the memory; None for any number."""
        most, width = self._options.max_memory, self._job.own.grid.width
        if most is None:
            return None
        panel = panel_width(most, self._need(), width, window, BLOCK)
        return None if panel >= width else -(-width // max(panel, BLOCK))

    def _settle(self, runtimes: object, measure: bool) -> Settled:  # noqa: FBT001 - a callback
        task = partial(settle, measure=measure)
        try:
            settled = self._cluster.call(task, self._order, runtimes, priority=self._priority)
        except MemoryError as error:
            problem = "a worker has no memory for the model"
            cure = "Give the workers more memory, or start fewer"
            raise WorkError(self._job.own.path, problem, cure) from error
        assert isinstance(settled, Settled)
        self._cluster.tell(settled.messages)
        return settled


def order_of(job: SceneJob, ensemble: Ensemble, options: PredictOptions) -> SceneOrder:
    """What workers are told of a scene."""
    aoi = None if options.aoi is None else absolute(str(options.aoi))
    return SceneOrder(
        scene=absolute(job.own.path),
        bundles=tuple(absolute(str(bundle.path)) for bundle in ensemble.bundles),
        options=replace(
            options,
            aoi=aoi,
            mosaic=None,
            max_memory=None,
            resume=False,
            timings=False,
            overwrite=False,
            cluster=None,
        ),
        targets=job.targets,
        sha256=ensemble.sha256,
        stamp=(*job.own.stamp, *job.own.sources),
        mark=mark_of(job.settings),
        remote=allowed_remote(),
    )


def absolute(path: str) -> str:
    """A path that leads to the same file from another folder; URLs do so as they are."""
    return path if is_remote(path) else str(Path(path).expanduser().absolute())


def _own(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array that may be written to: what came over a wire lies in bytes."""
    return array if array.flags.writeable else array.copy()
