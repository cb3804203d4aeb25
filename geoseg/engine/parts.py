"""The rectangles that a scene is cut into: panels that fit into memory, bands for several GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.engine.journal import Journal, Mark
from geoseg.engine.memory import free_gpu_memory
from geoseg.engine.panels import Need, bands, panel_width, split
from geoseg.engine.pipeline import Counts, Group
from geoseg.engine.resample import source_row
from geoseg.engine.scene_job import SceneJob
from geoseg.geo.cog import BLOCK

Span = tuple[int, int]
"""First, and behind the last."""


class Part:
    """A rectangle of the outputs that is predicted on its own, and how far that has come.

    Args:
        rows: First row, a multiple of the blocks' side, and behind the last.
        cols: First column, a multiple of the blocks' side, and behind the last.
        heights: Rows of the grid on which the scene is read, and of the outputs.
        counts: Windows dealt with, of each network.
    """

    def __init__(self, rows: Span, cols: Span, heights: tuple[int, int], counts: Counts) -> None:
        self.rows, self.cols, self.counts = rows, cols, counts
        self._heights = heights
        self.row = rows[0]
        """First row that is not in the files."""
        self.pixels: dict[int, int] = {}
        """Pixels of each class value in the files."""

    @property
    def is_done(self) -> bool:
        """Whether all of it is in the files."""
        return self.row == self.rows[1]

    def mark(self, place: int) -> Mark:
        """What is to be known for going on from `row`."""
        counts = self.counts
        if not self.is_done:
            counts = counts.before(source_row(self.row, *self._heights))
        state = {
            "windows": counts.windows,
            "skipped": counts.skipped,
            "pixels": {str(value): count for value, count in self.pixels.items()},
        }
        return Mark(region=place, row=self.row, state=state)

    def restore(self, mark: Mark) -> None:
        """Be as it was when a mark was made.

        Raises:
            KeyError, TypeError, ValueError: If it is not the mark of such a part.
        """
        state = mark.state
        first, last = self.rows
        if not first <= mark.row <= last or ((mark.row - first) % BLOCK and mark.row != last):
            raise ValueError(f"{mark.row} is no row to go on from")
        counts = Counts(windows=_counts(state["windows"]), skipped=_counts(state["skipped"]))
        if not len(counts.windows) == len(counts.skipped) == len(self.counts.windows):
            raise ValueError("another number of networks")
        self.pixels = {
            int(value): count
            for value, count in zip(state["pixels"], _counts(state["pixels"].values()), strict=True)
        }
        self.row, self.counts = mark.row, counts

    def count(self, values: npt.NDArray[Any], classes: Sequence[int]) -> None:
        """Count the class values of rows that were written."""
        for value in classes:
            found = int(np.count_nonzero(values == value))
            self.pixels[value] = self.pixels.get(value, 0) + found


def plan_parts(
    job: SceneJob,
    teams: Sequence[Sequence[Group]],
    need: Need,
    max_memory: int | None,
) -> list[Part]:
    """Cut a scene so that each device has work and all fits into memory.

    Args:
        job: The scene.
        teams: The networks on each device.
        need: Bytes for a panel, with all that is in memory already.
        max_memory: Bytes that may be taken; None for as many as there are.

    Raises:
        ConfigError: If the memory does not suffice for the narrowest panel.
    """
    height, width = job.own.grid.shape
    least = max(member.layout.window for group in teams[0] for member in group)
    least = -(-least * width // job.views.scene.grid.width)
    panel = width
    if max_memory is not None:
        panel = panel_width(max_memory, need, width, least, BLOCK)
    free = free_gpu_memory([groups[0][0].backend.device for groups in teams])
    if free is not None:
        fits = free // need.per_column - 2 * least
        panel = min(panel, max(fits, least, BLOCK) // BLOCK * BLOCK)
    rows = bands(height, len(teams), BLOCK) if len(teams) > 1 else [(0, height)]
    return [
        make_part(job, teams[0], band, cols)
        for band in rows
        for cols in split(width, max(panel, BLOCK), BLOCK)
    ]


def make_part(job: SceneJob, groups: Sequence[Group], rows: Span, cols: Span) -> Part:
    """A part of which nothing is done yet."""
    heights = job.views.scene.grid.height, job.own.grid.height
    return Part(rows, cols, heights, Counts.of(sum(map(len, groups))))


def restore_parts(journal: Journal, job: SceneJob, groups: Sequence[Group]) -> list[Part] | None:
    """The parts of an unfinished run as they were; None if its journal makes no sense."""
    try:
        parts = [_restored(entry, job, groups) for entry in journal.identity["parts"]]
        for place, mark in journal.marks.items():
            parts[place].restore(mark)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
    return parts if _make_whole(parts, job.own.grid.shape) else None


def _restored(entry: object, job: SceneJob, groups: Sequence[Group]) -> Part:
    height, width = job.own.grid.shape
    top, bottom, left, right = _counts(entry)
    if not (top < bottom <= height and left < right <= width) or top % BLOCK or left % BLOCK:
        raise ValueError(f"{entry} is no part")
    return make_part(job, groups, (top, bottom), (left, right))


def _make_whole(parts: Sequence[Part], shape: tuple[int, int]) -> bool:
    """Whether parts that begin at edges of blocks cover a raster, nothing twice.

    A cluster's run may have tens of thousands: they are not compared with each other.
    """
    height, width = shape
    is_taken = np.zeros((-(-height // BLOCK), -(-width // BLOCK)), np.bool_)
    area = 0
    for part in parts:
        (top, bottom), (left, right) = part.rows, part.cols
        blocks = is_taken[top // BLOCK : -(-bottom // BLOCK), left // BLOCK : -(-right // BLOCK)]
        if blocks.any():
            return False
        blocks[:] = True
        area += (bottom - top) * (right - left)
    return area == height * width


def _counts(values: object) -> list[int]:
    """Whole numbers of 0 or more that were read from a file."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{values!r} are no counts")
    found = [value for value in values if type(value) is int and value >= 0]
    if len(found) < len(list(values)):
        raise ValueError(f"{values!r} are no counts")
    return found
