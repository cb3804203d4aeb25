"""The chunks of a scene on their way to the workers and back, a few at a time."""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_worker import Chunk, ChunkResult
from geoseg.errors import WorkError
from geoseg.geo.cog import BLOCK

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2


class ChunkFlow:
    """Has chunks predicted, and hands them on: those of one part from the top down.

    What a worker has predicted stays with it until its turn has come, so that no more than one
    chunk of a scene is on its way into memory here.

    Args:
        cluster: Where they are predicted.
        subject: The scene, for errors.
        submit: Gives a chunk to a worker.
        take: Takes the result.
    """

    def __init__(
        self,
        cluster: Cluster,
        subject: str,
        submit: Callable[[Chunk], Future],
        take: Callable[[Chunk, ChunkResult], None],
    ) -> None:
        self._cluster, self._subject = cluster, subject
        self._submit, self._take = submit, take
        self._todo: deque[Chunk] = deque()
        self._running: dict[Chunk, Future] = {}
        self._slots: set[Chunk] = set()
        self._done: dict[tuple[int, int], tuple[Chunk, Future]] = {}
        self._turn: dict[int, int] = {}
        self._arrived: queue.SimpleQueue[Chunk] = queue.SimpleQueue()

    def run(self, chunks: Sequence[Chunk]) -> None:
        """Have all chunks predicted.

        Args:
            chunks: Those of each part from the top down.

        Raises:
            GeosegError: If one cannot be predicted, or the cluster is lost.
        """
        self._todo.extend(chunks)
        for chunk in reversed(chunks):
            self._turn[chunk.part] = chunk.rows[0]
        try:
            while self._todo or self._running:
                self._send()
                with suppress(queue.Empty):
                    self._receive(self._arrived.get(timeout=_LOOK_SECONDS))
                self._cluster.check()
        finally:
            self._drop()

    def _send(self) -> None:
        """Give chunks to workers as long as there are slots."""
        while self._todo:
            chunk = self._todo[0]
            # What waits for this very chunk holds slots, too: it must not wait for one of those.
            is_awaited = any(part == chunk.part for part, _ in self._done)
            if not is_awaited:
                if not self._cluster.take_slot(wait=not self._running):
                    return
                self._slots.add(chunk)
            self._todo.popleft()
            future = self._submit(chunk)
            self._running[chunk] = future
            future.add_done_callback(lambda _, chunk=chunk: self._arrived.put(chunk))

    def _receive(self, chunk: Chunk) -> None:
        """A chunk is done, or has failed; hand on all whose turn has come."""
        future = self._running.pop(chunk)
        self._done[chunk.part, chunk.rows[0]] = chunk, future
        while (found := self._done.pop((chunk.part, self._turn[chunk.part]), None)) is not None:
            first, future = found
            try:
                result = self._cluster.result(future)
                assert isinstance(result, ChunkResult)
            except MemoryError:
                self._halve(first)
                return
            finally:
                self._give_slot(first)
            self._cluster.tell(result.messages)
            self._turn[first.part] = first.rows[1]
            self._take(first, result)

    def _halve(self, chunk: Chunk) -> None:
        """Try again with half as many rows."""
        blocks = -(-chunk.height // BLOCK)
        first, last = chunk.rows
        if blocks < 2:
            raise WorkError(
                self._subject,
                f"a worker has no memory for rows {first} to {last}, and they cannot be halved",
                "Give the workers more memory, start fewer, or use --max-memory",
            )
        middle = first + blocks // 2 * BLOCK
        logger.warning(
            "%s: a worker has no memory for rows %d to %d; going on with halves of them",
            self._subject,
            first,
            last,
        )
        self._todo.appendleft(replace(chunk, rows=(middle, last), phase=None))
        self._todo.appendleft(replace(chunk, rows=(first, middle)))

    def _give_slot(self, chunk: Chunk) -> None:
        if chunk in self._slots:
            self._slots.remove(chunk)
            self._cluster.give_slot()

    def _drop(self) -> None:
        """Forget what is under way, after an error."""
        for future in (*self._running.values(), *(future for _, future in self._done.values())):
            with suppress(Exception):
                future.release()
        for chunk in list(self._slots):
            self._give_slot(chunk)
