"""Class rasters to polygons: valid, whole, a coverage without gaps or overlaps.

Outlines are traced and simplified in pixel coordinates, where shared borders are exactly equal,
and only then brought to the ground, each vertex by the same sum: so they stay equal.
"""

from __future__ import annotations

from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining import ArcRefining
from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.classes import check_classes
from geoseg.geo.grid import Grid
from geoseg.geo.polygon_batch import PolygonBatch
from geoseg.geo.tracing import trace_polygons


def polygonize(
    values: npt.NDArray[Any], grid: Grid, nodata: int | None = None, *, simplify: float = 0.0
) -> geopandas.GeoDataFrame:
    """Turn every 4-connected region of equal value into one polygon.

    The polygons form a valid coverage: where three or more meet, all have the vertex. Without
    `simplify` they follow the sides of the pixels exactly. `trace_polygons` does the same for
    rasters that do not fit into memory.

    Args:
        values: (height, width) integers.
        grid: The pixels' grid; rotated and south-up grids are followed as they are.
        nodata: Value that never becomes a polygon.
        simplify: Tolerance in metres (pixels where there is no CRS) of a simplification that
            keeps shared borders shared and the coverage's outer border as it is; 0 for none.

    Returns:
        One row per region, in the order of their last rows, then of their first pixels:
        `class_id` (its value), `area_m2` and `perim_m` (true; in pixels where there is no CRS),
        geometry in the grid's CRS.

    Raises:
        SceneError: If the values are not integers.
    """
    check_classes(values.dtype)
    refining = ArcRefining(tolerance=simplify / grid.ground_resolution()) if simplify > 0 else None
    traced = trace_polygons(
        ArrayRows(values), row_areas=grid.row_areas(), nodata=nodata, refine=refining
    )
    batches = list(traced)
    if batches:
        batch = PolygonBatch.concatenate(batches)
        areas, perimeters = batch.measured(grid)
        class_ids, geometries = batch.class_ids, batch.geometries(grid)
    else:
        areas = perimeters = np.zeros(0)
        class_ids, geometries = np.zeros(0, np.int32), np.zeros(0, object)
    return geopandas.GeoDataFrame(
        {"class_id": class_ids, "area_m2": areas, "perim_m": perimeters},
        geometry=geometries,
        crs=None if grid.crs is None else grid.crs.to_wkt(),
    )
