"""The direction of a building's walls, found from its outline as pixels show it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

_NEAR = math.radians(15)
"""Sides further than this from the common direction say nothing about it."""

_TRIMMED = 0.1
"""Share of a side at either end that is not looked at: corners are round in rasters."""


@compiled
def find_corners(ring: Floats, tolerance: float) -> Places:
    """Places of the vertices that tell the shape of a ring.

    D. H. Douglas and T. K. Peucker, Algorithms for the reduction of the number of points
    required to represent a digitized line or its caricature, Cartographica 10 (1973),
    doi:10.3138/FM57-6770-U75U-7727; begun at the two vertices that lie furthest apart.

    Args:
        ring: (n, 2) vertices, the first not repeated.
        tolerance: Largest distance of a vertex that is left out, in units of the coordinates.

    Returns:
        Places in `ring`, ascending.
    """
    count = len(ring)
    start = _furthest(ring, np.sum(ring[:, 0]) / count, np.sum(ring[:, 1]) / count)
    turn = (_furthest(ring, ring[start, 0], ring[start, 1]) - start) % count
    kept = np.zeros(count, np.bool_)
    kept[start] = kept[(start + turn) % count] = True
    spans = [(0, turn), (turn, count)]
    while spans:
        first, last = spans.pop()
        place, distance = _furthest_between(ring, start, first, last)
        if distance > tolerance:
            kept[(start + place) % count] = True
            spans.append((first, place))
            spans.append((place, last))
    return np.flatnonzero(kept)


@compiled
def _furthest(ring: Floats, x: float, y: float) -> int:
    # Loops, here and elsewhere: sums of whole arrays take numba far longer to compile.
    best, place = -1.0, 0
    for vertex in range(len(ring)):
        square = (ring[vertex, 0] - x) ** 2 + (ring[vertex, 1] - y) ** 2
        if square > best:
            best, place = square, vertex
    return place


@compiled
def _furthest_between(ring: Floats, start: int, first: int, last: int) -> tuple[int, float]:
    """The vertex furthest from the straight line between two, counted from `start`."""
    count = len(ring)
    one, other = ring[(start + first) % count], ring[(start + last) % count]
    x, y = other[0] - one[0], other[1] - one[1]
    length = math.hypot(x, y)
    best, place = -1.0, first
    for between in range(first + 1, last):
        vertex = ring[(start + between) % count]
        if length > 0:
            distance = abs((vertex[0] - one[0]) * y - (vertex[1] - one[1]) * x) / length
        else:
            distance = math.hypot(vertex[0] - one[0], vertex[1] - one[1])
        if distance > best:
            best, place = distance, between
    return place, best


@compiled
def find_direction(ring: Floats, corners: Places) -> tuple[float, float]:
    """The direction that a ring's sides have in common, up to right angles.

    Each side's chord votes with the square of its length for its direction times four, so that
    right angles are one; then lines are fitted to the vertices along those sides that agree.
    A fitted line's direction is uncertain by the power -3/2 of its length, hence the weights.

    Args:
        ring: (n, 2) vertices, the first not repeated.
        corners: Places of those where sides meet.

    Returns:
        Radians within (-pi/4, pi/4], and how well the sides agree, from 0 to 1.
    """
    cosine = sine = weight = 0.0
    for side in range(len(corners)):
        x, y = _chord(ring, corners, side)
        turned, square = 4 * math.atan2(y, x), x * x + y * y
        cosine += square * math.cos(turned)
        sine += square * math.sin(turned)
        weight += square
    rough = math.atan2(sine, cosine) / 4
    agreement = math.hypot(cosine, sine) / max(weight, 1e-300)
    shift = total = 0.0
    for side in range(len(corners)):
        x, y = _chord(ring, corners, side)
        off = _off(math.atan2(y, x), rough)
        if abs(off) > _NEAR:
            continue
        off = _off(_fitted(ring, corners, side), rough)
        if abs(off) > _NEAR:
            continue
        cube = math.hypot(x, y) ** 3
        shift += cube * off
        total += cube
    return rough + shift / max(total, 1e-300), agreement


@compiled
def _off(direction: float, rough: float) -> float:
    """How far a direction is from another, up to right angles."""
    quarter = math.pi / 2
    return (direction - rough + quarter / 2) % quarter - quarter / 2


@compiled
def _chord(ring: Floats, corners: Places, side: int) -> tuple[float, float]:
    one, other = ring[corners[side]], ring[corners[(side + 1) % len(corners)]]
    return other[0] - one[0], other[1] - one[1]


@compiled
def _fitted(ring: Floats, corners: Places, side: int) -> float:
    """Direction of the line fitted to the middles of a side's steps, each by its length."""
    x, y = _chord(ring, corners, side)
    length = math.hypot(x, y)
    along, across = x / length, y / length
    first = ring[corners[side]]
    count = len(ring)
    steps = (corners[(side + 1) % len(corners)] - corners[side]) % count
    n = s = t = ss = st = 0.0
    for step in range(steps):
        one, other = ring[(corners[side] + step) % count], ring[(corners[side] + step + 1) % count]
        # The outline through the middles of the pixels' sides is what staircases stand for.
        u, v = (one[0] + other[0]) / 2 - first[0], (one[1] + other[1]) / 2 - first[1]
        forward, aside = u * along + v * across, v * along - u * across
        if not _TRIMMED * length <= forward <= (1 - _TRIMMED) * length:
            continue
        w = math.hypot(other[0] - one[0], other[1] - one[1])
        n += w
        s += w * forward
        t += w * aside
        ss += w * forward * forward
        st += w * forward * aside
    spread = n * ss - s * s
    slope = (n * st - s * t) / spread if spread > 1e-9 * n * ss else 0.0
    return math.atan2(y, x) + math.atan(slope)
