"""Areas of the classes of a map and of its labels, counted row by row in true square metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoseg.geo.grid import Grid

Indices = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AreaCounts:
    """Areas; those of several maps add up."""

    unit: str
    """`m2`, or `pixels` where there is no CRS."""

    mapped: Floats
    """(C,) area of each class of the map, with and without labels."""

    matrix: Floats
    """(C, C) area where both have a class; rows are the reference."""

    def __add__(self, other: Self) -> AreaCounts:
        """The areas of both maps."""
        return AreaCounts(
            unit=self.unit if self.unit == other.unit else "mixed",
            mapped=self.mapped + other.mapped,
            matrix=self.matrix + other.matrix,
        )

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """The areas as the report tells them.

        Args:
            names: Name of each class.

        Returns:
            `unit`, `total_mapped`, `total_compared` and `classes`: a dict each with `name`,
            `mapped` (on the whole map), `mapped_compared` and `reference_compared` (where both
            the map and the labels have a class).
        """
        mapped, reference = self.matrix.sum(axis=0), self.matrix.sum(axis=1)
        return {
            "unit": self.unit,
            "total_mapped": float(self.mapped.sum()),
            "total_compared": float(self.matrix.sum()),
            "classes": [
                {
                    "name": name,
                    "mapped": float(self.mapped[index]),
                    "mapped_compared": float(mapped[index]),
                    "reference_compared": float(reference[index]),
                }
                for index, name in enumerate(names)
            ],
        }


class AreaCounter:
    """Sums the areas of one map and its labels.

    Args:
        grid: Where the map lies.
        count: Number of classes.
        ignore: The index that stands for unknown.
    """

    def __init__(self, grid: Grid, count: int, ignore: int) -> None:
        self._areas = grid.row_areas()
        self._alike = float(np.ptp(self._areas)) == 0
        self._unit = "pixels" if grid.crs is None else "m2"
        self._count, self._ignore = count, ignore
        self._mapped, self._matrix = np.zeros(count), np.zeros(count * count)

    def count(self, reference: Indices, prediction: Indices, row: int) -> None:
        """Count some rows.

        Args:
            reference: (rows, width) class indices of the labels.
            prediction: (rows, width) class indices of the map.
            row: Number of the first one.
        """
        mapped = prediction != self._ignore
        both = mapped & (reference != self._ignore)
        pairs = reference[both].astype(np.intp) * self._count + prediction[both]
        self._mapped += self._summed(prediction[mapped], mapped, row, self._count)
        self._matrix += self._summed(pairs, both, row, len(self._matrix))

    def result(self) -> AreaCounts:
        """What has been counted."""
        shape = self._count, self._count
        if self._alike:
            area = self._areas[0]
            return AreaCounts(
                unit=self._unit,
                mapped=self._mapped * area,
                matrix=self._matrix.reshape(shape) * area,
            )
        return AreaCounts(unit=self._unit, mapped=self._mapped, matrix=self._matrix.reshape(shape))

    def _summed(
        self, classes: Indices, chosen: npt.NDArray[np.bool_], row: int, count: int
    ) -> Floats:
        """Areas of the chosen pixels by class; pixels where all have one area."""
        if self._alike:
            return np.bincount(classes, minlength=count).astype(np.float64)
        areas = np.repeat(self._areas[row : row + len(chosen)], chosen.sum(axis=1))
        return np.bincount(classes, areas, count).astype(np.float64, copy=False)
