"""Generalisation of a class raster before it is cut into polygons: nothing is lost or overlaps.

Small regions and small holes take the value of a neighbour; that is decided on the graph of
regions, so pixels are touched only once, however many regions are merged one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from geoseg.geo.grid import Grid
from geoseg.geo.regions import Regions, label_regions
from geoseg.geo.rings import shell_contacts


def merge_small_regions(
    values: npt.NDArray[Any], grid: Grid, min_area: float, nodata: int | None = None
) -> npt.NDArray[Any]:
    """Give 4-connected regions below an area the class that they share the longest border with.

    Among neighbouring small regions the smaller goes first, and what has grown to `min_area`
    stays. A region that has only nodata around it stays too.

    Args:
        values: (height, width) integers.
        grid: The pixels' grid.
        min_area: Square metres (pixels where there is no CRS).
        nodata: Value that is neither merged nor merged into.

    Returns:
        Values (height, width), same dtype; nodata at the same pixels.
    """
    regions = label_regions(values, grid.row_areas())
    has_value = np.ones(len(regions.values), bool)
    has_value[0] = False
    if nodata is not None:
        has_value &= regions.values != nodata
    if not np.any((regions.areas < min_area) & has_value):
        return values
    graph = _Graph(
        values=regions.values.astype(np.int64),
        areas=regions.areas,
        borders=_borders(regions, grid.res, has_value),
    )
    groups = np.arange(len(regions.values))
    while True:
        merging = graph.next_to_merge(min_area)
        if not merging.any():
            break
        graph, group = graph.merge(merging)
        groups = group[groups]
    return graph.values[groups].astype(values.dtype)[regions.labels]


def fill_holes(
    values: npt.NDArray[Any], grid: Grid, max_area: float, nodata: int | None = None
) -> npt.NDArray[Any]:
    """Give holes in a region, whatever classes they hold, the class of that region.

    Args:
        values: (height, width) integers.
        grid: The pixels' grid.
        max_area: Square metres (pixels where there is no CRS); smaller holes are filled.
        nodata: Value that is neither filled nor filled with: a hole that holds it stays.

    Returns:
        Values (height, width), same dtype.
    """
    regions = label_regions(values, grid.row_areas())
    nest = _Nest.of(regions, nodata)
    filled = regions.values.copy()
    source = np.arange(len(filled))
    fillable = (nest.hole_areas < max_area) & ~nest.hole_has_nodata & (nest.parents > 0)
    if nodata is not None:
        fillable &= regions.values[nest.parents] != nodata
    for level in _levels(nest.depths)[1:]:
        parents = nest.parents[level]
        taken = fillable[level] | (source[parents] != parents)
        source[level[taken]] = source[parents[taken]]
    return filled[source][regions.labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """Groups of regions, and how long the borders between them are."""

    values: npt.NDArray[np.int64]
    """(groups,) class of each."""

    areas: npt.NDArray[np.float64]
    """(groups,) area of each."""

    borders: csr_array
    """(groups, groups) symmetric: length of the border; nodata has none."""

    def next_to_merge(self, min_area: float) -> npt.NDArray[np.bool_]:
        """Small groups that are the smallest among their small neighbours.

        No two of them touch, so all can be merged at once. Equal areas are told apart by a
        scattered number, else a long row of them would be merged one by one.
        """
        small = (self.areas < min_area) & (np.diff(self.borders.indptr) > 0)
        scattered = np.arange(len(small), dtype=np.uint32) * np.uint32(2654435761)
        rank = np.empty(len(small), np.int64)
        rank[np.lexsort((scattered, self.areas))] = np.arange(len(small))
        rank[~small] = len(small)
        first, second = _ends(self.borders)
        lowest = np.full(len(small), len(small))
        np.minimum.at(lowest, first, rank[second])
        merging: npt.NDArray[np.bool_] = small & (rank < lowest)
        return merging

    def merge(self, merging: npt.NDArray[np.bool_]) -> tuple[_Graph, npt.NDArray[np.int64]]:
        """Give each merging group its best neighbour's class, and join equal neighbours.

        Returns:
            The graph of the joined groups, and the new group of each old one.
        """
        values = self.values.copy()
        first, second = _ends(self.borders)
        chosen = merging[first]
        groups, classes = _longest_border(
            first[chosen],
            self.values[second[chosen]],
            self.borders.data[chosen],
            self.areas[second[chosen]],
        )
        values[groups] = classes
        equal = values[first] == values[second]
        links = coo_array(
            (np.ones(equal.sum(), np.int8), (first[equal], second[equal])), self.borders.shape
        )
        count, group = connected_components(links, directed=False)
        ends = (group[first[~equal]], group[second[~equal]])
        joined = np.zeros(count, np.int64)
        joined[group] = values
        graph = _Graph(
            values=joined,
            areas=np.asarray(np.bincount(group, self.areas, count), np.float64),
            borders=coo_array((self.borders.data[~equal], ends), (count, count)).tocsr(),
        )
        return graph, group


def _longest_border(
    groups: npt.NDArray[Any],
    classes: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.float64],
    areas: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The class with the longest border for each group; then the larger, then the lower one."""
    order = np.lexsort((classes, groups))
    groups, classes, lengths, areas = groups[order], classes[order], lengths[order], areas[order]
    begins = np.ones(len(groups), bool)
    begins[1:] = (groups[1:] != groups[:-1]) | (classes[1:] != classes[:-1])
    firsts = np.flatnonzero(begins)
    groups, classes = groups[firsts], classes[firsts]
    lengths, areas = np.add.reduceat(lengths, firsts), np.maximum.reduceat(areas, firsts)
    best = np.lexsort((classes, -areas, -lengths, groups))
    leads = np.ones(len(groups), bool)
    leads[1:] = groups[best[1:]] != groups[best[:-1]]
    return groups[best[leads]], classes[best[leads]]


def _ends(borders: csr_array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    first = np.repeat(np.arange(borders.shape[0]), np.diff(borders.indptr))
    return first, borders.indices.astype(np.int64)


def _borders(
    regions: Regions, res: tuple[float, float], has_value: npt.NDArray[np.bool_]
) -> csr_array:
    """Lengths of the borders between regions that have a value, in units of the CRS."""
    labels, count = regions.labels, len(regions.values)
    total = csr_array((count, count), dtype=np.float64)
    along_row, along_col = res
    for upper, lower, length in (
        (labels[:-1], labels[1:], along_row),
        (labels[:, :-1], labels[:, 1:], along_col),
    ):
        differ = upper != lower
        first, second = upper[differ], lower[differ]
        kept = has_value[first] & has_value[second]
        first, second = first[kept], second[kept]
        lengths = np.full(len(first), length)
        total = total + coo_array((lengths, (first, second)), (count, count)).tocsr()
    return (total + total.T).tocsr()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nest:
    """Which region lies in a hole of which; place 0 is the outside."""

    parents: npt.NDArray[np.int64]
    """(regions + 1,) the region around each one; 0 where none is."""

    depths: npt.NDArray[np.int64]
    """(regions + 1,) 0 for the outside, 1 for what touches it or lies beside such, and so on."""

    hole_areas: npt.NDArray[np.float64]
    """(regions + 1,) area of the whole hole that each region lies in."""

    hole_has_nodata: npt.NDArray[np.bool_]
    """(regions + 1,) whether that hole holds nodata."""

    @classmethod
    def of(cls, regions: Regions, nodata: int | None) -> _Nest:
        count = len(regions.values)
        holes, parents = _siblings_and_parents(regions.labels, count)
        depths = _depths(parents)
        areas = regions.areas.copy()
        tainted = np.zeros(count, bool)
        if nodata is not None:
            tainted[1:] = regions.values[1:] == nodata
        hole_areas = np.zeros(holes.max() + 1)
        hole_tainted = np.zeros(holes.max() + 1, bool)
        # From the innermost outward: a region with all in its holes adds to its own hole.
        for level in reversed(_levels(depths)):
            np.add.at(hole_areas, holes[level], areas[level])
            np.logical_or.at(hole_tainted, holes[level], tainted[level])
            distinct, first = np.unique(holes[level], return_index=True)
            around = parents[level[first]]
            np.add.at(areas, around, hole_areas[distinct])
            np.logical_or.at(tainted, around, hole_tainted[distinct])
        return cls(
            parents=parents,
            depths=depths,
            hole_areas=hole_areas[holes],
            hole_has_nodata=hole_tainted[holes],
        )


def _siblings_and_parents(
    labels: npt.NDArray[np.int32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number the holes, and find the region around each region.

    Two regions whose shells touch each other lie in the same hole; a region that a shell
    touches without being touched by its shell in turn lies around it.
    """
    contacts = shell_contacts(labels).astype(np.int64)
    keys = contacts[:, 0] * count + contacts[:, 1]
    mutual = np.isin(contacts[:, 1] * count + contacts[:, 0], keys)
    beside = contacts[mutual]
    links = coo_array((np.ones(len(beside), np.int8), (beside[:, 0], beside[:, 1])), (count, count))
    hole_count, holes = connected_components(links, directed=False)
    around = np.zeros(hole_count, np.int64)
    inner, outer = contacts[~mutual].T
    around[holes[inner]] = outer
    return holes.astype(np.int64), around[holes]


def _depths(parents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    depths = np.zeros(len(parents), np.int64)
    places = ancestors = np.arange(1, len(parents))
    while len(places):
        depths[places] += 1
        ancestors = parents[ancestors]
        places, ancestors = places[ancestors > 0], ancestors[ancestors > 0]
    return depths


def _levels(depths: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The places of depth 1, of depth 2, and so on."""
    order = np.argsort(depths, kind="stable")
    ends = np.cumsum(np.bincount(depths))
    return np.split(order, ends[:-1])[1:]
