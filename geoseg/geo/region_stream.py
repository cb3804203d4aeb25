"""Regions of a class raster of any height, labelled while its rows pass by.

Regions are 4-connected pixels of one value. Only the last row and the regions that reach it are
kept: their *slots* are used again once a region has ended, so memory does not grow with height.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled, inlined

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]

FREE, GIVEN = 0, 1
"""Places in `Slots.counts`: how many slots are free, how many numbers have been given."""

_ENDED = -1


class Slots(NamedTuple):
    """What is known of the regions that are being labelled, one slot each."""

    parents: Ints
    """(slots,) the slot that each was merged into, else itself."""

    numbers: Longs
    """(slots,) the number of each region: that of its earliest part."""

    last_rows: Longs
    """(slots,) the last row with pixels of each; -1 once it has ended."""

    free: Ints
    """(slots,) a stack of the slots that are free."""

    counts: Longs
    """(2,) see `FREE` and `GIVEN`."""

    @classmethod
    def of(cls, size: int) -> Slots:
        """Slots of which all are free."""
        return cls(
            parents=np.arange(size, dtype=np.int32),
            numbers=np.zeros(size, np.int64),
            last_rows=np.zeros(size, np.int64),
            free=np.arange(size - 1, -1, -1, dtype=np.int32),
            counts=np.array([size, 0]),
        )

    def with_free(self, least: int) -> Slots:
        """The same with at least `least` free slots: itself, or a larger copy."""
        free, old = int(self.counts[FREE]), len(self.parents)
        if free >= least:
            return self
        more = Slots.of(max(old + least, old * 3 // 2) - old)
        added = len(more.parents)
        return Slots(
            parents=np.concatenate([self.parents, more.parents + np.int32(old)]),
            numbers=np.concatenate([self.numbers, more.numbers]),
            last_rows=np.concatenate([self.last_rows, more.last_rows]),
            free=np.concatenate(
                [self.free[:free], more.free + np.int32(old), np.zeros(old - free, np.int32)]
            ),
            counts=np.array([free + added, self.counts[GIVEN]]),
        )


class RegionStream:
    """Numbers the regions of a raster that is handed over in blocks of rows.

    A region gets a number where, in raster order, a run of its pixels begins without an equal
    pixel above it: 1, 2, and so on. Parts that meet further down are merged, and go on under the
    smallest number. So numbers depend on the raster alone, never on how it is cut into blocks.
    """

    def __init__(self, width: int) -> None:
        """Begin a raster.

        Args:
            width: Its columns.
        """
        self._slots = Slots.of(4 * width)
        self._row = 0
        self._labels = np.zeros(width, np.int32)
        self._values: npt.NDArray[Any] | None = None
        self.merged: Longs = np.zeros((0, 2), np.int64)
        """(merges, 2) what the last push merged, in order: a number, and the smaller one that
        its pixels go on under. Either may have pixels in earlier pushes."""
        self.ended: Longs = np.zeros(0, np.int64)
        """(ended,) numbers of regions that get no more pixels, known since the last push; in
        the order of their last rows, then of their columns there."""

    @property
    def count(self) -> int:
        """Numbers given so far."""
        return int(self._slots.counts[GIVEN])

    def push(self, values: npt.NDArray[Any]) -> Longs:
        """Label the next rows.

        Args:
            values: (height, width) integers, the same type in every push.

        Returns:
            (height, width) the number of each pixel's region as known when its row was done;
            `merged` tells which numbers turned out to be parts of a smaller one later.
        """
        height, width = values.shape
        numbers = np.empty((height, width), np.int64)
        # Of no run in a row is anything merged or ended more than once.
        merged, ended = np.empty((height, width, 2), np.int64), np.empty((height, width), np.int64)
        merges, ends = np.zeros(height, np.int64), np.zeros(height, np.int64)
        above = np.zeros(0, values.dtype) if self._values is None else self._values
        for row in range(height):
            self._slots = self._slots.with_free(width)
            merges[row], ends[row] = _push_row(
                self._slots,
                self._row + row,
                (above, values[row]),
                self._labels,
                (numbers[row], merged[row], ended[row]),
            )
            above = values[row]
        self._values, self._row = above.copy(), self._row + height
        within = np.arange(width)
        self.merged = merged[within < merges[:, None]]
        self.ended = ended[within < ends[:, None]]
        return numbers

    def finish(self) -> Longs:
        """End the raster: regions of its last row end too.

        Returns:
            (ended,) their numbers, by column; `ended` holds them too, `merged` nothing.
        """
        numbers = self._slots.numbers[self._labels] if self._values is not None else self.ended[:0]
        _, places = np.unique(numbers, return_index=True)
        self.merged, self.ended = self.merged[:0], numbers[np.sort(places)]
        return self.ended

    def find(self, numbers: Longs) -> Longs:
        """What numbers that the last push returned go on under after it.

        Args:
            numbers: (...) labels of the last push.
        """
        order = np.argsort(self.merged[:, 0])
        merged, into = self.merged[order].T
        while len(merged):
            places = np.minimum(np.searchsorted(merged, numbers), len(merged) - 1)
            found = merged[places] == numbers
            if not found.any():
                break
            numbers = np.where(found, into[places], numbers)
        return numbers


@inlined
def find(parents: Ints, slot: int) -> int:
    """The slot that a slot has been merged into in the end; paths are halved on the way."""
    while parents[slot] != slot:
        parents[slot] = parents[parents[slot]]
        slot = parents[slot]
    return slot


@inlined
def label_row(
    slots: Slots,
    row: int,
    values: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    labels: tuple[Ints, Ints],
    merged: Ints,
) -> int:
    """Label a row whose neighbours above are labelled.

    Args:
        slots: With at least `width` free slots.
        row: Number of the row.
        values: Two of (width,): of the row above (empty for the first row) and of this one.
        labels: Two of (width,) slots: of the row above; of this one, to be filled.
        merged: (width, 2) to be filled with slots: one, and that of the region it belongs to.

    Returns:
        How many slots were merged.
    """
    above, own = values
    first_row = len(above) == 0
    width, merges, col = len(own), 0, 0
    while col < width:
        begin, value, root = col, own[col], -1
        while col < width and own[col] == value:
            if not first_row and above[col] == value and (col == begin or above[col - 1] != value):
                root, merges = unite(slots, root, labels[0][col], merged, merges)
            col += 1
        if root < 0:
            root = take(slots)
        slots.last_rows[root] = row
        labels[1][begin:col] = root
    return merges


@inlined
def unite(slots: Slots, root: int, slot: int, merged: Ints, merges: int) -> tuple[int, int]:
    """Make the region of a slot one with another; the older one stays.

    Args:
        slots: All regions.
        root: The other region, or -1 for none yet.
        slot: Of the first region, or one that was merged into it.
        merged: (n, 2), to which the slot that ends is added, and the one it belongs to.
        merges: How many there are in `merged`.

    Returns:
        The region that both are now; how many there are in `merged` then.
    """
    other = find(slots.parents, slot)
    if root < 0:
        return other, merges
    if root == other:
        return root, merges
    if slots.numbers[other] < slots.numbers[root]:
        root, other = other, root
    slots.parents[other] = root
    merged[merges, 0], merged[merges, 1] = other, root
    return root, merges + 1


@inlined
def take(slots: Slots) -> int:
    """Give a new region a slot and a number."""
    slots.counts[FREE] -= 1
    slots.counts[GIVEN] += 1
    slot: int = slots.free[slots.counts[FREE]]
    slots.parents[slot] = slot
    slots.numbers[slot] = slots.counts[GIVEN]
    return slot


@inlined
def release(slots: Slots, slot: int) -> None:
    """Make a slot free for another region."""
    slots.free[slots.counts[FREE]] = slot
    slots.counts[FREE] += 1


@inlined
def end_regions(slots: Slots, row: int, labels: Ints, ended: Ints) -> int:
    """Find the regions of a row that do not reach the next one.

    Args:
        slots: The regions.
        row: Number of the next row, which is labelled.
        labels: (width,) slots of the row before it.
        ended: (width,) to be filled with the slots of regions that ended, by column.

    Returns:
        How many ended.
    """
    ends, before = 0, -1
    for slot in labels:
        if slot != before:
            before = slot
            root = find(slots.parents, slot)
            if slots.last_rows[root] == row - 1:
                slots.last_rows[root] = _ENDED
                ended[ends] = root
                ends += 1
    return ends


@inlined
def settle_row(slots: Slots, labels: Ints, merged: Ints) -> None:
    """Put the final slots into a labelled row, and free those that were merged in it.

    Args:
        slots: The regions.
        labels: (width,) slots of the row, changed in place.
        merged: (merges, 2) as `label_row` filled it.
    """
    if len(merged) == 0:
        return
    before = root = labels[0]
    root = find(slots.parents, root)
    for col in range(len(labels)):
        if labels[col] != before:
            before = labels[col]
            root = find(slots.parents, before)
        labels[col] = root
    for place in range(len(merged)):
        release(slots, merged[place, 0])


@compiled
def _push_row(
    slots: Slots,
    row: int,
    values: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    labels: Ints,
    found: tuple[Longs, Longs, Longs],
) -> tuple[int, int]:
    """Label a row and fill the numbers of its pixels, of what merged and of what ended."""
    numbers, merged, ended = found
    width = len(labels)
    own = np.empty(width, np.int32)
    pairs, ends = np.empty((width, 2), np.int32), np.empty(width, np.int32)
    merges = label_row(slots, row, values, (labels, own), pairs)
    count = end_regions(slots, row, labels, ends) if row > 0 else 0
    for place in range(merges):
        merged[place, 0] = slots.numbers[pairs[place, 0]]
        merged[place, 1] = slots.numbers[pairs[place, 1]]
    for place in range(count):
        ended[place] = slots.numbers[ends[place]]
        release(slots, ends[place])
    settle_row(slots, own, pairs[:merges])
    labels[:] = own
    for col in range(width):
        numbers[col] = slots.numbers[own[col]]
    return merges, count
