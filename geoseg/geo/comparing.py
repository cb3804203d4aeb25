"""One map counted against its labels, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError
from geoseg.geo.confusion import confusion
from geoseg.geo.grid import Grid
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Raster
from geoseg.geo.values import count_values


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One prediction counted against its labels."""

    prediction: str
    """The class raster."""

    labels: str
    """The file of its labels."""

    matrix: npt.NDArray[np.int64]
    """(C, C) pixels; rows are the reference."""

    pixels: int
    """Pixels of the class raster."""

    predicted_pixels: int
    """Those with a predicted class."""

    labelled_pixels: int
    """Those with a label."""


class Comparer:
    """Counts the pixels of one map against its labels.

    Args:
        prediction: Name of the map.
        grid: Where it lies.
        labels: Its labels.
        legend: The classes of both.

    Raises:
        LabelError: If the labels do not touch the map.
    """

    def __init__(self, prediction: str, grid: Grid, labels: Labels, legend: Legend) -> None:
        if not labels.touches(grid):
            raise LabelError(
                prediction,
                f"does not touch its labels, {labels.path}",
                "Check the CRS and extent of both",
            )
        self._prediction = prediction
        self._grid = grid
        self._labels = labels
        self._legend = legend
        self._matrix = np.zeros((legend.count, legend.count), np.int64)
        self._predicted = self._labelled = 0

    def count(self, raster: Raster) -> None:
        """Count the pixels of a part of the map.

        Args:
            raster: (1, height, width) class values; those that are not valid do not count.

        Raises:
            LabelError: If the map holds values that are not in the legend, or the labels cannot
                be read.
        """
        legend = self._legend
        prediction = self._indices(raster)
        reference = legend.encode(self._labels.mask(raster.grid))
        self._predicted += int(np.count_nonzero(prediction != legend.ignore_index))
        self._labelled += int(np.count_nonzero(reference != legend.ignore_index))
        self._matrix += confusion(reference, prediction, legend.count, legend.ignore_index)

    def result(self) -> Comparison:
        """What has been counted."""
        height, width = self._grid.shape
        return Comparison(
            prediction=self._prediction,
            labels=self._labels.path,
            matrix=self._matrix,
            pixels=height * width,
            predicted_pixels=self._predicted,
            labelled_pixels=self._labelled,
        )

    def _indices(self, raster: Raster) -> npt.NDArray[Any]:
        """Channel indices (height, width); the ignored index where there is no data."""
        data, valid = raster.data[0], raster.valid
        self._legend.check(count_values(data[valid]), self._prediction)
        indices = self._legend.encode(np.where(valid, data, self._legend.values[0]))
        indices[~valid] = self._legend.ignore_index
        return indices
