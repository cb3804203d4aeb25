"""What the tracer keeps while rows pass by: records in arrays whose places are used again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining_guard import Corners
from geoseg.geo.compiled import inlined
from geoseg.geo.region_stream import Slots
from geoseg.geo.tracing_lines import OUTSIDE

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Records = npt.NDArray[Any]

OPEN, ENDED = -2, -1
"""Columns of an end of an arc: on its way along the row of corners; at a node, for good."""

NOWHERE = 4
"""The direction in which an arc leaves or arrives where it has no node."""

VERTEX, VERTICES, ARC, ARCS, GROUP, GROUPS, FINISHED, CLOSED = range(8)
"""Places in `Pools.counts`: for vertices, arcs and groups the first free one and how many are
free; then how many arcs and regions wait in `Pools.finished` and `Pools.closed`."""

_VERTEX = [("next", np.int32)]
_ARC = np.dtype(
    [
        ("first", np.int32),
        ("last", np.int32),
        ("count", np.int32),  # vertices
        ("top", np.int32),  # row of its topmost vertex
        ("head_col", np.int32),  # column in which its first end comes down
        ("tail_col", np.int32),  # column in which its last end comes down
        ("next_left", np.int32),  # the next half arc of the region on its left
        ("next_right", np.int32),
        ("next", np.int32),  # the next free arc
        ("leaves", np.int8),  # direction at its first vertex
        ("arrives", np.int8),  # direction at its last vertex
        ("uses", np.int8),  # regions that are to be written with it
        ("across", np.int64),  # sum of the cross products of its original vertices
    ],
    align=True,
)
_REGION = np.dtype(
    [
        ("value", np.int64),
        ("pixels", np.int64),
        ("area", np.float64),
        ("first_half", np.int32),  # its half arcs: 2 * arc, + 1 where it is on the right
        ("last_half", np.int32),
        ("halves", np.int32),
        ("group", np.int32),  # the group of parts that touch at corners; -1 for none
        ("next_part", np.int32),  # the next part of the group that is closed
        ("kept", np.int8),  # whether it is to become a polygon
    ],
    align=True,
)
_GROUP = np.dtype(
    [
        ("parent", np.int32),
        ("open", np.int32),  # parts that may still grow
        ("first_part", np.int32),
        ("last_part", np.int32),
        ("next_member", np.int32),  # the next group that was joined to it
        ("last_member", np.int32),
        ("next", np.int32),  # the next free group
        ("lead", np.int64),  # the least number of its parts
    ],
    align=True,
)
_CLOSED = np.dtype([("slot", np.int32), ("row", np.int64), ("lead", np.int64)], align=True)


class Runs(NamedTuple):
    """Two rows as runs, as `Lines` tells them: the row above, and the one that is traced."""

    counts: Longs
    """(2,) how many runs each has."""

    starts: Longs
    """(2, width + 3) the first column of each; behind the last one a column that no row has."""

    values: Longs
    """(2, width + 3)"""

    slots: Longs
    """(2, width + 3) of their regions; -1 for `OUTSIDE`."""


class Pools(NamedTuple):
    """Everything that the tracer knows between two rows."""

    slots: Slots
    regions: Records
    """(slots,) of `_REGION`."""

    sums: Floats
    """(slots, k) of each field over the pixels of a region."""

    tallies: Longs
    """(slots, k) pixels in which each field is not NaN."""

    closed: Records
    """(slots,) of `_CLOSED`: regions to be written, parts of one group in a row."""

    groups: Records
    """(groups,) of `_GROUP`."""

    arcs: Records
    """(arcs,) of `_ARC`."""

    finished: Ints
    """(arcs,) complete arcs that are to be refined."""

    vertices: Records
    """(vertices,) col, row and next: integers, floating point where arcs are refined."""

    counts: Longs
    """(8,) see `VERTEX` and the others."""

    down: Longs
    """(width + 1,) the arc whose end comes down in each column of corners, where there is one."""

    runs: Runs

    corners: Corners
    """Original vertices; no rows unless arcs are refined."""


def make_pools(width: int, fields: int, *, by_corners: bool, refined: bool) -> Pools:
    """Empty pools before the first row.

    Args:
        width: Columns of the raster.
        fields: Fields that are averaged.
        by_corners: Whether regions that touch at corners are grouped.
        refined: Whether arcs are refined.
    """
    coordinate = np.float64 if refined else np.int32
    vertex = np.dtype([("col", coordinate), ("row", coordinate), *_VERTEX], align=True)
    rows = 256 if refined else 0
    pools = Pools(
        slots=Slots.of(0),
        regions=np.zeros(0, _REGION),
        sums=np.zeros((0, fields)),
        tallies=np.zeros((0, fields), np.int64),
        closed=np.zeros(0, _CLOSED),
        groups=np.zeros(0, _GROUP),
        arcs=np.zeros(0, _ARC),
        finished=np.zeros(0, np.int32),
        vertices=np.zeros(0, vertex),
        counts=np.array([-1, 0, -1, 0, -1, 0, 0, 0]),
        down=np.full(width + 1, -1),
        runs=_no_runs(width),
        corners=Corners(np.zeros((rows, (width + 8) // 8), np.uint8), 0),
    )
    return with_room(pools, by_corners=by_corners)


def _no_runs(width: int) -> Runs:
    """The row above the raster, and room for the next one."""
    shape = 2, width + 3
    runs = Runs(
        np.array([1, 0]),
        np.zeros(shape, np.int64),
        np.full(shape, OUTSIDE),
        np.full(shape, -1),
    )
    runs.starts[0, :2] = -1, width + 1
    return runs


def with_room(pools: Pools, *, by_corners: bool) -> Pools:
    """The same pools, larger where less than half of one is free or a row might not fit.

    Args:
        pools: All closed regions are written.
        by_corners: Whether regions that touch at corners are grouped.
    """
    corners = len(pools.down)
    slots = pools.slots.with_free(max(_FEWEST, 2 * corners, len(pools.slots.parents) // 2))
    more = len(slots.parents) - len(pools.regions)
    fields = pools.sums.shape[1]
    regions = np.zeros(more, _REGION)
    regions["first_half"] = regions["last_half"] = regions["group"] = -1
    arcs = _enlarged(pools.arcs, pools.counts[ARC : ARC + 2], 8 * corners)
    return pools._replace(
        slots=slots,
        regions=np.concatenate([pools.regions, regions]),
        sums=np.concatenate([pools.sums, np.zeros((more, fields))]),
        tallies=np.concatenate([pools.tallies, np.zeros((more, fields), np.int64)]),
        closed=np.zeros(len(slots.parents), _CLOSED) if more else pools.closed,
        groups=_enlarged(pools.groups, pools.counts[GROUP : GROUP + 2], 4 * corners * by_corners),
        arcs=arcs,
        finished=np.zeros(len(arcs), np.int32) if len(arcs) > len(pools.arcs) else pools.finished,
        vertices=_enlarged(pools.vertices, pools.counts[VERTEX : VERTEX + 2], 16 * corners),
    )


_FEWEST = 1 << 13


def _enlarged(pool: Records, free: Longs, least: int) -> Records:
    """The pool itself, or a larger copy where less than half or `least` of it is free.

    Args:
        pool: Records with a field `next`.
        free: (2,) the first free record and how many there are, changed in place.
        least: How many must be free; 0 for a pool that is never used.
    """
    size = len(pool)
    if least == 0 or free[1] >= max(least, size // 2):
        return pool
    larger = np.concatenate([pool, np.zeros(max(least, _FEWEST, size), pool.dtype)])
    larger["next"][size:] = np.arange(size + 1, len(larger) + 1)
    larger["next"][-1] = free[0]
    free[:] = size, free[1] + len(larger) - size
    return larger


def with_vertices(pools: Pools, least: int) -> Pools:
    """The same pools with at least `least` free vertices."""
    free = pools.counts[VERTEX : VERTEX + 2]
    if free[1] >= least:
        return pools
    return pools._replace(vertices=_enlarged(pools.vertices, free, max(least, 1)))


@inlined
def new_vertex(vertices: Records, counts: Longs, col: int, row: int) -> int:
    """Take a free vertex."""
    place: int = counts[VERTEX]
    vertex = vertices[place]
    counts[VERTEX] = vertex.next
    counts[VERTICES] -= 1
    vertex.col, vertex.row, vertex.next = col, row, -1
    return place


def without_rows(corners: Corners, first_row: int, next_row: int) -> Corners:
    """Original vertices without the rows that no arc needs any more, and with room for others.

    Args:
        corners: The vertices so far.
        first_row: The first row of corners that is still needed.
        next_row: The next one that will be filled.
    """
    if len(corners.bits) == 0:
        return corners
    used = next_row - first_row
    kept = corners.bits[first_row - corners.first_row :][:used]
    size = len(corners.bits) if used <= len(corners.bits) // 2 else 2 * used
    bits = np.zeros((size, corners.bits.shape[1]), np.uint8)
    bits[:used] = kept
    return Corners(bits, first_row)
