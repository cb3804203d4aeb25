"""Rings put together of arcs, once a region is complete."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.tracing_arcs import next_half
from geoseg.geo.tracing_pools import NOWHERE, Floats, Ints, Longs, Pools
from geoseg.geo.tracing_regions import drop

_FEW = 8
"""Half arcs that are compared one by one; of more, a hash table is made."""


_GOLDEN = -7046029254386353131
"""2**64 over the golden ratio as a signed integer: its multiples are scattered evenly."""


class _Room(NamedTuple):
    """Room for the half arcs of the largest region."""

    halves: Ints
    begins: Longs
    """Where each half arc leaves: corner times four, plus direction; -1 for rings."""

    following: Ints
    """Which of the half arcs goes on where each one arrives."""

    rings: Ints
    """The first half arc of each ring."""

    seen: Ints
    table: Ints
    """Half arcs by a hash of where they leave; -1 for none; a power of two."""


@compiled
def assemble(pools: Pools, slots: Ints) -> tuple[Floats, Longs, Longs]:
    """Write the outlines of complete regions, and forget these.

    Args:
        pools: The pools.
        slots: (n,) the regions.

    Returns:
        Vertices (m, 2) as (col, row), offsets of rings (rings + 1,) into them, and of polygons
        (n + 1,) into the rings: the shell first, then holes in the order of their completion.
    """
    most, halves, points = _measure(pools, slots)
    coords = np.empty((points, 2), np.float64)
    ring_offsets = np.zeros(halves + 1, np.int64)
    polygon_offsets = np.zeros(len(slots) + 1, np.int64)
    room = _make_room(most)
    size, rings = ring_offsets[0], 0
    for place in range(len(slots)):
        count = _collect(pools, slots[place], room)
        _link(pools, room, count)
        found = _order_rings(pools, room, count)
        for ring in range(found):
            size = _write_ring(pools, room, room.rings[ring], coords, size)
            rings += 1
            ring_offsets[rings] = size
        polygon_offsets[place + 1] = rings
        drop(pools, slots[place])
    return coords[:size], ring_offsets[: rings + 1], polygon_offsets


@inlined
def _measure(pools: Pools, slots: Ints) -> tuple[int, int, int]:
    """The most half arcs of a region, all of them, and at most how many vertices they have."""
    most = halves = points = 0
    for slot in slots:
        count = pools.regions[slot].halves
        halves += count
        most = max(most, count)
        half = pools.regions[slot].first_half
        while half >= 0:
            points += pools.arcs[half >> 1].count
            half = next_half(pools.arcs, half)
    return most, halves, points


@compiled
def _make_room(most: int) -> _Room:
    size = 16
    while size < 2 * most:
        size *= 2
    return _Room(
        np.empty(most, np.int32),
        np.empty(most, np.int64),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(size, np.int32),
    )


@inlined
def _collect(pools: Pools, slot: int, room: _Room) -> int:
    """List the half arcs of a region, and where each leaves; how many there are."""
    count, half = 0, pools.regions[slot].first_half
    while half >= 0:
        room.halves[count] = half
        room.begins[count] = _corner(pools, half, half & 1 == 1)
        count += 1
        half = next_half(pools.arcs, half)
    return count


@inlined
def _corner(pools: Pools, half: int, at_last: bool) -> int:  # noqa: FBT001
    """Corner times four plus direction of a half arc at the first or last vertex; or -1."""
    arc = pools.arcs[half >> 1]
    if arc.leaves == NOWHERE:
        return -1
    vertex = pools.vertices[arc.last if at_last else arc.first]
    way = int(arc.arrives if at_last else arc.leaves)
    if half & 1:
        way = (way + 2) & 3
    return (int(vertex.row) * len(pools.down) + int(vertex.col)) * 4 + way


@inlined
def _link(pools: Pools, room: _Room, count: int) -> None:
    """Find which half arc goes on where each one arrives.

    A region is followed to the right where it goes on there, else straight, else to the left
    around its own pixel: so its rings may touch at a corner, but none crosses or touches itself.
    """
    if count == 1:
        room.following[0] = 0
        return
    size = _fill_table(room, count) if count > _FEW else 0
    for place in range(count):
        if room.begins[place] < 0:
            room.following[place] = place
            continue
        half = room.halves[place]
        arrival = _corner(pools, half, half & 1 == 0)
        way = arrival & 3
        found = _find(room, count, size, arrival - way + ((way + 1) & 3))
        if found < 0:
            found = _find(room, count, size, arrival)
        if found < 0:
            found = _find(room, count, size, arrival - way + ((way + 3) & 3))
        room.following[place] = found


@inlined
def _fill_table(room: _Room, count: int) -> int:
    """Put half arcs into the hash table, rings aside; how much of it is used."""
    size = 16
    while size < 2 * count:
        size *= 2
    for place in range(size):
        room.table[place] = -1
    for place in range(count):
        if room.begins[place] < 0:
            continue
        slot = _hash(room.begins[place], size)
        while room.table[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        room.table[slot] = place
    return size


@inlined
def _hash(begin: int, size: int) -> int:
    return (begin * _GOLDEN >> 24) & (size - 1)


@inlined
def _find(room: _Room, count: int, size: int, begin: int) -> int:
    """The half arc that leaves somewhere; -1 for none."""
    if size == 0:
        for place in range(count):
            if room.begins[place] == begin:
                return place
        return -1
    slot = _hash(begin, size)
    while room.table[slot] >= 0:
        if room.begins[room.table[slot]] == begin:
            return int(room.table[slot])
        slot = (slot + 1) & (size - 1)
    return -1


@inlined
def _order_rings(pools: Pools, room: _Room, count: int) -> int:
    """List the first half arcs of all rings, that of the shell first; how many there are."""
    for place in range(count):
        room.seen[place] = 0
    rings = 0
    for begin in range(count):
        if room.seen[begin]:
            continue
        area, place = 0, begin
        while not room.seen[place]:
            room.seen[place] = 1
            half = room.halves[place]
            across = pools.arcs[half >> 1].across
            area += across if half & 1 else -across
            place = room.following[place]
        room.rings[rings] = begin
        if area > 0:
            for ring in range(rings, 0, -1):
                room.rings[ring] = room.rings[ring - 1]
            room.rings[0] = begin
        rings += 1
    return rings


@inlined
def _write_ring(pools: Pools, room: _Room, begin: int, coords: Floats, size: int) -> int:
    """Write the vertices of a ring from `size` on; where it ends."""
    first, place = size, begin
    while True:
        half = room.halves[place]
        arc = pools.arcs[half >> 1]
        steps = arc.count - 1
        vertex = arc.first
        for step in range(steps + 1):
            at = size + (steps - step if half & 1 else step)
            coords[at, 0] = pools.vertices[vertex].col
            coords[at, 1] = pools.vertices[vertex].row
            vertex = pools.vertices[vertex].next
        size += steps
        place = room.following[place]
        if place == begin:
            break
    coords[size, 0], coords[size, 1] = coords[first, 0], coords[first, 1]
    return size + 1
