"""From a scene to finished rows of averaged scores, in the memory of a strip.

A reader thread decodes ahead, this thread runs the networks and averages, the caller's sink writes
behind. No array is ever as high as the scene.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoseg.engine.backends import Backend
from geoseg.engine.batches import Batcher
from geoseg.engine.fetch import Fetched, fetch
from geoseg.engine.layout import Layout
from geoseg.engine.mosaic import Mosaic
from geoseg.engine.strips import Extent, Hide, Rows, Strip, StripReader
from geoseg.engine.timings import Timings
from geoseg.engine.votes import count_votes
from geoseg.errors import WorkError
from geoseg.geo.raster import Raster, Scene

ScoreRows = tuple[int, Tensor, npt.NDArray[np.bool_]]
"""First row, scores (classes, rows, width) on the device, valid (rows, width)."""

_PAIR = 2
"""Windows that a scene's last batch has at least, if the scene has several. On a processor nearly
all networks round otherwise for a single one, and most alike for all larger batches. Which windows
are in the last batch depends on where the run was cut or stopped, and on empty windows before."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network that looks at the scene by windows of its own."""

    backend: Backend
    """Runs it."""

    layout: Layout
    """Its windows; all members of a run have the same core."""

    batch_size: int
    """Windows in one forward pass; the last pass may have fewer."""

    channels: tuple[int, ...] | None = None
    """Bands of the scene that it wants; None for all."""


Group = Sequence[Member]
"""Networks whose scores are averaged."""


@dataclass(slots=True)
class Counts:
    """Windows that were dealt with, by member, and had been when each row of windows began."""

    windows: list[int] = field(default_factory=lambda: [0])
    """Those that went through the network."""

    skipped: list[int] = field(default_factory=lambda: [0])
    """Those without any valid pixel, which did not."""

    _begun: list[tuple[int, int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, members: int) -> Counts:
        """Nothing done yet."""
        return cls(windows=[0] * members, skipped=[0] * members)

    def begin(self, member: int, end: int) -> None:
        """Note that a member begins a row of windows that ends before row `end` of the scene."""
        self._begun.append((member, end, self.windows[member], self.skipped[member]))

    def before(self, row: int) -> Counts:
        """What had been done when the windows that touch `row`, or what is below, began."""
        counts = Counts(windows=list(self.windows), skipped=list(self.skipped))
        for member, end, windows, skipped in reversed(self._begun):
            if end > row:
                counts.windows[member], counts.skipped[member] = windows, skipped
        return counts


def visible(raster: Raster) -> npt.NDArray[np.bool_]:
    """Hides nothing: what is valid stays so."""
    return raster.valid


def predict_windows(
    scene: Scene,
    groups: Sequence[Group],
    *,
    hide: Hide = visible,
    counts: Counts | None = None,
    timings: Timings | None = None,
) -> Iterator[ScoreRows]:
    """Average the scores of sliding windows.

    Args:
        scene: What to predict.
        groups: The networks. Those of one group are averaged; several groups have one vote each.
        hide: What of each strip is to be predicted.
        counts: Counted up as windows are done. With those of an earlier run it goes on where that
            was left: with the same windows side by side in each forward pass.
        timings: Told how long each stage takes.

    Yields:
        Finished rows of the layouts' core from top to bottom, each row once.

    Raises:
        SceneError: If the scene cannot be read.
        WorkError: If a network gives what is no number, or finds no memory for one window.
    """
    members = [member for group in groups for member in group]
    counts = counts if counts is not None else Counts.of(len(members))
    timings = timings or Timings()
    extent = _extent(members)
    device = members[0].backend.device
    with StripReader(scene, extent, hide, device, timings) as rows:
        valid = _ValidRows(rows, extent, members[0].layout)
        run = _Run(scene, groups, Strip(valid, extent, _highest(members)), counts, timings)
        for first, scores in _checked(run.rows(), scene, members[0].layout):
            yield first, scores, valid.take(first, scores.shape[1])


def _extent(members: Sequence[Member]) -> Extent:
    rows = [member.layout.rows for member in members]
    cols = [member.layout.cols for member in members]
    return Extent(
        rows=(min(axis.begin for axis in rows), max(axis.end for axis in rows)),
        cols=(min(axis.begin for axis in cols), max(axis.end for axis in cols)),
    )


def _highest(members: Sequence[Member]) -> int:
    return max(member.layout.window for member in members)


class _Run:
    """The windows of all members in the order of their rows, and where their scores go."""

    def __init__(
        self,
        scene: Scene,
        groups: Sequence[Group],
        strip: Strip,
        counts: Counts,
        timings: Timings,
    ) -> None:
        self._members = [member for group in groups for member in group]
        self._strip, self._counts, self._timings = strip, counts, timings
        row = min(member.layout.rows.begin for member in self._members)
        self._mosaics = [_mosaic(group, row) for group in groups]
        self._slots = [slot for place, group in enumerate(groups) for slot in _slots(place, group)]
        # With several members each row of windows ends its batches, so that all come in order.
        self._is_alone = len(self._members) == 1
        self._batchers = [
            Batcher(
                member.backend,
                member.batch_size,
                scene.path,
                phase=counts.windows[place] % member.batch_size if self._is_alone else 0,
            )
            for place, member in enumerate(self._members)
        ]

    def rows(self) -> Iterator[tuple[int, Tensor]]:
        """First row and combined scores of rows that are finished."""
        order = sorted(
            (row, place, row_index)
            for place, member in enumerate(self._members)
            for row_index, row in enumerate(member.layout.rows.offsets)
        )
        for row, place, row_index in order:
            yield from self._window_row(row, place, row_index)
        if self._is_alone:
            layout = self._members[0].layout
            if _goes_on(layout):
                # As where the windows behind are predicted too: a network may round otherwise in
                # a smaller batch.
                self._batchers[0].fill()
            elif layout.rows.padded > layout.window or layout.cols.padded > layout.window:
                self._batchers[0].fill(_PAIR)
            yield from self._forward(0)
        yield from self._take(max(member.layout.rows.end for member in self._members))

    def _window_row(self, row: int, place: int, row_index: int) -> Iterator[tuple[int, Tensor]]:
        member, batcher = self._members[place], self._batchers[place]
        size, counts = member.layout.window, self._counts
        yield from self._pass_gap(row)
        counts.begin(place, row + size)
        with self._timings.measure("cut"):
            self._strip.advance(row, size)
        if not self._strip.has_data(size):
            counts.skipped[place] += len(member.layout.cols.offsets)
            return
        for col_index, col in enumerate(member.layout.cols.offsets):
            valid = self._strip.valid(col, size)
            if not valid.any():
                counts.skipped[place] += 1
                continue
            counts.windows[place] += 1
            with self._timings.measure("cut"):
                pixels = self._strip.pixels(col, size)
                batcher.put(pixels, member.channels, valid, (row_index, col_index))
            if batcher.is_full:
                yield from self._forward(place)
        if not self._is_alone:
            yield from self._forward(place)

    def _pass_gap(self, row: int) -> Iterator[tuple[int, Tensor]]:
        """Hand out all rows above, unless windows wait that touch them.

        Without it a scene's empty rows would be kept, however many, until a window comes. Of one
        network windows wait to fill a batch; of several none does between rows of windows.
        """
        batcher, layout = self._batchers[0], self._members[0].layout
        if batcher.last is not None:
            if row <= layout.rows.offsets[batcher.last[0]] + layout.window:
                return
            batcher.break_off()
            yield from self._forward(0)
        yield from self._take(row)

    def _forward(self, place: int) -> Iterator[tuple[int, Tensor]]:
        """Run the windows that wait for a member, and add their scores."""
        member, (group, layout) = self._members[place], self._slots[place]
        for windows, scores in self._batchers[place].run(self._timings):
            for (row_index, col_index), window_scores in zip(windows, scores, strict=True):
                # Windows come in the order of their rows: above this one all are finished.
                yield from self._take(member.layout.rows.offsets[row_index])
                with self._timings.measure("add"):
                    self._mosaics[group].add(layout, row_index, col_index, window_scores)

    def _take(self, until: int) -> Iterator[tuple[int, Tensor]]:
        step = self._members[0].layout.stride
        while self._mosaics[0].row < until:
            first = max(self._mosaics[0].row, self._members[0].layout.rows.core[0])
            with self._timings.measure("add"):
                stop = min(self._mosaics[0].row + step, until)
                taken = [mosaic.take(stop) for mosaic in self._mosaics]
                scores = [each for each in taken if each is not None]
            if scores:
                yield first, scores[0] if len(scores) == 1 else count_votes(scores)


def _mosaic(group: Group, row: int) -> Mosaic:
    layouts = {_key(member.layout): member.layout for member in group}
    counts = [sum(_key(member.layout) == key for member in group) for key in layouts]
    return Mosaic(list(layouts.values()), counts, group[0].backend, row)


def _slots(place: int, group: Group) -> list[tuple[int, int]]:
    """For each member of a group: the place of the group, and of its layout in its mosaic."""
    keys = list(dict.fromkeys(_key(member.layout) for member in group))
    return [(place, keys.index(_key(member.layout))) for member in group]


def _goes_on(layout: Layout) -> bool:
    """Whether the scene has windows behind the last of these."""
    rows, cols = layout.rows, layout.cols
    return rows.end < rows.padded or cols.end < cols.padded


def _key(layout: Layout) -> tuple[int, int]:
    return layout.window, layout.stride


class _ValidRows:
    """Passes rows on and keeps their validity until the scores of these rows are finished."""

    def __init__(self, rows: Iterator[Rows], extent: Extent, layout: Layout) -> None:
        self._rows = rows
        self._kept: deque[tuple[int, npt.NDArray[np.bool_]]] = deque()
        left = extent.cols[0]
        self._cols = slice(layout.cols.core[0] - left, layout.cols.core[1] - left)

    def __iter__(self) -> _ValidRows:
        return self

    def __next__(self) -> Rows:
        rows = next(self._rows)
        self._kept.append((rows.first, rows.valid[:, self._cols]))
        return rows

    def take(self, first: int, count: int) -> npt.NDArray[np.bool_]:
        """The validity (count, width) of some rows; those above are forgotten."""
        parts: list[npt.NDArray[np.bool_]] = []
        while count > 0:
            start, kept = self._kept.popleft()
            part = kept[first - start : first - start + count]
            if start + len(kept) > first + count:
                self._kept.appendleft((start, kept))
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return np.concatenate(parts)


def _checked(
    rows: Iterator[tuple[int, Tensor]], scene: Scene, layout: Layout
) -> Iterator[tuple[int, Tensor]]:
    """Refuse rows with NaN: it spreads through the average, so finished rows tell it all.

    On a GPU rows are held back until the next ones come, so that nobody waits for the answer.
    """
    held: deque[tuple[int, Tensor, Fetched]] = deque()
    for first, scores in rows:
        held.append((first, scores, fetch(_some_of(scores).sum())))
        while held and (len(held) > 1 or held[0][2].is_there):
            yield _finite(*held.popleft(), scene, layout)
    while held:
        yield _finite(*held.popleft(), scene, layout)


def _some_of(scores: Tensor) -> Tensor:
    """All of them, but one where a single number stands for a gap of them."""
    return scores[:, :1, :1] if scores.stride()[1:] == (0, 0) else scores


def _finite(
    first: int, scores: Tensor, total: Fetched, scene: Scene, layout: Layout
) -> tuple[int, Tensor]:
    if np.isfinite(total.array()):
        return first, scores
    broken = torch.isfinite(scores).logical_not().nonzero()
    if len(broken) == 0:
        return first, scores  # only the sum of large numbers is beyond float32
    _, row, col = broken[0].tolist()
    over_row = layout.rows.first_over(first + row)
    over_col = layout.cols.first_over(layout.cols.core[0] + col)
    raise WorkError(
        scene.path,
        f"the network gave NaN or infinity in the window at row {over_row}, column {over_col}",
        "Try --precision fp32, or check the model",
    )
