"""Class rasters of any height to polygons, traced while their rows pass by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geoseg.geo.class_rows import ClassRows
from geoseg.geo.polygon_batch import PolygonBatch, Refiner

Fields = Callable[[int, npt.NDArray[Any]], npt.NDArray[np.float32]]
"""Of the first row and the values (height, width) of a block: what is to be averaged over each
polygon, (k, height, width); NaN where there is nothing."""


def trace_polygons(
    rows: ClassRows,
    *,
    row_areas: npt.NDArray[np.float64],
    connectivity: Literal[4, 8] = 4,
    nodata: int | None = None,
    keep: Collection[int] | None = None,
    fields: Fields | None = None,
    refine: Refiner | None = None,
) -> Iterator[PolygonBatch]:
    """Cut a class raster into polygons that form a valid coverage.

    Polygons come once their last pixel has passed, ordered by their last row, then by their
    first pixel. Neither they nor their order depend on the blocks that the rows come in.

    Args:
        rows: The class values; one pass is made over them.
        row_areas: (height,) area of one pixel of each row, as `Grid.row_areas` tells it.
        connectivity: 4 gives each region of pixels that share sides a polygon of its own; 8
            makes those that touch at corners one multipolygon.
        nodata: Value that never becomes a polygon.
        keep: Values that become polygons, their borders the same as if all did; None for all.
        fields: What is to be averaged over each polygon; called once for every block, in order.
        refine: What changes the borders before polygons are made of them.

    Yields:
        Some polygons at a time; never an empty batch.
    """
    raise NotImplementedError
