"""A ring rebuilt of walls that stand at right angles.

In a frame turned to the walls' direction each side of the ring is lying or standing. Sides
of one kind that follow each other are one wall; it stands where it leaves as much area on either
side of it as the ring had. Walls meet where they cross, so every angle is right.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@compiled
def rebuild(ring: Floats, corners: Places, angle: float, shortest: float) -> Floats:
    """Rebuild a ring of walls at right angles.

    Args:
        ring: (n, 2) vertices, the first not repeated.
        corners: Places of those where sides meet.
        angle: Direction of the walls in radians.
        shortest: Walls shorter than this are left out, in units of the coordinates.

    Returns:
        (k + 1, 2) vertices, the first repeated; a rectangle of the ring's area where nothing
        better is left. It may cross itself.
    """
    turned = turn(ring, -angle)
    positions, lengths, lying = _raise_walls(turned, corners)
    if len(positions) >= 4:
        positions, lengths, lying = _drop_short(positions, lengths, lying, shortest)
    if len(positions) < 4:
        return turn(_rectangle(turned), angle)
    return turn(_meet(positions, lying), angle)


@compiled
def turn(coords: Floats, angle: float) -> Floats:
    """Turn vertices (n, 2) around the origin by radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = np.empty_like(coords)
    for place in range(len(coords)):
        x, y = coords[place, 0], coords[place, 1]
        turned[place, 0] = cosine * x - sine * y
        turned[place, 1] = sine * x + cosine * y
    return turned


@compiled
def _is_lying(ring: Floats, corners: Places, side: int) -> bool:
    one, other = ring[corners[side]], ring[corners[(side + 1) % len(corners)]]
    return bool(abs(other[0] - one[0]) >= abs(other[1] - one[1]))


@compiled
def _raise_walls(ring: Floats, corners: Places) -> tuple[Floats, Floats, bool]:
    """Join sides to walls that lie and stand in turn.

    Returns:
        Per wall where it stands across its direction, and how far it leads along (signed);
        whether the first one lies. Empty where all sides are of one kind.
    """
    sides = len(corners)
    first = 0
    while first < sides and _is_lying(ring, corners, first) == _is_lying(ring, corners, first - 1):
        first += 1
    positions, lengths = np.empty(sides, np.float64), np.empty(sides, np.float64)
    if first == sides:
        return positions[:0], lengths[:0], True
    lying = _is_lying(ring, corners, first)
    walls, begun = 0, first
    for side in range(first + 1, first + sides + 1):
        is_last = side == first + sides
        if is_last or _is_lying(ring, corners, side % sides) != _is_lying(
            ring, corners, begun % sides
        ):
            ends = corners[begun % sides], corners[side % sides]
            along = 0 if _is_lying(ring, corners, begun % sides) else 1
            positions[walls], lengths[walls] = _stand(ring, ends, along)
            walls += 1
            begun = side
    return positions[:walls], lengths[:walls], lying


@compiled
def _stand(ring: Floats, ends: tuple[int, int], along: int) -> tuple[float, float]:
    """Where a wall stands that keeps the area under a piece of the ring, and how long it is."""
    count = len(ring)
    first, last = ends
    steps = (last - first) % count
    area = 0.0
    for step in range(steps):
        one, other = ring[(first + step) % count], ring[(first + step + 1) % count]
        area += (other[along] - one[along]) * (one[1 - along] + other[1 - along]) / 2
    length = ring[last, along] - ring[first, along]
    if abs(length) < 1e-9:
        return (ring[first, 1 - along] + ring[last, 1 - along]) / 2, length
    return area / length, length


@compiled
def _drop_short(
    positions: Floats,
    lengths: Floats,
    lying: bool,  # noqa: FBT001 - numba takes no names
    shortest: float,
) -> tuple[Floats, Floats, bool]:
    """Drop the shortest wall until none is too short; those beside it become one wall.

    A wall that leads backward between its neighbours is shorter than any: it is where the
    ring would cross itself.
    """
    positions, lengths = positions.copy(), lengths.copy()
    while len(positions) > 4:
        wall, length = _shortest(positions, lengths)
        if length >= shortest:
            break
        count = len(positions)
        before, after = (wall - 1) % count, (wall + 1) % count
        _join(positions, lengths, before, after)
        kept = np.ones(count, np.bool_)
        kept[wall] = kept[after] = False
        if not kept[0] and kept[1]:  # one wall gone at the front: the next is of the other kind
            lying = not lying
        positions, lengths = positions[kept], lengths[kept]
    return positions, lengths, lying


@compiled
def _shortest(positions: Floats, lengths: Floats) -> tuple[int, float]:
    """The wall that leads least far forward between its neighbours, and how far."""
    best, found = 0, math.inf
    for wall in range(len(positions)):
        between = positions[(wall + 1) % len(positions)] - positions[wall - 1]
        # `between` is counted along the wall: its neighbours stand across their own direction.
        forward = between if lengths[wall] > 0 else -between
        if forward < found:
            best, found = wall, forward
    return best, found


@compiled
def _join(positions: Floats, lengths: Floats, before: int, after: int) -> None:
    """Make one wall of two: where both stand on average, or of two that turn back the longer."""
    one, other = lengths[before], lengths[after]
    if one * other > 0:
        positions[before] = (one * positions[before] + other * positions[after]) / (one + other)
    elif abs(other) > abs(one):
        positions[before] = positions[after]
    lengths[before] = one + other


@compiled
def _meet(positions: Floats, lying: bool) -> Floats:  # noqa: FBT001
    """The closed ring of the points where walls cross the next ones."""
    count = len(positions)
    ring = np.empty((count + 1, 2), np.float64)
    for wall in range(count):
        is_lying = (wall % 2 == 0) == lying
        following = positions[(wall + 1) % count]
        ring[wall, 0] = following if is_lying else positions[wall]
        ring[wall, 1] = positions[wall] if is_lying else following
    ring[count] = ring[0]
    return ring


@compiled
def _rectangle(ring: Floats) -> Floats:
    """The box around a ring, shrunk to the ring's area; running as the ring does."""
    area = 0.0
    for place in range(len(ring)):
        one, other = ring[place - 1], ring[place]
        area += (one[0] * other[1] - other[0] * one[1]) / 2
    x0, x1 = ring[:, 0].min(), ring[:, 0].max()
    y0, y1 = ring[:, 1].min(), ring[:, 1].max()
    share = math.sqrt(abs(area) / max((x1 - x0) * (y1 - y0), 1e-300))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    a, b = (x1 - x0) / 2 * share, (y1 - y0) / 2 * share
    b = b if area > 0 else -b
    box = np.empty((5, 2), np.float64)
    for place in range(5):
        box[place, 0] = x - a if place in (0, 3, 4) else x + a
        box[place, 1] = y - b if place in (0, 1, 4) else y + b
    return box
