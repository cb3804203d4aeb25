"""One pass over the corners of the pixel lattice, row by row: where borders begin, turn and end.

Of the four pixels around a corner (a b above, c d below) neighbours with unequal values have a
border between them. Two borders in line pass the corner, two others turn there; where three or
four meet is a node, at which arcs end and begin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining_guard import set_corner
from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.region_stream import FREE
from geoseg.geo.tracing_arcs import descend, end_at_node, extend, finish, join, new_arc
from geoseg.geo.tracing_pools import ARCS, CLOSED, GROUPS, OUTSIDE, VERTICES, Floats, Longs, Pools
from geoseg.geo.tracing_regions import close, ended_above, label, sum_up, touch

_EAST, _SOUTH, _WEST, _NORTH = 0, 1, 2, 3
_NONE = -1

_MANY = 1 << 16
"""Regions that wait before they are written."""


@compiled
def trace_rows(
    pools: Pools,
    first_row: int,
    values: Longs,
    fields: npt.NDArray[np.float32],
    row_areas: Floats,
    keep: Longs,
    by_corners: bool,  # noqa: FBT001
) -> int:
    """Trace rows until a pool might not hold another one, or many regions wait.

    Args:
        pools: The pools.
        first_row: Number of the first row.
        values: (height, width) classes, `OUTSIDE` for nodata.
        fields: (k, height, width) what is averaged.
        row_areas: (height,) area of one pixel of each.
        keep: Values that become polygons; all where there are none.
        by_corners: Whether regions that touch at corners are grouped.

    Returns:
        How many rows were traced.
    """
    width = values.shape[1]
    ended = np.empty(width, np.int32)
    for place in range(len(values)):
        if not _has_room(pools, first_row + place, by_corners):
            return place
        row = first_row + place
        pools.values[1, 1 : width + 1] = values[place]
        label(pools, row)
        sum_up(pools, fields[:, place], row_areas[place], keep)
        count = ended_above(pools, row, ended)
        _sweep(pools, row, by_corners)
        close(pools, row - 1, ended[:count])
        pools.values[0] = pools.values[1]
        pools.labels[0] = pools.labels[1]
    return len(values)


@compiled
def trace_end(pools: Pools, row: int, by_corners: bool) -> bool:  # noqa: FBT001
    """Trace the lower edge of the raster.

    Args:
        pools: The pools.
        row: Number of rows.
        by_corners: Whether regions that touch at corners are grouped.

    Returns:
        Whether there was room for it.
    """
    if not _has_room(pools, row, by_corners):
        return False
    pools.values[1] = OUTSIDE
    pools.labels[1] = -1
    ended = np.empty(len(pools.down), np.int32)
    count = ended_above(pools, row, ended)
    _sweep(pools, row, by_corners)
    close(pools, row - 1, ended[:count])
    return True


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
def _sweep(pools: Pools, row: int, by_corners: bool) -> None:  # noqa: FBT001
    """Go along the corners above a row."""
    above, own = pools.values
    along, east = _NONE, False
    for col in range(len(pools.down)):
        west = east
        east = above[col + 1] != own[col + 1]
        north = above[col] != above[col + 1]
        south = own[col] != own[col + 1]
        if north == south and west == east and not (north and west):
            continue
        if len(pools.corners.bits):
            set_corner(pools.corners, col, row)
        if int(north) + int(south) + int(west) + int(east) == 2:
            along = _turn(pools, row, col, along, (north, west))
        else:
            _end_arcs(pools, row, col, along, (north, west))
            along = _begin_arcs(pools, row, col, (south, east))
            if by_corners and north and south and west and east:
                _touch_corners(pools, col)


@inlined
def _turn(pools: Pools, row: int, col: int, along: int, comes: tuple[bool, bool]) -> int:
    """Turn a border at a corner; what is on its way along the row afterwards."""
    above, own = pools.values
    a, b, c, d = above[col], above[col + 1], own[col], own[col + 1]
    north, west = comes
    if north and west:
        # One of both ends is a tail: the border is walked either east and north, or south and west.
        tail, head = (pools.down[col], along) if b > a else (along, pools.down[col])
        if join(pools, tail, head, col, row):
            _finish(pools, tail, (0, col), (1, col + 1), a > d)
        return _NONE
    if north:
        arc = pools.down[col]
        extend(pools, arc, b > a, col, row)
        return int(arc)
    if west:
        extend(pools, along, a > c, col, row)
        descend(pools, along, a > c, col)
        return _NONE
    arc = new_arc(pools, col, row)
    descend(pools, arc, d > c, col)
    return arc


@inlined
def _end_arcs(pools: Pools, row: int, col: int, along: int, comes: tuple[bool, bool]) -> None:
    """End the arcs that come to a node from the north and from the west."""
    above, own = pools.values
    a, b, c = above[col], above[col + 1], own[col]
    north, west = comes
    if north:
        arc, is_tail = pools.down[col], b > a
        extend(pools, arc, is_tail, col, row)
        if end_at_node(pools, arc, is_tail, _SOUTH if is_tail else _NORTH):
            _finish(pools, arc, (0, col + 1), (0, col), b > a)
    if west:
        is_tail = a > c
        extend(pools, along, is_tail, col, row)
        if end_at_node(pools, along, is_tail, _EAST if is_tail else _WEST):
            _finish(pools, along, (0, col), (1, col), a > c)


@inlined
def _begin_arcs(pools: Pools, row: int, col: int, goes: tuple[bool, bool]) -> int:
    """Begin arcs that leave a node to the south and to the east; the one that goes east."""
    above, own = pools.values
    b, c, d = above[col + 1], own[col], own[col + 1]
    south, east = goes
    if south:
        is_tail = d > c
        arc = new_arc(pools, col, row)
        end_at_node(pools, arc, not is_tail, _SOUTH if is_tail else _NORTH)
        descend(pools, arc, is_tail, col)
    if not east:
        return _NONE
    is_tail = b > d
    arc = new_arc(pools, col, row)
    end_at_node(pools, arc, not is_tail, _EAST if is_tail else _WEST)
    return arc


@inlined
def _finish(
    pools: Pools,
    arc: int,
    one: tuple[int, int],
    other: tuple[int, int],
    one_is_left: bool,  # noqa: FBT001
) -> None:
    """Give a complete arc to the regions of two pixels at its sides, told by line and place."""
    left, right = (one, other) if one_is_left else (other, one)
    outer = pools.values[right[0], right[1]] == OUTSIDE
    finish(pools, arc, pools.labels[left[0], left[1]], pools.labels[right[0], right[1]], outer)


@inlined
def _touch_corners(pools: Pools, col: int) -> None:
    """Group regions that meet themselves or each other across a corner."""
    above, own = pools.values
    if above[col] == own[col + 1]:
        touch(pools, pools.labels[0, col], pools.labels[1, col + 1])
    if above[col + 1] == own[col]:
        touch(pools, pools.labels[0, col + 1], pools.labels[1, col])
