"""Arcs: borders between two regions, grown at both ends while rows pass by.

An arc is walked with the greater of its two values on its left. That is known from any two
neighbouring pixels, so wherever two ends meet, one is a head and the other a tail.
"""

from __future__ import annotations

from geoseg.geo.compiled import inlined
from geoseg.geo.tracing_pools import (
    ARC,
    ARCS,
    ENDED,
    FINISHED,
    NOWHERE,
    OPEN,
    VERTEX,
    VERTICES,
    Pools,
    Records,
    new_vertex,
)


@inlined
def new_arc(pools: Pools, col: int, row: int) -> int:
    """Begin an arc of one vertex, both of whose ends are on their way."""
    counts = pools.counts
    place: int = counts[ARC]
    arc = pools.arcs[place]
    counts[ARC] = arc.next
    counts[ARCS] -= 1
    arc.first = arc.last = new_vertex(pools.vertices, counts, col, row)
    arc.count, arc.top, arc.across = 1, row, 0
    arc.head_col = arc.tail_col = OPEN
    arc.leaves = arc.arrives = NOWHERE
    return place


@inlined
def free_arc(pools: Pools, place: int) -> None:
    """Make an arc free, its vertices aside."""
    counts = pools.counts
    pools.arcs[place].next = counts[ARC]
    counts[ARC] = place
    counts[ARCS] += 1


@inlined
def free_vertices(pools: Pools, place: int) -> None:
    """Make the vertices of an arc free."""
    arc, counts = pools.arcs[place], pools.counts
    pools.vertices[arc.last].next = counts[VERTEX]
    counts[VERTEX] = arc.first
    counts[VERTICES] += arc.count


@inlined
def extend(pools: Pools, place: int, at_tail: bool, col: int, row: int) -> None:  # noqa: FBT001
    """Give an arc another vertex at one of its ends."""
    if at_tail:
        append(pools, place, col, row)
        return
    vertices, arc = pools.vertices, pools.arcs[place]
    vertex = new_vertex(vertices, pools.counts, col, row)
    first = vertices[arc.first]
    arc.count += 1
    arc.across += col * int(first.row) - row * int(first.col)
    vertices[vertex].next = arc.first
    arc.first = vertex


@inlined
def append(pools: Pools, place: int, col: int, row: int) -> None:
    """Give an arc another vertex at its last end."""
    vertices, arc = pools.vertices, pools.arcs[place]
    vertex = new_vertex(vertices, pools.counts, col, row)
    last = vertices[arc.last]
    arc.count += 1
    arc.across += int(last.col) * row - int(last.row) * col
    last.next = vertex
    arc.last = vertex


@inlined
def descend(pools: Pools, place: int, is_tail: bool, col: int) -> None:  # noqa: FBT001
    """Let an end of an arc come down in a column."""
    pools.down[col] = place
    if is_tail:
        pools.arcs[place].tail_col = col
    else:
        pools.arcs[place].head_col = col


@inlined
def end_at_node(pools: Pools, place: int, is_tail: bool, way: int) -> bool:  # noqa: FBT001
    """End an arc at a node, whose vertex it has already.

    Args:
        pools: The pools.
        place: The arc.
        is_tail: Whether it is its last end.
        way: Direction in which the arc is walked there.

    Returns:
        Whether both ends are at nodes now.
    """
    arc = pools.arcs[place]
    if is_tail:
        arc.tail_col, arc.arrives = ENDED, way
    else:
        arc.head_col, arc.leaves = ENDED, way
    return bool(arc.tail_col == ENDED and arc.head_col == ENDED)


@inlined
def join(pools: Pools, tail: int, head: int, col: int, row: int) -> bool:
    """Join the last end of an arc to the first end of one, at a corner.

    Args:
        pools: The pools.
        tail: The arc whose last end is there; it goes on as both.
        head: The arc whose first end is there; it may be the same one.
        col: Column of the corner.
        row: Row of the corner.

    Returns:
        Whether the arc is complete.
    """
    vertices = pools.vertices
    append(pools, tail, col, row)
    arc, other = pools.arcs[tail], pools.arcs[head]
    first = vertices[other.first]
    arc.across += col * int(first.row) - row * int(first.col)
    if tail == head:
        _close(pools, tail)
        return True
    vertices[arc.last].next = other.first
    arc.last, arc.arrives, arc.tail_col = other.last, other.arrives, other.tail_col
    arc.count += other.count
    arc.across += other.across
    arc.top = min(arc.top, other.top)
    if arc.tail_col >= 0:
        pools.down[arc.tail_col] = tail
    free_arc(pools, head)
    return bool(arc.tail_col == ENDED and arc.head_col == ENDED)


@inlined
def _close(pools: Pools, place: int) -> None:
    """Make a ring of an arc that has met itself: from its first corner in raster order."""
    vertices, arc = pools.vertices, pools.arcs[place]
    vertices[arc.last].next = arc.first
    best, before, vertex = arc.first, arc.last, arc.first
    for _ in range(arc.count):
        following = vertices[vertex].next
        one, other = vertices[following], vertices[best]
        if one.row < other.row or (one.row == other.row and one.col < other.col):
            best, before = following, vertex
        vertex = following
    col, row = int(vertices[best].col), int(vertices[best].row)
    again = new_vertex(vertices, pools.counts, col, row)
    vertices[before].next = again
    arc.first, arc.last = best, again
    arc.count += 1


@inlined
def finish(pools: Pools, place: int, left: int, right: int) -> None:
    """Give a complete arc to the regions at its sides.

    Args:
        pools: The pools.
        place: The arc.
        left: Slot of the region on its left; -1 for nodata or beyond the raster.
        right: Slot of the region on its right.
    """
    arc = pools.arcs[place]
    arc.uses = 0
    for side in range(2):
        slot = right if side else left
        if slot >= 0 and pools.regions[slot].kept:
            append_half(pools, slot, 2 * place + side)
            arc.uses += 1
    if arc.uses == 0:
        free_vertices(pools, place)
        free_arc(pools, place)
    elif len(pools.corners.bits) and left >= 0 and right >= 0:
        pools.finished[pools.counts[FINISHED]] = place
        pools.counts[FINISHED] += 1


@inlined
def append_half(pools: Pools, slot: int, half: int) -> None:
    """Give a region one more half arc."""
    region = pools.regions[slot]
    set_next_half(pools.arcs, half, -1)
    if region.halves == 0:
        region.first_half = half
    else:
        set_next_half(pools.arcs, region.last_half, half)
    region.last_half = half
    region.halves += 1


@inlined
def set_next_half(arcs: Records, half: int, following: int) -> None:
    """Set which half arc follows another one in the list of their region."""
    if half & 1:
        arcs[half >> 1].next_right = following
    else:
        arcs[half >> 1].next_left = following


@inlined
def next_half(arcs: Records, half: int) -> int:
    """Which half arc follows another one in the list of their region; -1 at its end."""
    following: int = arcs[half >> 1].next_right if half & 1 else arcs[half >> 1].next_left
    return following
