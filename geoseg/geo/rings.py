"""Outlines of labelled regions, traced with array operations only: no loop over polygons.

Every pair of unequal neighbouring pixels is a border. A corner of the pixel lattice is a *node*
unless borders pass it in one straight line, so nodes are where an outline turns and where three
or more regions meet; all regions there get the vertex, which makes the polygons a valid coverage.
From each node borders lead in up to four directions (0 east, 1 south, 2 west, 3 north); each
such *step* has one region on its left, whose outline it belongs to, and ends at the next node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

Ints = npt.NDArray[np.int64]

_EAST, _SOUTH, _WEST, _NORTH = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Closed outlines in pixel coordinates, all rings of a region in a row, the shell first."""

    coords: npt.NDArray[np.int32]
    """(n, 2) vertices as (col, row); the last of each ring repeats its first."""

    offsets: Ints
    """(rings + 1,) where each ring begins in `coords`."""

    labels: npt.NDArray[np.int32]
    """(rings,) the region of each ring, ascending."""

    areas: Ints
    """(rings,) pixels within each ring: positive for shells, negative for holes."""

    def polygons(
        self, place: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float64]] | None = None
    ) -> npt.NDArray[Any]:
        """One shapely polygon per region, in ascending order of region.

        Args:
            place: From vertices (n, 2) as (col, row) to where they lie; pixels by default.
        """
        if not len(self.labels):
            return np.empty(0, object)
        coords = self.coords.astype(np.float64) if place is None else place(self.coords)
        shells = np.append(np.flatnonzero(self.areas > 0), len(self.labels))
        polygons: npt.NDArray[Any] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, coords, (self.offsets, shells)
        )
        return polygons


def trace_rings(labels: npt.NDArray[np.int32]) -> Rings:
    """Trace the outlines of all regions of a label image.

    Shells run anticlockwise as seen with rows growing downward, holes clockwise. Where a
    region meets itself only at a corner, its rings touch there and never cross.

    Args:
        labels: (height, width) regions from 1, each of them 4-connected.

    Returns:
        The rings of every region.
    """
    steps = _trace(labels)
    order = np.lexsort((steps.areas < 0, steps.owners[steps.firsts[:-1]]))
    lengths = np.diff(steps.firsts)[order] + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) + np.repeat(steps.firsts[order] - offsets[:-1], lengths)
    places[offsets[1:] - 1] = steps.firsts[order]
    return Rings(
        coords=steps.coords[places],
        offsets=offsets,
        labels=steps.owners[steps.firsts[order]],
        areas=steps.areas[order],
    )


def shell_contacts(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Tell what each region's shell touches, looking outward.

    Args:
        labels: (height, width) regions from 1, each of them 4-connected.

    Returns:
        (n, 2) distinct pairs of a region and one that its shell touches; 0 is outside the
        raster. Of neighbours where one encloses the other, only the enclosed one lists the pair.
    """
    steps = _trace(labels)
    of_shell = np.repeat(steps.areas > 0, np.diff(steps.firsts))
    pairs = np.stack([steps.owners[of_shell], steps.opposites[of_shell]], axis=1)
    keys = pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1]
    _, places = np.unique(keys, return_index=True)
    return pairs[places]


@dataclass(frozen=True, slots=True)
class _Steps:
    """All steps, ring by ring, in the order of walking."""

    coords: npt.NDArray[np.int32]
    """(steps, 2) where each begins, as (col, row)."""

    owners: npt.NDArray[np.int32]
    """(steps,) the region on the left."""

    opposites: npt.NDArray[np.int32]
    """(steps,) the region on the right; 0 is outside the raster."""

    firsts: Ints
    """(rings + 1,) the first step of each ring."""

    areas: Ints
    """(rings,) pixels within each ring: positive for shells, negative for holes."""


def _trace(labels: npt.NDArray[np.int32]) -> _Steps:
    nodes = _Nodes.of(labels)
    following, owners, opposites, starts = _link_steps(nodes)
    order, lengths = _follow(following)
    firsts = np.concatenate([[0], np.cumsum(lengths)])
    coords = nodes.coords[starts[order]]
    return _Steps(coords, owners[order], opposites[order], firsts, _signed_areas(coords, firsts))


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The nodes of a label image in row-major order."""

    coords: npt.NDArray[np.int32]
    """(nodes, 2) as (col, row)."""

    borders: npt.NDArray[np.bool_]
    """(4, nodes): whether a border leads away in each direction."""

    regions: npt.NDArray[np.int32]
    """(4, nodes): what lies on the left of a step in each direction; 0 is outside."""

    neighbours: npt.NDArray[np.int32]
    """(4, nodes): the next node in each direction, where a border leads there."""

    @classmethod
    def of(cls, labels: npt.NDArray[np.int32]) -> _Nodes:
        borders = _border_bits(labels)
        found = np.flatnonzero(_IS_NODE[borders])
        rows, cols = np.divmod(found, borders.shape[1])
        bits = borders.ravel()[found]
        return cls(
            coords=np.stack([cols, rows], axis=1).astype(np.int32),
            borders=np.stack([bits >> direction & 1 for direction in range(4)]).astype(bool),
            regions=_regions_around(labels, rows, cols),
            neighbours=_neighbours(cols, borders.shape[1]),
        )


def _border_bits(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """(height + 1, width + 1): bit d is set where a border leads from the corner toward d."""
    height, width = labels.shape
    lying = np.ones((height + 1, width), np.uint8)
    np.not_equal(labels[1:], labels[:-1], out=lying[1:-1].view(bool))
    standing = np.ones((height, width + 1), np.uint8)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=standing[:, 1:-1].view(bool))
    bits = np.zeros((height + 1, width + 1), np.uint8)
    bits[:, :-1] |= lying << _EAST
    bits[:, 1:] |= lying << _WEST
    bits[:-1] |= standing << _SOUTH
    bits[1:] |= standing << _NORTH
    return bits


_STRAIGHT = (0, 1 << _EAST | 1 << _WEST, 1 << _SOUTH | 1 << _NORTH)
_IS_NODE = np.array([bits not in _STRAIGHT for bits in range(16)])


def _regions_around(labels: npt.NDArray[np.int32], rows: Ints, cols: Ints) -> npt.NDArray[np.int32]:
    """(4, nodes): the pixel at each node on the left of east, south, west and north."""
    height, width = labels.shape
    around = np.zeros((4, len(rows)), np.int32)
    for direction, (up, left) in enumerate([(1, 0), (0, 0), (0, 1), (1, 1)]):
        row, col = rows - up, cols - left
        within = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        around[direction, within] = labels[row[within], col[within]]
    return around


def _neighbours(cols: Ints, width: int) -> npt.NDArray[np.int32]:
    """(4, nodes): nodes before and after each one in its row and in its column."""
    count = len(cols)
    found = np.zeros((4, count), np.int32)
    found[_EAST] = np.arange(1, count + 1)
    found[_WEST] = np.arange(-1, count - 1)
    # numpy sorts 16-bit integers by radix, in linear time.
    narrow = cols.astype(np.uint16) if width <= 65536 else cols
    by_column = np.argsort(narrow, kind="stable")
    found[_SOUTH, by_column[:-1]] = by_column[1:]
    found[_NORTH, by_column[1:]] = by_column[:-1]
    return found


def _link_steps(
    nodes: _Nodes,
) -> tuple[
    npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]
]:
    """Find for each step the step that follows it around the region on its left.

    A region is followed to the right where it goes on there, else straight, else to the left
    around its own pixel; so its outline never cuts through it at a corner.

    Returns:
        Per step: the following step, the region on its left, the one on its right, its node.
    """
    exists = nodes.borders & (nodes.regions != 0)
    numbers = np.cumsum(exists, dtype=np.int32).reshape(exists.shape) - 1
    following, owners, opposites, starts = [], [], [], []
    for direction in range(4):
        start = np.flatnonzero(exists[direction]).astype(np.int32)
        end = nodes.neighbours[direction, start]
        owner = nodes.regions[direction, start]
        right, left = (direction + 1) % 4, (direction + 3) % 4
        step = numbers[left, end]
        straight = nodes.regions[direction, end] == owner
        step[straight] = numbers[direction, end[straight]]
        turning = nodes.regions[right, end] == owner
        step[turning] = numbers[right, end[turning]]
        following.append(step)
        owners.append(owner)
        opposites.append(nodes.regions[right, start])
        starts.append(start)
    return (
        np.concatenate(following),
        np.concatenate(owners),
        np.concatenate(opposites),
        np.concatenate(starts),
    )


def _follow(following: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], Ints]:
    """Put the steps into the order of the rings that they form.

    The rings are joined to one long path, so that one walk in compiled code orders them all.

    Returns:
        The steps ring by ring, and how many each ring has.
    """
    count = len(following)
    indptr = np.arange(count + 1, dtype=np.int32)
    graph = csr_array((np.ones(count, np.int8), following, indptr), shape=(count, count))
    ring_count, ring = connected_components(graph, directed=True, connection="strong")
    first = np.empty(ring_count, np.int32)
    first[ring[::-1]] = np.arange(count - 1, -1, -1, dtype=np.int32)
    path = following.copy()
    before = np.empty(count, np.int32)
    before[following] = np.arange(count, dtype=np.int32)
    path[before[first[:-1]]] = first[1:]
    chain = csr_array((np.ones(count, np.int8), path, indptr), shape=(count, count))
    order = breadth_first_order(chain, first[0], return_predecessors=False)
    return order, np.bincount(ring, minlength=ring_count)


def _signed_areas(coords: npt.NDArray[np.int32], firsts: Ints) -> Ints:
    """Pixels within each ring by the shoelace formula, positive for shells."""
    cols, rows = coords[:, 0].astype(np.int64), coords[:, 1].astype(np.int64)
    following = np.arange(1, len(coords) + 1)
    following[firsts[1:] - 1] = firsts[:-1]
    cross = cols * rows[following] - cols[following] * rows
    areas: Ints = -np.add.reduceat(cross, firsts[:-1]) // 2
    return areas
