"""Many scenes on one cluster: several at once, the largest first, each failing for itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_chunks import CHUNK_BYTES
from geoseg.engine.scene_job import SceneJob
from geoseg.errors import GeosegError, WorkError
from geoseg.progress import Progress, Task

logger = logging.getLogger(__name__)

MEMORY = 1 << 30
"""Bytes of results, about, that scenes under way may have in memory here."""

_HELD = 4
"""Results of a scene that are in memory at once: on their way, in the queue, being written."""

_MOST_SCENES = 64
"""Under way at once."""

T = TypeVar("T")


def run_scenes(
    jobs: Sequence[SceneJob],
    cluster: Cluster,
    work: Callable[[SceneJob, int, Progress], T],
    progress: Progress,
) -> list[T]:
    """Do the work of several scenes, which is mostly to wait for workers.

    Args:
        jobs: The scenes.
        cluster: Their workers.
        work: Called with a scene, its priority, and where to report.
        progress: Where to report on all together.

    Returns:
        What came of each, in order.

    Raises:
        WorkError: If scenes failed, once all others are done; or if the cluster is lost.
    """
    if len(jobs) == 1:
        return [work(jobs[0], 0, progress)]
    order = sorted(range(len(jobs)), key=lambda place: -_pixels(jobs[place]))
    results: dict[int, T] = {}
    failures: dict[int, GeosegError] = {}
    room = _Room(cluster)
    total = sum(job.own.grid.height for job in jobs)
    threads = min(len(jobs), 2 * cluster.workers + 1, _MOST_SCENES)
    with progress.task(f"{len(jobs)} scenes", total, "rows") as task:

        def do(rank: int, place: int) -> None:
            job = jobs[place]
            with room.taken(min(_pixels(job), CHUNK_BYTES) * _HELD):
                try:
                    told = _Share(task, job.own.grid.height)
                    results[place] = work(job, -rank, told)
                    told.finish()
                except GeosegError as error:
                    cluster.check()
                    logger.warning("%s", error)
                    failures[place] = error

        with ThreadPoolExecutor(threads, thread_name_prefix="geoseg-scene") as pool:
            futures = [pool.submit(do, rank, place) for rank, place in enumerate(order)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                cluster.ended.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    if failures:
        raise _failure([failures[place] for place in sorted(failures)], len(jobs))
    return [results[place] for place in range(len(jobs))]


def _failure(errors: Sequence[GeosegError], scenes: int) -> WorkError:
    """One line about all scenes that failed."""
    told = "; ".join(f"{error.subject} {error.problem}" for error in errors)
    return WorkError(
        f"{len(errors)} of {scenes} scenes failed, all others are done",
        told,
        "Mend them, and run again with --resume",
    )


def _pixels(job: SceneJob) -> int:
    height, width = job.own.grid.shape
    return height * width


class _Room:
    """Lets scenes in as long as there is memory for them, and always one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._free = threading.Condition()
        self._used = 0

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Have so many bytes, once they are there."""
        with self._free:
            while self._used and self._used + size > MEMORY:
                self._free.wait(0.5)
                self._cluster.check()
            self._used += size
        try:
            yield
        finally:
            with self._free:
                self._used -= size
                self._free.notify_all()


class _Share(Progress):
    """Reports of one scene, told as its share of the rows of all scenes.

    Args:
        whole: The progress of all scenes.
        rows: Of this one; it may report them as more, where it is cut across.
    """

    def __init__(self, whole: Task, rows: int) -> None:
        super().__init__("none")
        self._whole, self._rows = whole, rows
        self._told = 0
        self._begun = False

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        """The first is that of the network; others, of polygons, are not counted."""
        if self._begun or not total:
            with super().task(name, total, unit) as silent:
                yield silent
            return
        self._begun = True
        yield _Scaled(self._tell, total, self._rows)

    def finish(self) -> None:
        """All of it is done, also what there was no need to do."""
        self._tell(self._rows)

    def _tell(self, rows: int) -> None:
        self._whole.advance(rows - self._told)
        self._told = rows


class _Scaled:
    """Counts to a total, and tells it as rows."""

    def __init__(self, tell: Callable[[int], None], total: int, rows: int) -> None:
        self._tell, self._total, self._rows = tell, total, rows
        self._done = 0

    def advance(self, count: int = 1) -> None:
        """Tell that `count` more units are done."""
        self._done += count
        self._tell(self._done * self._rows // self._total)
