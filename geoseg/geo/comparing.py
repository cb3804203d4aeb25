"""One map counted against its labels, a few rows at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError
from geoseg.geo.area_counts import AreaCounts
from geoseg.geo.boundary_scores import BoundaryCounts
from geoseg.geo.calibration import CalibrationCounts
from geoseg.geo.confusion import confusion
from geoseg.geo.error_map import ErrorMap
from geoseg.geo.grid import Grid
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.object_scores import ObjectCounts
from geoseg.geo.raster import Raster
from geoseg.geo.values import count_values

Indices = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One prediction counted against its labels."""

    prediction: str
    """The class raster."""

    labels: str
    """The file of its labels; empty where there are none."""

    matrix: npt.NDArray[np.int64]
    """(C, C) pixels; rows are the reference."""

    pixels: int
    """Pixels of the class raster."""

    predicted_pixels: int
    """Those with a predicted class."""

    labelled_pixels: int
    """Those with a label."""

    boundary: BoundaryCounts | None = None
    """Borders, where they were asked for."""

    objects: ObjectCounts | None = None
    """Objects, where they were asked for."""

    areas: AreaCounts | None = None
    """Areas, where they were asked for."""

    calibration: CalibrationCounts | None = None
    """Probabilities against truth, where there were any."""

    errors: ErrorMap | None = None
    """Where it is wrong, where that was asked for."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """What the class raster tells of how it was made."""


class Comparer:
    """Counts the pixels of one map against its labels.

    Args:
        prediction: Name of the map.
        grid: Where it lies.
        labels: Its labels; None where there are none, and only the map is counted.
        legend: The classes of both.

    Raises:
        LabelError: If the labels do not touch the map.
    """

    def __init__(self, prediction: str, grid: Grid, labels: Labels | None, legend: Legend) -> None:
        if labels is not None and not labels.touches(grid):
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

    def count(self, raster: Raster) -> tuple[Indices, Indices]:
        """Count the pixels of a part of the map.

        Args:
            raster: (1, height, width) class values; those that are not valid do not count.

        Returns:
            (height, width) channel indices of the labels, and of the map.

        Raises:
            LabelError: If the map holds values that are not in the legend, or the labels cannot
                be read.
        """
        legend = self._legend
        prediction = self._indices(raster)
        if self._labels is None:
            reference: Indices = np.full_like(prediction, legend.ignore_index)
        else:
            reference = legend.encode(self._labels.mask(raster.grid))
        self._predicted += int(np.count_nonzero(prediction != legend.ignore_index))
        self._labelled += int(np.count_nonzero(reference != legend.ignore_index))
        if raster.valid.any():
            self._matrix += confusion(reference, prediction, legend.count, legend.ignore_index)
        return reference, prediction

    def result(self) -> Comparison:
        """What has been counted."""
        height, width = self._grid.shape
        return Comparison(
            prediction=self._prediction,
            labels="" if self._labels is None else self._labels.path,
            matrix=self._matrix,
            pixels=height * width,
            predicted_pixels=self._predicted,
            labelled_pixels=self._labelled,
        )

    def _indices(self, raster: Raster) -> Indices:
        """Channel indices (height, width); the ignored index where there is no data."""
        data, valid = raster.data[0], raster.valid
        if not valid.any():  # most of a large mosaic may be empty
            return np.full(valid.shape, self._legend.ignore_index, self._legend.index_dtype)
        self._legend.check(count_values(data[valid]), self._prediction)
        indices = self._legend.encode(np.where(valid, data, self._legend.values[0]))
        indices[~valid] = self._legend.ignore_index
        return indices
