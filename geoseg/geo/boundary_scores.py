"""How well the borders of a map agree with those of its labels, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError
from geoseg.geo.grid import Grid
from geoseg.geo.measures import pixel_sides
from geoseg.geo.near import are_near, column_gaps, contours, reach_table
from geoseg.geo.ratios import divide, mean_of

Indices = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]

_PIXELS = 1 << 20
"""Pixels that are worked on at a time, margins apart."""

_KINDS = (
    *("reference_zone", "predicted_zone", "common_zone"),
    *("reference_contour", "matched_reference", "predicted_contour", "matched_predicted"),
)
"""What is counted, in the order of the rows of `BoundaryCounts.counts`."""


@dataclass(frozen=True, kw_only=True)
class BoundaryCounts:
    """Pixels of borders; those of several maps add up.

    The **zone** of a class are its pixels with a pixel of another class within the tolerance.
    Its **contour** are its pixels with another class above, below, left or right. The edge of the
    scene and ground that is not known make neither.
    """

    tolerance: float
    """Metres; pixels where there is no CRS."""

    unit: str
    """`m` or `pixels`."""

    counts: Counts
    """(7, C) pixels of each class: zone of the reference, of the prediction, of both; contour of
    the reference, the part of it within the tolerance of the prediction's, and the other way."""

    def __add__(self, other: Self) -> BoundaryCounts:
        """The counts of both maps."""
        return BoundaryCounts(
            tolerance=self.tolerance, unit=self.unit, counts=self.counts + other.counts
        )

    def scores(self, names: Sequence[str], left_out: Sequence[int] = ()) -> dict[str, Any]:
        """Boundary IoU and boundary F1 of each class, and their means over the classes.

        Boundary IoU (Cheng et al. 2021, arXiv:2103.16562): intersection over union of the zones.
        Boundary F1 (Csurka et al. 2013, doi:10.5244/C.27.32): harmonic mean of precision, the
        share of the predicted contour within the tolerance of the reference's, and recall, the
        same with the parts exchanged.

        Args:
            names: Name of each class.
            left_out: Indices of classes that take no part in the means.

        Returns:
            `tolerance`, `unit`, `mean_iou`, `mean_f1`, `classes` (one dict a class: `name`,
            `iou`, `precision`, `recall`, `f1`, `reference_pixels` and `predicted_pixels` of the
            contours); NaN where a class has no borders.
        """
        count = dict(zip(_KINDS, self.counts, strict=True))
        common = count["common_zone"]
        iou = divide(common, count["reference_zone"] + count["predicted_zone"] - common)
        precision = divide(count["matched_predicted"], count["predicted_contour"])
        recall = divide(count["matched_reference"], count["reference_contour"])
        total = np.nan_to_num(precision) + np.nan_to_num(recall)
        f1 = divide(2 * np.nan_to_num(precision) * np.nan_to_num(recall), total)
        one_sided = (count["reference_contour"] + count["predicted_contour"] > 0) & (total == 0)
        f1[one_sided] = 0
        by_class = {"iou": iou, "precision": precision, "recall": recall, "f1": f1}
        for values in by_class.values():
            values[list(left_out)] = np.nan
        return {
            "tolerance": self.tolerance,
            "unit": self.unit,
            "mean_iou": mean_of(iou),
            "mean_f1": mean_of(f1),
            "classes": [
                {
                    "name": name,
                    **{key: float(values[index]) for key, values in by_class.items()},
                    "reference_pixels": int(count["reference_contour"][index]),
                    "predicted_pixels": int(count["predicted_contour"][index]),
                }
                for index, name in enumerate(names)
            ],
        }


class BoundaryCounter:
    """Counts the borders of one map and its labels, from the top down.

    Rows wait until all that lies within the tolerance below them has come; so the counts are
    those of the whole scene, however it is cut.

    Args:
        grid: Where the map lies.
        tolerance: Metres (pixels where there is no CRS).
        count: Number of classes.
        ignore: The index that stands for unknown.
        left_out: Indices of classes whose reference pixels are not counted.

    Raises:
        ConfigError: If the tolerance is less than a pixel.
    """

    def __init__(
        self,
        grid: Grid,
        tolerance: float,
        count: int,
        ignore: int,
        left_out: Sequence[int] = (),
    ) -> None:
        self._across, self._down = pixel_sides(grid)
        smallest = max(float(self._across.min()), float(self._down.min()))
        unit = "pixels" if grid.crs is None else "m"
        if not smallest * (1 - 1e-9) <= tolerance < math.inf:
            raise ConfigError(
                "--boundary",
                f"{tolerance:g} {unit} is less than a pixel, {self._across[0]:g} x "
                f"{self._down[0]:g} {unit}",
                "Give the width of a pixel or more",
            )
        self._tolerance, self._unit = tolerance, unit
        self._ignore = ignore
        self._left_out = list(left_out)
        self._counts = np.zeros((len(_KINDS), count), np.int64)
        self._margin = min(math.floor(tolerance / float(self._down.min())) + 2, grid.height)
        self._held: tuple[Indices, Indices] | None = None
        self._top = self._next = 0

    def push(self, reference: Indices, prediction: Indices) -> None:
        """Take the next rows.

        Args:
            reference: (rows, width) class indices of the labels.
            prediction: (rows, width) class indices of the map.
        """
        if self._held is None:
            self._held = reference, prediction
        else:
            self._held = (
                np.concatenate([self._held[0], reference]),
                np.concatenate([self._held[1], prediction]),
            )
        last = self._top + len(self._held[0]) - self._margin
        if last - self._next >= self._margin:
            self._count_until(last)

    def finish(self) -> BoundaryCounts:
        """Count the rows that still wait, and give all counts."""
        if self._held is not None:
            self._count_until(self._top + len(self._held[0]))
        self._held = None
        return BoundaryCounts(tolerance=self._tolerance, unit=self._unit, counts=self._counts)

    def _count_until(self, last: int) -> None:
        """Count the rows up to `last`, and let go of those that none below can need."""
        assert self._held is not None
        reference, prediction = self._held
        step = max(_PIXELS // reference.shape[1], self._margin)
        for first in range(self._next, last, step):
            stop = min(first + step, last)
            top = max(first - self._margin, 0)
            block = slice(top - self._top, stop + self._margin - self._top)
            self._count(reference[block], prediction[block], first, slice(first - top, stop - top))
        self._next = max(last, self._next)
        kept = max(self._next - self._margin, 0)
        self._held = reference[kept - self._top :].copy(), prediction[kept - self._top :].copy()
        self._top = kept

    def _count(self, reference: Indices, prediction: Indices, first: int, core: slice) -> None:
        """Count the rows `core` of a block, of which the first is row `first` of the scene."""
        rows = slice(first, first + core.stop - core.start)
        width = reference.shape[1]
        reach = reach_table(self._across[rows], self._down[rows], self._tolerance, width)
        counted = (reference[core] != self._ignore) & (prediction[core] != self._ignore)
        counted &= ~np.isin(reference[core], self._left_out)
        lines = [contours(values, self._ignore) for values in (reference, prediction)]
        for index in self._present(reference[core], prediction[core]):
            zones, edges = [], []
            for values, line in zip((reference, prediction), lines, strict=True):
                own = values == index
                others = column_gaps(~own & (values != self._ignore))
                zones.append(are_near(own[core] & counted, others[core], reach))
                edges.append(own & line)
            gaps = [column_gaps(edge) for edge in edges]
            wanted = [edge[core] & counted for edge in edges]
            matched = [
                are_near(mine, gap[core], reach)
                for mine, gap in zip(wanted, reversed(gaps), strict=True)
            ]
            found = (
                *(zones[0], zones[1], zones[0] & zones[1]),
                *(wanted[0], matched[0], wanted[1], matched[1]),
            )
            self._counts[:, index] += [np.count_nonzero(pixels) for pixels in found]

    def _present(self, *maps: Indices) -> list[int]:
        size = max(len(self._counts[0]), self._ignore + 1)
        seen = np.sum([np.bincount(values.ravel(), minlength=size) for values in maps], axis=0)
        return [index for index in np.flatnonzero(seen).tolist() if index != self._ignore]
