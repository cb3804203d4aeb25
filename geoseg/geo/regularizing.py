"""Outlines of buildings with right angles.

Outlines traced from pixels are staircases with the errors of the map on top. Here each is rebuilt
of walls that lie in the building's own direction or across it. What does not become a
building that way stays as it was: without a common direction, where too much of the area would
change, where the outline would cross itself or overlap another one.

Regularised outlines are no coverage any more: gaps and overlaps arise between them and
polygons that were not handed in with them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geoseg.geo.compiled import compiled
from geoseg.geo.regularizing_direction import find_corners, find_direction
from geoseg.geo.regularizing_overlap import shared_area
from geoseg.geo.regularizing_walls import rebuild

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Polygons = npt.NDArray[Any]

LEAST_IOU = 0.85
"""Intersection over union with the outline as it was that a rebuilt one must have."""

LEAST_AGREEMENT = 0.35
"""How well sides must agree on a direction: 1 where all angles are right, near 0 in circles."""

ATTEMPTS = (
    (1.5, 1.0, 1.5),
    (1.5, 1.5, 2.5),
    (2.5, 2.0, 4.0),
    (4.0, 3.0, 5.0),
    (4.0, 3.0, 8.0),
)
"""Degrees of detail, in pixels: how far corners must stand out for sides to tell a direction, how
far to make walls, and the shortest wall."""

ROUGHEST = 0.08
"""How far corners must stand out at most to tell a direction, by the side of a square as large as
the outline's box: circles seen too roughly are squares."""

FURTHEST = 64.0
"""Pixels by which a rebuilt outline may leave the box around what it was."""

WALL_PRICE = 4.0
"""Pixels of area by which an outline must come closer to what it was for each wall more."""


def regularize(polygons: Polygons, resolution: float = 1.0) -> Polygons:
    """Rebuild outlines of buildings with right angles.

    Each polygon, and each part of a multipolygon, is rebuilt at several degrees of detail; the
    one that is closest to what it was, less a price for each wall, is taken. Of two rebuilt ones
    that overlap only the one closer to what it was is taken, and none that overlaps what
    another one was; so the result depends neither on the order of polygons nor on those far
    away: each depends on those that it may touch, which are to be handed in with it.

    Args:
        polygons: (n,) shapely polygons or multipolygons that do not overlap, as traced from
            pixels, not simplified, in coordinates with right angles and one unit for both
            axes.
        resolution: Side of a pixel in that unit.

    Returns:
        (n,) shapely polygons or multipolygons.
    """
    if not len(polygons):
        return polygons.copy()
    parts, owners = shapely.get_parts(polygons, return_index=True)
    found, ious = _closest(parts, resolution)
    found = _without_overlaps(parts, found, ious)
    is_simple = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
    regular = np.empty(len(polygons), object)
    regular[is_simple] = found[is_simple[owners]]
    several = ~is_simple
    if several.any():
        numbers = np.cumsum(several) - 1
        chosen = several[owners]
        regular[several] = shapely.multipolygons(found[chosen], indices=numbers[owners[chosen]])
    return regular


def _closest(parts: Polygons, resolution: float) -> tuple[Polygons, Floats]:
    """The best attempt at each polygon, or the polygon itself; and its IoU with the polygon."""
    _, coords, (rings, shells) = shapely.to_ragged_array(parts)
    origins = coords[rings[shells[:-1]]]  # near zero sums are more exact
    moved = (coords - np.repeat(origins, np.diff(rings[shells]), axis=0)) / resolution
    before = shapely.area(parts) / resolution**2
    best, ious = parts.copy(), np.ones(len(parts))
    costs = np.full(len(parts), np.inf)
    for detail in ATTEMPTS:
        walls, ends, agreements = _rebuild_all(moved, rings, shells, detail)
        counts = np.diff(ends[shells])
        ground = walls * resolution + np.repeat(origins, counts, axis=0)
        attempts = shapely.from_ragged_array(shapely.GeometryType.POLYGON, ground, (ends, shells))
        is_usable = (agreements >= LEAST_AGREEMENT) & shapely.is_valid(attempts)
        usable = np.flatnonzero(is_usable & _is_near(attempts, parts, FURTHEST * resolution))
        shared = _shared_areas((moved, rings, shells), (walls, ends, shells), usable)
        after = shapely.area(attempts[usable]) / resolution**2
        iou = shared / (before[usable] + after - shared)
        cost = before[usable] + after - 2 * shared + WALL_PRICE * counts[usable]
        better = (iou >= LEAST_IOU) & (cost < costs[usable])
        taken = usable[better]
        best[taken], ious[taken], costs[taken] = attempts[taken], iou[better], cost[better]
    return best, ious


def _is_near(attempts: Polygons, parts: Polygons, distance: float) -> npt.NDArray[np.bool_]:
    """Whether attempts stay within a distance of the boxes around what they were."""
    beyond = (shapely.bounds(attempts) - shapely.bounds(parts)) * (-1, -1, 1, 1)
    near: npt.NDArray[np.bool_] = beyond.max(axis=1) <= distance
    return near


@compiled
def _rebuild_all(
    coords: Floats, rings: Longs, shells: Longs, detail: tuple[float, float, float]
) -> tuple[Floats, Longs, Floats]:
    """Rebuild all rings, each polygon's in the direction of its shell.

    Returns:
        Vertices, where each ring begins, and how well each shell's sides agree.
    """
    _, tolerance, shortest = detail
    # Corners are found among the vertices, so walls are no more; a rectangle has five.
    found = np.empty((len(coords) + 5 * len(rings), 2), np.float64)
    ends = np.zeros(len(rings), np.int64)
    agreements = np.zeros(len(shells) - 1, np.float64)
    size = 0
    for polygon in range(len(shells) - 1):
        angle = 0.0
        for number in range(shells[polygon], shells[polygon + 1]):
            ring = coords[rings[number] : rings[number + 1] - 1]
            corners = find_corners(ring, tolerance)
            if number == shells[polygon]:
                rough = min(detail[0], max(1.0, ROUGHEST * math.sqrt(_box_area(ring))))
                angle, agreements[polygon] = find_direction(ring, find_corners(ring, rough))
            walls = rebuild(ring, corners, angle, shortest)
            found[size : size + len(walls)] = walls
            size += len(walls)
            ends[number + 1] = size
    return found[:size].copy(), ends, agreements


@compiled
def _box_area(ring: Floats) -> float:
    return float(np.ptp(ring[:, 0]) * np.ptp(ring[:, 1]))


@compiled
def _shared_areas(
    some: tuple[Floats, Longs, Longs], others: tuple[Floats, Longs, Longs], chosen: Longs
) -> Floats:
    """The area that each of the chosen polygons shares with its attempt."""
    areas = np.empty(len(chosen), np.float64)
    for place in range(len(chosen)):
        first, last = some[2][chosen[place]], some[2][chosen[place] + 1]
        areas[place] = shared_area(
            some[0], some[1][first : last + 1], others[0], others[1][first : last + 1]
        )
    return areas


def _without_overlaps(parts: Polygons, found: Polygons, ious: Floats) -> Polygons:
    """Put back what overlaps another outline as it was, then one of two that overlap now."""
    changed = np.flatnonzero(ious < 1)
    kept = found.copy()
    one, other = shapely.STRtree(parts).query(found[changed], predicate="intersects")
    one = changed[one]
    one, other = one[one != other], other[one != other]
    lost = one[_overlap(found[one], parts[other])]
    kept[lost] = parts[lost]
    # Those put back above count here too: each outline depends on what it touches, no further.
    one, other = changed[shapely.STRtree(found[changed]).query(found[changed], "intersects")]
    one, other = one[one < other], other[one < other]
    hit = _overlap(found[one], found[other])
    one, other = one[hit], other[hit]
    lost = np.where(_comes_first(parts, ious, one, other), other, one)
    kept[lost] = parts[lost]
    return kept


def _overlap(some: Polygons, others: Polygons) -> npt.NDArray[np.bool_]:
    shared = shapely.area(shapely.intersection(some, others))
    overlap: npt.NDArray[np.bool_] = shared > 1e-9 * np.minimum(
        shapely.area(some), shapely.area(others)
    )
    return overlap


def _comes_first(parts: Polygons, ious: Floats, one: Longs, other: Longs) -> npt.NDArray[np.bool_]:
    """Whether the first of each pair is closer to what it was, then larger, then further up."""
    boxes = shapely.bounds(parts)
    keys = np.column_stack([-ious, -shapely.area(parts), boxes[:, 1], boxes[:, 0]])
    order = np.lexsort(keys.T[::-1])
    ranks = np.empty(len(parts), np.int64)
    ranks[order] = np.arange(len(parts))
    first: npt.NDArray[np.bool_] = ranks[one] < ranks[other]
    return first
