"""Tiles cut by the workers of a cluster, which write them where all see them."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from geoseg import __version__
from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_forks import TO_CUT, begin_to_import
from geoseg.engine.cluster_reach import allowed_remote, reaching
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.errors import WorkError
from geoseg.geo.tile_plan import Place
from geoseg.geo.tiling import Pieces, SceneCutter, Tally
from geoseg.progress import Task

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)

_MOST_PLACES = 256
"""Of a task: a scene with more is cut by several workers."""

_one_task = threading.Lock()
"""Of this worker at a time: all its threads share one folder from which relative paths lead."""


@dataclass(frozen=True, kw_only=True)
class TileOrder:
    """Places of one scene, as workers are told of them."""

    cutter: SceneCutter
    """Cuts them."""

    groups: list[list[Place]]
    """Those of a group are read at once."""

    folder: str
    """From where relative paths lead to the scene and its labels."""

    remote: str | None = None
    """The one remote file that may be read; None for all."""

    version: str = __version__
    """Of geoseg."""

    @property
    def count(self) -> int:
        """Places."""
        return sum(map(len, self.groups))


class ClusterCutters:
    """Cut by a cluster; a task is a scene, or a part of one that has many places.

    Args:
        cluster: Where.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def cut(self, pieces: Pieces, task: Task) -> Iterator[Tally]:
        """See `geoseg.geo.tiling.Cutters`: few tasks are under way at any time."""
        waiting: deque[tuple[TileOrder, Future]] = deque()
        try:
            for order in _orders(pieces):
                if not self._cluster.take_slot(wait=not waiting):
                    yield from self._take(*waiting[0], task)
                    waiting.popleft()
                    self._cluster.take_slot(wait=True)
                waiting.append((order, self._cluster.submit(cut_scene, order)))
            while waiting:
                yield from self._take(*waiting[0], task)
                waiting.popleft()
        finally:
            for _, future in waiting:
                with suppress(Exception):
                    future.release()

    def _take(self, order: TileOrder, future: Future, task: Task) -> list[Tally]:
        tallies = self._cluster.wait(future)
        self._cluster.give_slot()
        assert isinstance(tallies, list)
        task.advance(order.count)
        return tallies


@contextmanager
def cutting(cluster: str | None) -> Iterator[ClusterCutters | None]:
    """Who cuts: workers, or nobody else than threads of this process.

    Args:
        cluster: As the user wrote it.

    Raises:
        ConfigError: If the cluster cannot be used.
        WorkError: If it is not to be had.
    """
    if cluster is None:
        yield None
        return
    begin_to_import(cluster, TO_CUT)
    with Cluster(ClusterSpec.parse(cluster)) as started:
        yield ClusterCutters(started)


def cut_scene(order: TileOrder) -> list[Tally]:
    """Cut places, and write their tiles.

    Returns:
        What became of each group, in order.

    Raises:
        GeosegError: As `geoseg.geo.tiling.Tiler.run` does.
        WorkError: If this worker is of another geoseg, or does not see the files.
    """
    if order.version != __version__:
        problem = f"a worker has geoseg {__version__}, this is geoseg {order.version}"
        raise WorkError("--cluster", problem, f"Install geoseg {order.version} there")
    root = order.cutter.encoder.root
    for folder in (root, order.folder):
        if not os.path.isdir(folder):
            raise WorkError(folder, "is not seen by a worker", "Let all workers see the same files")
    with _one_task, chdir(order.folder), reaching(order.remote):
        return [order.cutter.cut(group) for group in order.groups]


def _orders(pieces: Pieces) -> Iterator[TileOrder]:
    common = partial(TileOrder, folder=os.getcwd(), remote=allowed_remote())
    for _, of_scene in groupby(pieces, key=lambda piece: id(piece[0])):
        groups: list[list[Place]] = []
        cutter: SceneCutter | None = None
        for cutter, group in of_scene:
            groups.append(group)
            if sum(map(len, groups)) >= _MOST_PLACES:
                yield common(cutter=cutter, groups=groups)
                groups = []
        if groups and cutter is not None:
            yield common(cutter=cutter, groups=groups)
