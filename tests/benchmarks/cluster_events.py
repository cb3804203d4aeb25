"""A cluster of any size on paper: chunks, one scheduler, workers, one writer, as events in time.

The scheduler and the writer serve one chunk at a time, in the order in which they come; each
worker computes one and has others waiting. What they take are figures that were measured.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a simulation depends on; seconds."""

    chunks: int
    workers: int
    compute: float
    """Of one chunk on a worker."""
    schedule: float
    """Of the scheduler for one chunk: half before, half after it is computed."""
    write: float
    """To bring one result to the writer and have it written."""
    ahead: int = 2
    """Chunks handed out, for each worker."""
    spread: float = 0.1
    """Chunks take `compute` give or take this share of it."""


SCHEDULE, START, DONE, WRITTEN = range(4)


def simulate(job: Job, seed: int = 0) -> float:
    """Seconds from the first chunk handed out to the last written."""
    draw = random.Random(seed)
    events: list[tuple[float, int, int, int]] = []
    count = 0

    def at(time: float, what: int, worker: int) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (time, count, what, worker))

    todo, time = job.chunks, 0.0
    scheduler_free = writer_free = 0.0
    worker_free = [0.0] * job.workers
    for slot in range(min(job.ahead * job.workers, job.chunks)):
        at(0.0, SCHEDULE, slot % job.workers)
        todo -= 1
    while events:
        time, _, what, worker = heapq.heappop(events)
        if what == SCHEDULE:
            scheduler_free = max(scheduler_free, time) + job.schedule / 2
            at(scheduler_free, START, worker)
        elif what == START:
            took = job.compute * (1 + job.spread * draw.uniform(-1, 1))
            worker_free[worker] = max(worker_free[worker], time) + took
            at(worker_free[worker], DONE, worker)
        elif what == DONE:
            scheduler_free = max(scheduler_free, time) + job.schedule / 2
            writer_free = max(writer_free, scheduler_free) + job.write
            at(writer_free, WRITTEN, worker)
        elif todo:
            todo -= 1
            at(time, SCHEDULE, worker)
    return time


def efficiency(job: Job, useful: float = 1.0) -> float:
    """Share of the workers' time that is spent on what an uncut scene would take, too.

    Args:
        job: The job.
        useful: Share of `compute` that an uncut scene would take.
    """
    return useful * job.chunks * job.compute / (job.workers * simulate(job))
