"""The area that two polygons share, exactly, without cutting them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Side = tuple[float, float, float, float]


@compiled
def shared_area(some: Floats, some_rings: Longs, others: Floats, other_rings: Longs) -> float:
    """The area that two polygons share.

    A polygon is the sum of the areas under its sides, counted negative where they lead
    back; so what two share is the sum over all pairs of sides of what lies under both.

    Args:
        some: (n, 2) vertices of all rings of one polygon, each closed; holes run against shells.
        some_rings: Where each ring begins, and the last one's end.
        others: (m, 2) those of the other, which may run the other way round.
        other_rings: As `some_rings`.
    """
    total = 0.0
    for ring in range(len(some_rings) - 1):
        for place in range(some_rings[ring], some_rings[ring + 1] - 1):
            one = _side(some, place)
            if one[0] == one[2]:
                continue
            for other_ring in range(len(other_rings) - 1):
                for side in range(other_rings[other_ring], other_rings[other_ring + 1] - 1):
                    total += _under_both(one, _side(others, side))
    return abs(total)


@compiled
def _side(coords: Floats, place: int) -> Side:
    return coords[place, 0], coords[place, 1], coords[place + 1, 0], coords[place + 1, 1]


@compiled
def _under_both(one: Side, other: Side) -> float:
    """The area above zero under two sides, negative if just one of them leads back.

    That below zero counts negative; over all sides of a polygon it cancels out.
    """
    x0 = max(min(one[0], one[2]), min(other[0], other[2]))
    x1 = min(max(one[0], one[2]), max(other[0], other[2]))
    if x0 >= x1:
        return 0.0
    a0, a1 = _height(one, x0), _height(one, x1)
    b0, b1 = _height(other, x0), _height(other, x1)
    left, right = a0 - b0, a1 - b1
    if left * right < 0:
        crossing = left / (left - right)
        middle = a0 + crossing * (a1 - a0)
        area = crossing * (min(a0, b0) + middle) + (1 - crossing) * (middle + min(a1, b1))
    else:
        area = min(a0, b0) + min(a1, b1)
    area *= (x1 - x0) / 2
    return area if (one[0] < one[2]) == (other[0] < other[2]) else -area


@compiled
def _height(side: Side, x: float) -> float:
    return side[1] + (x - side[0]) / (side[2] - side[0]) * (side[3] - side[1])
