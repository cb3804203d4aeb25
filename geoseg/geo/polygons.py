"""Class rasters to polygons: valid, whole, a coverage without gaps or overlaps.

Outlines are traced and simplified in pixel coordinates, where shared borders are exactly equal,
and only then brought to the ground, each vertex by the same sum: so they stay equal.
"""

from __future__ import annotations

from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import shapely

from geoseg.geo.classes import check_classes
from geoseg.geo.grid import Grid
from geoseg.geo.measures import polygon_areas, polygon_perimeters, ring_perimeters
from geoseg.geo.regions import Regions, label_regions
from geoseg.geo.rings import Rings, trace_rings


def polygonize(
    values: npt.NDArray[Any], grid: Grid, nodata: int | None = None, *, simplify: float = 0.0
) -> geopandas.GeoDataFrame:
    """Turn every 4-connected region of equal value into one polygon.

    The polygons form a valid coverage: where three or more meet, all have the vertex. Without
    `simplify` they follow the sides of the pixels exactly.

    Args:
        values: (height, width) integers.
        grid: The pixels' grid; rotated and south-up grids are followed as they are.
        nodata: Value that never becomes a polygon.
        simplify: Tolerance in metres (pixels where there is no CRS) of a simplification that
            keeps shared borders shared and the coverage's outer border as it is; 0 for none.

    Returns:
        One row per region, in the order of their first pixels: `class_id` (its value),
        `area_m2` and `perim_m` (true; in pixels where there is no CRS), geometry in the
        grid's CRS. The index is the region's number in `label_regions`.

    Raises:
        SceneError: If the values are not integers.
    """
    check_classes(values.dtype)
    regions = label_regions(values, grid.row_areas())
    return polygonize_regions(regions, grid, nodata, simplify=simplify)


def polygonize_regions(
    regions: Regions, grid: Grid, nodata: int | None = None, *, simplify: float = 0.0
) -> geopandas.GeoDataFrame:
    """Turn labelled regions into polygons, as `polygonize` does.

    Args:
        regions: The regions of a class raster.
        grid: The pixels' grid.
        nodata: Value that never becomes a polygon.
        simplify: Tolerance in metres (pixels where there is no CRS); 0 for none.
    """
    numbers = np.arange(1, len(regions.values))
    if nodata is not None:
        numbers = numbers[regions.values[1:] != nodata]
    rings = trace_rings(regions.labels)
    if simplify > 0:
        polygons = _simplified(rings.polygons()[numbers - 1], grid, simplify)
        areas, perimeters = polygon_areas(polygons, grid), polygon_perimeters(polygons, grid)
    else:
        polygons = _on_ground(rings, grid)[numbers - 1]
        by_ring = ring_perimeters(rings.coords.astype(np.float64), rings.offsets, grid)
        perimeters = np.bincount(rings.labels, by_ring, len(regions.values))[numbers].astype(float)
        areas = regions.areas[numbers]
    return geopandas.GeoDataFrame(
        {
            "class_id": regions.values[numbers].astype(np.int32),
            "area_m2": areas,
            "perim_m": perimeters,
        },
        geometry=polygons,
        crs=None if grid.crs is None else grid.crs.to_wkt(),
        index=numbers,
    )


def _on_ground(rings: Rings, grid: Grid) -> npt.NDArray[Any]:
    """Polygons of the rings in the grid's CRS."""
    return rings.polygons(lambda coords: _to_ground(coords, grid))


def _simplified(polygons: npt.NDArray[Any], grid: Grid, tolerance: float) -> npt.NDArray[Any]:
    """Simplify a coverage in pixel coordinates, then bring it to the ground."""
    pixels = tolerance / grid.ground_resolution()
    simple = shapely.coverage_simplify(polygons, pixels, simplify_boundary=False)
    moved: npt.NDArray[Any] = shapely.transform(simple, lambda coords: _to_ground(coords, grid))
    return moved


def _to_ground(coords: npt.NDArray[Any], grid: Grid) -> npt.NDArray[np.float64]:
    t = grid.transform
    cols, rows = coords[:, 0], coords[:, 1]
    ground = np.empty((len(coords), 2), np.float64)
    ground[:, 0] = t.a * cols + t.b * rows + t.c
    ground[:, 1] = t.d * cols + t.e * rows + t.f
    return ground
