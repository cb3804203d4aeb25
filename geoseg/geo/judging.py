"""All that is counted of one map and its labels beside the pixels of each pair of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.geo.area_counts import AreaCounter
from geoseg.geo.boundary_scores import BoundaryCounter
from geoseg.geo.calibrating import Calibrator
from geoseg.geo.comparing import Comparison
from geoseg.geo.error_map import ErrorCounter
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.map_polygons import MapPolygons
from geoseg.geo.object_matching import ObjectMatcher
from geoseg.geo.sample_points import SampleReader

Indices = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be counted of every map; all off by default."""

    legend: Legend
    """The classes."""

    left_out: tuple[int, ...] = ()
    """Indices of classes whose reference pixels are not counted."""

    boundary: float | None = None
    """Tolerance in metres (pixels where there is no CRS)."""

    objects: tuple[int, ...] | None = None
    """Indices of the classes whose regions are objects."""

    object_sizes: tuple[float, ...] = ()
    """Areas that part small objects from larger ones."""

    area: bool = False
    """Whether areas are summed."""

    window: int | None = None
    """Side of the windows of which errors are counted, pixels."""


class Judge:
    """Hands the rows of one map and its labels to all that counts them.

    Args:
        question: What is to be counted.
        grid: Where the map lies.
        calibrator: Counts probabilities, where there are any.
        sample: Looks the map up at the points of a sample, where there is one.
        polygons: The objects of the map, where they are not its connected regions.

    Raises:
        ConfigError: If the tolerance of boundaries is less than a pixel.
        LabelError: If only one of the map and the sample has a CRS.
    """

    def __init__(
        self,
        question: Question,
        grid: Grid,
        calibrator: Calibrator | None = None,
        sample: SampleReader | None = None,
        polygons: MapPolygons | None = None,
    ) -> None:
        self._question = question
        self._calibrator, self._sample = calibrator, sample
        self._grid, self._polygons = grid, polygons
        count, ignore = question.legend.count, question.legend.ignore_index
        self._boundary: BoundaryCounter | None = None
        self._objects: ObjectMatcher | None = None
        self._areas: AreaCounter | None = None
        if question.boundary is not None:
            tolerance, left_out = question.boundary, question.left_out
            self._boundary = BoundaryCounter(grid, tolerance, count, ignore, left_out)
        if question.objects is not None:
            sizes = question.object_sizes
            self._objects = ObjectMatcher(grid, count, ignore, question.objects, sizes)
        if question.area:
            self._areas = AreaCounter(grid, count, ignore)
        self._errors: ErrorCounter | None = None
        if question.window is not None:
            left_out, window = question.left_out, question.window
            self._errors = ErrorCounter(grid, question.legend, left_out, window)
        if sample is not None:
            sample.begin(grid)
        self._row = 0

    def push(self, reference: Indices, prediction: Indices, numbers: Indices | None = None) -> None:
        """Take the next rows.

        Args:
            reference: (rows, width) class indices of the labels.
            prediction: (rows, width) class indices of the map.
            numbers: (rows, width) which polygon of the labels each pixel belongs to, where they
                are polygons; needed for objects only.

        Raises:
            SceneError: If probabilities cannot be read, or do not sum to one.
        """
        if self._boundary is not None:
            self._boundary.push(reference, prediction)
        if self._objects is not None:
            shown, own = prediction, None
            if self._polygons is not None:
                window = Window(0, self._row, self._grid.width, len(reference))
                shown, own = self._polygons.show(self._grid.crop(window), prediction)
            self._objects.push(reference, shown, numbers, own)
        if self._areas is not None:
            self._areas.count(reference, prediction, self._row)
        if self._errors is not None:
            self._errors.push(reference, prediction)
        if self._sample is not None:
            self._sample.read(prediction, self._row)
        if self._calibrator is not None:
            self._calibrator.count(self._without(reference), self._row)
        self._row += len(reference)

    def result(self, comparison: Comparison) -> Comparison:
        """A comparison with all that was counted."""
        return replace(
            comparison,
            boundary=None if self._boundary is None else self._boundary.finish(),
            objects=None if self._objects is None else self._objects.finish(),
            areas=None if self._areas is None else self._areas.result(),
            calibration=None if self._calibrator is None else self._calibrator.result(),
            errors=None if self._errors is None else self._errors.result(),
        )

    def _without(self, reference: Indices) -> Indices:
        """The labels without the classes that are left out."""
        left_out: Sequence[int] = self._question.left_out
        if not left_out:
            return reference
        ignore = self._question.legend.ignore_index
        return np.where(np.isin(reference, left_out), ignore, reference).astype(reference.dtype)
