"""Vertices of one border removed in the order of the area that goes with them.

M. Visvalingam and J. D. Whyatt, Line generalisation by repeated elimination of points,
The Cartographic Journal 30 (1993), doi:10.1179/000870493786962263.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining_guard import (
    Corners,
    Triangle,
    clear_corner,
    holds_vertex,
    twice_area,
)
from geoseg.geo.compiled import compiled

Ints = npt.NDArray[np.int64]


class Chain(NamedTuple):
    """Room for the vertices of one border, and for the heap of those that may go."""

    cols: Ints
    """In half pixels, as `rows`."""

    rows: Ints
    before: Ints
    """The vertex that remains before each one."""

    after: Ints
    areas: Ints
    """Area of the triangle with both neighbours, times eight."""

    ties: Ints
    """Which of two equal areas goes first."""

    heap: Ints
    """Vertices, the least area first."""

    places: Ints
    """Where in the heap each vertex stands; -1 where it does not."""


@compiled
def make_chain(length: int) -> Chain:
    """Room for borders of up to `length` vertices."""
    return Chain(
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length, np.int64),
    )


@compiled
def link(chain: Chain, count: int, closed: bool) -> None:  # noqa: FBT001 - numba knows no names
    """Join the first `count` vertices of a chain to a line, or to a ring."""
    for place in range(count):
        chain.before[place] = place - 1
        chain.after[place] = place + 1
    chain.before[0] = count - 1 if closed else -1
    chain.after[count - 1] = 0 if closed else -1


@compiled
def remove_vertices(
    chain: Chain,
    count: int,
    closed: bool,  # noqa: FBT001
    limit: int,
    corners: Corners,
) -> int:
    """Remove vertices, the least area first, while none of another border is passed over.

    Args:
        chain: The border, linked.
        count: Its vertices; the first and last of a line stay, a ring is not closed by its first.
        closed: Whether it is a ring without an end.
        limit: The largest area of a triangle that goes, times eight.
        corners: All original vertices; those removed here are cleared in it.

    Returns:
        How many vertices remain.
    """
    size = 0
    for vertex in range(count):
        chain.places[vertex] = -1
    for vertex in range(count):
        size = _weigh(chain, size, vertex, limit)
    least = _least(chain, count, closed)
    while size > 0 and count > least:
        vertex = chain.heap[0]
        size = _take(chain, size, vertex)
        if not _may_go(chain, vertex, count, closed, corners):
            continue
        before, after = chain.before[vertex], chain.after[vertex]
        chain.after[before], chain.before[after] = after, before
        chain.before[vertex] = chain.after[vertex] = -2
        clear_corner(corners, chain.cols[vertex] >> 1, chain.rows[vertex] >> 1)
        count -= 1
        size = _weigh(chain, size, before, limit)
        size = _weigh(chain, size, after, limit)
    return count


@compiled
def _least(chain: Chain, count: int, closed: bool) -> int:  # noqa: FBT001
    """How many vertices must remain, so that no ring becomes a line."""
    if closed:
        return 3
    last = count - 1
    is_loop = chain.cols[0] == chain.cols[last] and chain.rows[0] == chain.rows[last]
    return 4 if is_loop else 2


@compiled
def _triangle(chain: Chain, vertex: int) -> Triangle:
    before, after = chain.before[vertex], chain.after[vertex]
    return Triangle(
        chain.cols[before],
        chain.rows[before],
        chain.cols[vertex],
        chain.rows[vertex],
        chain.cols[after],
        chain.rows[after],
    )


@compiled
def _may_go(chain: Chain, vertex: int, count: int, closed: bool, corners: Corners) -> bool:  # noqa: FBT001
    """Whether a border may be led past a vertex."""
    triangle = _triangle(chain, vertex)
    area = twice_area(triangle)
    if area == 0:
        return True
    if not closed and count == 3 and not _may_be_straight(triangle, area):
        return False
    return not holds_vertex(corners, triangle)


@compiled
def _may_be_straight(t: Triangle, area: int) -> bool:
    """Whether a border may become one straight line from end to end.

    Where two borders join the same ends, no more than one may, or the region between them were
    gone. As neither knows of the other, it is the one that is left of the line (from the end
    that is first in raster order) that may: were both on the left, the inner one's vertex would
    keep the outer one. Along rows and columns the other may be straight from the beginning.
    """
    if t.row0 == t.row2 or t.col0 == t.col2:
        return False
    return (area > 0) == (t.row0 < t.row2)


@compiled
def _weigh(chain: Chain, size: int, vertex: int, limit: int) -> int:
    """Find the area that goes with a vertex, and put it where it belongs in the heap.

    Returns:
        How many vertices the heap has then.
    """
    if chain.before[vertex] < 0 or chain.after[vertex] < 0:
        return size
    area = abs(twice_area(_triangle(chain, vertex)))
    if area > limit:
        return size if chain.places[vertex] < 0 else _take(chain, size, vertex)
    chain.areas[vertex] = area
    if chain.places[vertex] < 0:
        _put(chain, size, vertex)
        size += 1
    _rise(chain, chain.places[vertex])
    _sink(chain, size, chain.places[vertex])
    return size


@compiled
def _take(chain: Chain, size: int, vertex: int) -> int:
    """Take a vertex out of the heap; how many it has then."""
    place = chain.places[vertex]
    chain.places[vertex] = -1
    size -= 1
    if place < size:
        moved = chain.heap[size]
        _put(chain, place, moved)
        _rise(chain, place)
        _sink(chain, size, chain.places[moved])
    return size


@compiled
def _put(chain: Chain, place: int, vertex: int) -> None:
    chain.heap[place] = vertex
    chain.places[vertex] = place


@compiled
def _goes_first(chain: Chain, one: int, other: int) -> bool:
    if chain.areas[one] != chain.areas[other]:
        return bool(chain.areas[one] < chain.areas[other])
    return bool(chain.ties[one] < chain.ties[other])


@compiled
def _rise(chain: Chain, place: int) -> None:
    vertex = chain.heap[place]
    while place > 0:
        parent = (place - 1) >> 1
        if not _goes_first(chain, vertex, chain.heap[parent]):
            break
        _put(chain, place, chain.heap[parent])
        place = parent
    _put(chain, place, vertex)


@compiled
def _sink(chain: Chain, size: int, place: int) -> None:
    vertex = chain.heap[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _goes_first(chain, chain.heap[child + 1], chain.heap[child]):
            child += 1
        if not _goes_first(chain, chain.heap[child], vertex):
            break
        _put(chain, place, chain.heap[child])
        place = child
    _put(chain, place, vertex)
