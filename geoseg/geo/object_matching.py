"""Regions of a map matched with those of its labels, while the rows of both pass by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.grid import Grid
from geoseg.geo.object_runs import Runs, find_runs
from geoseg.geo.object_scores import LEAST_IOU, SIZES, ObjectCounts
from geoseg.geo.object_table import PairTable, RegionTable
from geoseg.geo.region_stream import RegionStream

Indices = npt.NDArray[Any]
Longs = npt.NDArray[np.int64]

_PIXELS = 1 << 19
"""Pixels that are labelled at a time."""


class ObjectMatcher:
    """Matches the 4-connected regions of one map with those of its labels, from the top down.

    In memory are the regions that may still grow, and those that may still be the counterpart of
    one that does: at most two for each, for a larger one only makes an IoU smaller.

    At an IoU above 0.5 no region has two counterparts. At 0.5 exactly it may have two, if polygons
    tell apart what touches: each of them one half of it. Then the one that begins first is taken;
    as both lie inside of it, all three have ended once it has.

    Args:
        grid: Where the map lies.
        count: Number of classes.
        ignore: The index that stands for unknown.
        wanted: Indices of the classes whose regions are objects.
        sizes: Areas that part the sizes, ascending; square metres (pixels without a CRS).
    """

    def __init__(
        self,
        grid: Grid,
        count: int,
        ignore: int,
        wanted: Sequence[int],
        sizes: Sequence[float] = SIZES,
    ) -> None:
        self._areas = grid.row_areas()
        self._alike = float(np.ptp(self._areas)) == 0
        self._unit = "pixels" if grid.crs is None else "m2"
        self._ignore, self._wanted, self._sizes = ignore, tuple(wanted), tuple(sizes)
        self._is_wanted = np.zeros(max(count, ignore + 1), np.bool_)
        self._is_wanted[list(wanted)] = True
        self._row = 0
        none, no_area = np.zeros(0, np.int64), np.zeros(0)
        # The first is that of the labels, the second that of the map.
        self._streams = RegionStream(grid.width), RegionStream(grid.width)
        self._tables = [RegionTable.of(none, none, none, no_area) for _ in range(2)]
        self._pairs = PairTable.of(none, none, none)
        shape = (2, 2, count, len(self._sizes) + 1)
        self._counts, self._ious = np.zeros(shape, np.int64), np.zeros(count)

    def push(
        self,
        reference: Indices,
        prediction: Indices,
        numbers: Indices | None = None,
        own_numbers: Indices | None = None,
    ) -> None:
        """Take the next rows; pixels that are unknown in either map belong to no object.

        Args:
            reference: (rows, width) class indices of the labels.
            prediction: (rows, width) class indices of the map.
            numbers: (rows, width) which polygon of the labels each pixel belongs to, where that is
                known: then regions of the labels end where another polygon begins. Given in
                every call or in none.
            own_numbers: (rows, width) the same of the map.
        """
        rows = max(_PIXELS // reference.shape[1], 1)
        for row in range(0, len(reference), rows):
            part = slice(row, row + rows)
            told = tuple(None if n is None else n[part] for n in (numbers, own_numbers))
            self._push(reference[part], prediction[part], told)

    def finish(self) -> ObjectCounts:
        """End all regions, and give the counts."""
        for place, stream in enumerate(self._streams):
            self._tables[place] = self._tables[place].ending(stream.finish())
        self._settle()
        return ObjectCounts(
            sizes=self._sizes,
            unit=self._unit,
            wanted=self._wanted,
            reference=self._counts[0],
            predicted=self._counts[1],
            ious=self._ious,
        )

    def _push(
        self, reference: Indices, prediction: Indices, numbers: tuple[Indices | None, ...]
    ) -> None:
        unknown = (reference == self._ignore) | (prediction == self._ignore)
        maps = tuple(np.where(unknown, self._ignore, each) for each in (reference, prediction))
        objects = [
            classes if own is None else np.where(unknown, -1, own)
            for classes, own in zip(maps, numbers, strict=True)
        ]
        regions = self._streams[0].push(objects[0]), self._streams[1].push(objects[1])
        runs = find_runs(regions, (maps[0], maps[1]))
        areas = self._areas[self._row + runs.rows] * runs.pixels
        self._row += len(reference)
        self._add_pairs(runs)
        for place in range(2):
            self._add_regions(place, runs, areas)
        self._settle()

    def _add_regions(self, place: int, runs: Runs, areas: npt.NDArray[np.float64]) -> None:
        stream, table = self._streams[place], self._tables[place]
        kept = self._is_wanted[runs.classes[place]]
        new = RegionTable.of(
            runs.regions[place][kept], runs.classes[place][kept], runs.pixels[kept], areas[kept]
        )
        table = table.joined(new)
        self._tables[place] = table.renamed(stream.find(table.numbers)).ending(stream.ended)

    def _add_pairs(self, runs: Runs) -> None:
        kept = (runs.classes[0] == runs.classes[1]) & self._is_wanted[runs.classes[0]]
        new = PairTable.of(runs.regions[0][kept], runs.regions[1][kept], runs.pixels[kept])
        pairs = self._pairs.joined(new)
        first, second = self._streams[0].find(pairs.first), self._streams[1].find(pairs.second)
        self._pairs = PairTable.of(first, second, pairs.pixels)

    def _settle(self) -> None:
        """Match what is ended on both sides, and let go of what cannot be matched any more."""
        pairs, tables = self._pairs, self._tables
        places = tables[0].places(pairs.first), tables[1].places(pairs.second)
        sizes = [table.pixels[at] for table, at in zip(tables, places, strict=True)]
        ended = [table.ended[at] for table, at in zip(tables, places, strict=True)]
        # Once a region has ended, what it shares with another grows no more, but their union may.
        ious = pairs.pixels / (sizes[0] + sizes[1] - pairs.pixels)
        hopeless = (ended[0] | ended[1]) & (ious < LEAST_IOU)
        matched = np.flatnonzero(ended[0] & ended[1] & ~hopeless)
        # Pairs ascend, so the first of two halves is the one that begins first.
        matched = matched[np.sort(np.unique(pairs.first[matched], return_index=True)[1])]
        matched = matched[np.sort(np.unique(pairs.second[matched], return_index=True)[1])]
        classes = tables[0].classes[places[0][matched]]
        self._ious += np.bincount(classes, ious[matched], len(self._ious))
        for place, numbers in enumerate((pairs.first, pairs.second)):
            self._tables[place] = tables[place].matching(numbers[matched])
        self._pairs = pairs.only(~hopeless & ~(ended[0] & ended[1]))
        for place, numbers in enumerate((self._pairs.first, self._pairs.second)):
            self._let_go(place, numbers)

    def _let_go(self, place: int, still_paired: Longs) -> None:
        """Count the regions of a map that have ended and may match no other."""
        table = self._tables[place]
        done = table.ended & ~np.isin(table.numbers, still_paired)
        gone = table.only(done)
        areas = gone.pixels * self._areas[0] if self._alike else gone.areas
        sizes = np.searchsorted(self._sizes, areas, side="right")
        np.add.at(self._counts[place, 0], (gone.classes, sizes), 1)
        np.add.at(self._counts[place, 1], (gone.classes, sizes), gone.matched)
        self._tables[place] = table.only(~done)
