"""The regions of one map that are still being matched, and what pairs of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RegionTable:
    """Regions by number, ascending; arrays (regions,)."""

    numbers: Longs
    """Numbers of the regions."""

    classes: Longs
    """Class index of each."""

    pixels: Longs
    """Pixels so far."""

    areas: Floats
    """Square metres so far (pixels where there is no CRS)."""

    ended: Mask
    """Whether it gets no more pixels."""

    matched: Mask
    """Whether it has found its counterpart."""

    @classmethod
    def of(cls, numbers: Longs, classes: Longs, pixels: Longs, areas: Floats) -> Self:
        """Regions that are neither ended nor matched; numbers may be in any order, and double."""
        none = np.zeros(len(numbers), np.bool_)
        table = cls(
            numbers=numbers, classes=classes, pixels=pixels, areas=areas, ended=none, matched=none
        )
        return table.renamed(numbers)

    def joined(self, other: Self) -> Self:
        """Both tables as one; equal numbers are the same region."""
        both = {
            key: np.concatenate([getattr(self, key), getattr(other, key)]) for key in _columns(self)
        }
        return replace(self, **both).renamed(both["numbers"])

    def renamed(self, numbers: Longs) -> Self:
        """The same regions under other numbers (regions,); those of one number become one."""
        unique, first, place = np.unique(numbers, return_index=True, return_inverse=True)
        count = len(unique)
        return replace(
            self,
            numbers=unique,
            classes=self.classes[first],
            pixels=np.bincount(place, self.pixels, count).astype(np.int64),
            areas=np.bincount(place, self.areas, count).astype(np.float64, copy=False),
            ended=np.bincount(place, self.ended, count) > 0,
            matched=np.bincount(place, self.matched, count) > 0,
        )

    def ending(self, numbers: Longs) -> Self:
        """The same with these regions ended."""
        return replace(self, ended=self.ended | np.isin(self.numbers, numbers))

    def matching(self, numbers: Longs) -> Self:
        """The same with these regions matched."""
        return replace(self, matched=self.matched | np.isin(self.numbers, numbers))

    def only(self, kept: Mask) -> Self:
        """The regions of a choice (regions,)."""
        return replace(self, **{key: getattr(self, key)[kept] for key in _columns(self)})

    def places(self, numbers: Longs) -> Longs:
        """The places of regions that are in the table."""
        return np.searchsorted(self.numbers, numbers)


@dataclass(frozen=True, kw_only=True)
class PairTable:
    """Pairs of regions of one class that share pixels; arrays (pairs,), ascending."""

    first: Longs
    """Number of the region in the first map."""

    second: Longs
    """Number of the region in the second map."""

    pixels: Longs
    """Pixels of both, so far."""

    @classmethod
    def of(cls, first: Longs, second: Longs, pixels: Longs) -> Self:
        """Pairs in any order; those that occur several times are summed."""
        order = np.lexsort((second, first))
        first, second, pixels = first[order], second[order], pixels[order]
        begins = np.ones(len(first), np.bool_)
        begins[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        places = np.flatnonzero(begins)
        sums = np.add.reduceat(pixels, places) if len(places) else pixels
        return cls(first=first[places], second=second[places], pixels=sums)

    def joined(self, other: Self) -> Self:
        """Both tables as one."""
        return self.of(
            np.concatenate([self.first, other.first]),
            np.concatenate([self.second, other.second]),
            np.concatenate([self.pixels, other.pixels]),
        )

    def only(self, kept: Mask) -> Self:
        """The pairs of a choice (pairs,)."""
        return replace(self, **{key: getattr(self, key)[kept] for key in _columns(self)})


def _columns(table: RegionTable | PairTable) -> tuple[str, ...]:
    return tuple(table.__dataclass_fields__)
