"""True areas and perimeters of polygons, whatever the CRS they are in.

Where `area_crs` tells that a CRS distorts (geographic, Mercator), areas are taken in an equal-area
projection and perimeters are geodesic; elsewhere both are planar, in metres.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from geoseg.geo.grid import Grid, area_crs, metres_per_unit, within_poles

Floats = npt.NDArray[np.float64]

_WGS84 = CRS.from_epsg(4326)


def polygon_areas(polygons: npt.NDArray[Any], grid: Grid) -> Floats:
    """Measure polygons in square metres (square pixels where there is no CRS).

    Args:
        polygons: (n,) shapely polygons in the CRS of `grid`.
        grid: The grid that they lie on.
    """
    if not _distorts(grid):
        return np.asarray(shapely.area(polygons) * _unit(grid) ** 2, np.float64)
    moved = shapely.transform(polygons, lambda xy: _project(xy, grid, area_crs(_crs(grid))))
    return np.asarray(shapely.area(moved), np.float64)


def polygon_perimeters(polygons: npt.NDArray[Any], grid: Grid) -> Floats:
    """Measure the outlines of polygons, holes included, in metres (pixels without a CRS).

    Args:
        polygons: (n,) shapely polygons in the CRS of `grid`.
        grid: The grid that they lie on.
    """
    if not _distorts(grid):
        return np.asarray(shapely.length(polygons) * _unit(grid), np.float64)
    rings, owners = shapely.get_rings(polygons, return_index=True)
    coords, places = shapely.get_coordinates(rings, return_index=True)
    lengths = _geodesic_lengths(coords[:-1], coords[1:], grid)
    inner = places[:-1] == places[1:]
    sums = np.bincount(owners[places[:-1][inner]], lengths[inner], len(polygons))
    return sums.astype(np.float64, copy=False)


def ring_perimeters(coords: Floats, offsets: npt.NDArray[np.int64], grid: Grid) -> Floats:
    """Measure rings that follow the sides of pixels.

    Args:
        coords: (m, 2) vertices as (col, row), corners of pixels; each ring repeats its first.
        offsets: (rings + 1,) where each ring begins in `coords`.
        grid: The pixels' grid.

    Returns:
        (rings,) metres; pixels without a CRS.
    """
    if len(offsets) == 1:
        return np.zeros(0)
    along_rows, down = _pixel_sides(grid)
    cols, rows = coords[:, 0], coords[:, 1].astype(np.int64)
    lengths = np.abs(np.diff(cols)) * along_rows[rows[1:]] + np.abs(np.diff(down[rows]))
    lengths = np.append(lengths, 0)
    lengths[offsets[1:] - 1] = 0
    return np.add.reduceat(lengths, offsets[:-1])


def pixel_sides(grid: Grid) -> tuple[Floats, Floats]:
    """Measure the steps from a pixel to its neighbours, in metres (pixels without a CRS).

    Args:
        grid: The pixels.

    Returns:
        (height,) the step along each row, and (height,) across it, at the middle column.
    """
    if grid.crs is None:
        return np.ones(grid.height), np.ones(grid.height)
    if not _distorts(grid):
        along_row, along_col = (side * _unit(grid) for side in grid.res)
        return np.full(grid.height, along_row), np.full(grid.height, along_col)
    along_rows, down = _pixel_sides(grid)
    return (along_rows[1:] + along_rows[:-1]) / 2, np.diff(down)


@lru_cache(maxsize=2)
def _pixel_sides(grid: Grid) -> tuple[Floats, Floats]:
    """Lengths of pixels' sides: along a row at each of height + 1 lattice rows, and down to them.

    Taken at the middle column, as `Grid.row_areas` does where a rotated grid differs by column.
    """
    if not _distorts(grid):
        along_row, along_col = grid.res
        unit = _unit(grid)
        down = np.arange(grid.height + 1, dtype=np.float64) * (along_col * unit)
        return np.full(grid.height + 1, along_row * unit), down
    rows, col = np.arange(grid.height + 1), grid.width // 2
    left, right = _corners(grid, rows, col), _corners(grid, rows, col + 1)
    down = np.concatenate([[0], np.cumsum(_geodesic_lengths(left[:-1], left[1:], grid))])
    return _geodesic_lengths(left, right, grid), down


def _corners(grid: Grid, rows: npt.NDArray[np.int64], col: int) -> Floats:
    t = grid.transform
    return np.stack([t.a * col + t.b * rows + t.c, t.d * col + t.e * rows + t.f], axis=1)


def _geodesic_lengths(starts: Floats, ends: Floats, grid: Grid) -> Floats:
    first, last = _project(starts, grid, _WGS84), _project(ends, grid, _WGS84)
    _, _, lengths = Geod(ellps="WGS84").inv(*first.T, *last.T)
    return np.asarray(lengths, np.float64)


def _project(xy: Floats, grid: Grid, target: CRS) -> Floats:
    """Positions in another CRS, the grid's middle moved to x = 0.

    Neither areas nor lengths depend on longitude here, and nothing straddles the antimeridian.
    """
    left, _, right, _ = grid.bounds
    crs, northings = _crs(grid), xy[:, 1]
    if crs.is_geographic:
        northings = within_poles(northings, crs)
    transformer = Transformer.from_crs(crs, target, always_xy=True)
    x, y = transformer.transform(xy[:, 0] - (left + right) / 2, northings)
    return np.stack([x, y], axis=1)


def _crs(grid: Grid) -> CRS:
    if grid.crs is None:
        raise ValueError("a grid without a CRS has no metres")
    return grid.crs


def _distorts(grid: Grid) -> bool:
    return grid.crs is not None and area_crs(grid.crs) != grid.crs


def _unit(grid: Grid) -> float:
    return 1.0 if grid.crs is None else metres_per_unit(grid.crs)
