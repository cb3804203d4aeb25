"""One pass over the corners of the pixel lattice, row by row: where borders begin, turn and end.

Of the four pixels around a corner (a b above, c d below) neighbours with unequal values have a
border between them. Two borders in line pass the corner, two others turn there; where three or
four meet is a node, at which arcs end and begin. So nothing happens but where a run begins in the
row above or in the one below.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining_guard import set_corner
from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.region_stream import FREE
from geoseg.geo.tracing_arcs import descend, end_at_node, extend, finish, join, new_arc
from geoseg.geo.tracing_lines import Lines
from geoseg.geo.tracing_pools import ARCS, CLOSED, GROUPS, VERTICES, Floats, Longs, Pools
from geoseg.geo.tracing_regions import close, ended_above, label, sum_up, touch

_EAST, _SOUTH, _WEST, _NORTH = 0, 1, 2, 3
_NONE = -1

_MANY = 1 << 16
"""Regions that wait before they are written."""


class _Corner(NamedTuple):
    """A corner, and the runs that the four pixels around it belong to."""

    row: int
    col: int
    a: int
    b: int
    c: int
    d: int


@compiled
def trace_rows(
    pools: Pools,
    first_row: int,
    lines: tuple[Lines, int],
    fields: npt.NDArray[np.float32],
    row_areas: Floats,
    keep: Longs,
    by_corners: bool,  # noqa: FBT001
) -> int:
    """Trace rows until a pool might not hold another one, or many regions wait.

    Args:
        pools: The pools.
        first_row: Number of the first row.
        lines: Rows, and which of them is the first; one without pixels ends the raster.
        fields: (k, rows, width) what is averaged.
        row_areas: (rows,) area of one pixel of each.
        keep: Values that become polygons; all where there are none.
        by_corners: Whether regions that touch at corners are grouped.

    Returns:
        How many rows were traced.
    """
    width = len(pools.down)
    ended, merged = np.empty(width, np.int32), np.empty((width, 2), np.int32)
    rows, begin = lines
    count = len(rows.offsets) - 1 - begin
    for place in range(count):
        row = first_row + place
        if not _has_room(pools, row, by_corners):
            return place
        _take_line(pools, rows, begin + place)
        label(pools, row, merged)
        sum_up(pools, fields[:, place], row_areas[place], keep)
        ends = ended_above(pools, row, ended)
        _sweep(pools, row, by_corners)
        close(pools, row - 1, ended[:ends])
        _move_up(pools)
    return count


@inlined
def _has_room(pools: Pools, row: int, by_corners: bool) -> bool:  # noqa: FBT001
    """Whether a row fits into the pools, however its pixels are."""
    corners, counts = len(pools.down), pools.counts
    bits = pools.corners.bits
    return bool(
        counts[CLOSED] < _MANY
        and pools.slots.counts[FREE] >= corners
        and counts[ARCS] >= 2 * corners
        and counts[VERTICES] >= 4 * corners
        and (not by_corners or counts[GROUPS] >= 2 * corners)
        and (len(bits) == 0 or row - pools.corners.first_row < len(bits))
    )


@inlined
def _take_line(pools: Pools, lines: Lines, line: int) -> None:
    """Make a line the row that is traced."""
    runs, begin = pools.runs, lines.offsets[line]
    count = lines.offsets[line + 1] - begin
    runs.counts[1] = count
    for run in range(count):
        runs.starts[1, run] = lines.starts[begin + run]
        runs.values[1, run] = lines.values[begin + run]
    runs.starts[1, count] = len(pools.down)


@inlined
def _move_up(pools: Pools) -> None:
    """Make the row that is traced the one above."""
    runs = pools.runs
    count = runs.counts[1]
    runs.counts[0] = count
    for run in range(count):
        runs.starts[0, run] = runs.starts[1, run]
        runs.values[0, run] = runs.values[1, run]
        runs.slots[0, run] = runs.slots[1, run]
    runs.starts[0, count] = runs.starts[1, count]


@inlined
def _sweep(pools: Pools, row: int, by_corners: bool) -> None:  # noqa: FBT001
    """Go along the corners above a row at which runs begin."""
    runs = pools.runs
    along: int = np.int64(_NONE)  # type: ignore[assignment]  # a literal would be a type of its own
    b = d = 0
    while b + 1 < runs.counts[0] or d + 1 < runs.counts[1]:
        above, below = runs.starts[0, b + 1], runs.starts[1, d + 1]
        north, south = above <= below, below <= above
        corner = _Corner(
            row, above if north else below, b, b + 1 if north else b, d, d + 1 if south else d
        )
        b, d = corner.b, corner.d
        west = runs.values[0, corner.a] != runs.values[1, corner.c]
        east = runs.values[0, b] != runs.values[1, d]
        if north and south and not (west or east):
            continue
        if len(pools.corners.bits):
            set_corner(pools.corners, corner.col, row)
        if int(north) + int(south) + int(west) + int(east) == 2:
            along = _turn(pools, corner, along, (north, west))
        else:
            _end_arcs(pools, corner, along, (north, west))
            along = _begin_arcs(pools, corner, (south, east))
            if by_corners and north and south and west and east:
                _touch_corners(pools, corner)


@inlined
def _turn(pools: Pools, at: _Corner, along: int, comes: tuple[bool, bool]) -> int:
    """Turn a border at a corner; what is on its way along the row afterwards."""
    values, slots = pools.runs.values, pools.runs.slots
    down: int = pools.down[at.col]
    a, b, c, d = values[0, at.a], values[0, at.b], values[1, at.c], values[1, at.d]
    north, west = comes
    if north and west:
        # One of both ends is a tail: the border is walked either east and north, or south and west.
        tail, head = (down, along) if b > a else (along, down)
        if join(pools, tail, head, at.col, at.row):
            _finish(pools, tail, (slots[0, at.a], slots[1, at.d]), a > d)
        return _NONE
    if north:
        extend(pools, down, b > a, at.col, at.row)
        return down
    if west:
        extend(pools, along, a > c, at.col, at.row)
        descend(pools, along, a > c, at.col)
        return _NONE
    arc = new_arc(pools, at.col, at.row)
    descend(pools, arc, d > c, at.col)
    return arc


@inlined
def _end_arcs(pools: Pools, at: _Corner, along: int, comes: tuple[bool, bool]) -> None:
    """End the arcs that come to a node from the north and from the west."""
    values, slots = pools.runs.values, pools.runs.slots
    a, b, c = values[0, at.a], values[0, at.b], values[1, at.c]
    north, west = comes
    if north:
        arc, is_tail = pools.down[at.col], b > a
        extend(pools, arc, is_tail, at.col, at.row)
        if end_at_node(pools, arc, is_tail, _SOUTH if is_tail else _NORTH):
            _finish(pools, arc, (slots[0, at.b], slots[0, at.a]), b > a)
    if west:
        is_tail = a > c
        extend(pools, along, is_tail, at.col, at.row)
        if end_at_node(pools, along, is_tail, _EAST if is_tail else _WEST):
            _finish(pools, along, (slots[0, at.a], slots[1, at.c]), a > c)


@inlined
def _begin_arcs(pools: Pools, at: _Corner, goes: tuple[bool, bool]) -> int:
    """Begin arcs that leave a node to the south and to the east; the one that goes east."""
    values = pools.runs.values
    b, c, d = values[0, at.b], values[1, at.c], values[1, at.d]
    south, east = goes
    if south:
        is_tail = d > c
        arc = new_arc(pools, at.col, at.row)
        end_at_node(pools, arc, not is_tail, _SOUTH if is_tail else _NORTH)
        descend(pools, arc, is_tail, at.col)
    if not east:
        return _NONE
    is_tail = b > d
    arc = new_arc(pools, at.col, at.row)
    end_at_node(pools, arc, not is_tail, _EAST if is_tail else _WEST)
    return arc


@inlined
def _finish(pools: Pools, arc: int, sides: tuple[int, int], first_is_left: bool) -> None:  # noqa: FBT001
    """Give a complete arc to the regions at its sides, told by their slots."""
    one, other = sides
    if first_is_left:
        finish(pools, arc, one, other)
    else:
        finish(pools, arc, other, one)


@inlined
def _touch_corners(pools: Pools, at: _Corner) -> None:
    """Group regions that meet themselves or each other across a corner."""
    values, slots = pools.runs.values, pools.runs.slots
    if values[0, at.a] == values[1, at.d]:
        touch(pools, slots[0, at.a], slots[1, at.d])
    if values[0, at.b] == values[1, at.c]:
        touch(pools, slots[0, at.b], slots[1, at.c])
