"""Sizes of pixels in whole units, so that sums are exact and do not depend on their order."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from geoseg.geo.generalising_rows import Measures
from geoseg.geo.grid import Grid, area_crs

_LENGTH_UNITS = 1 << 20
"""Units of the longest side of a pixel."""

_AREA_BITS = 60
"""Areas that are summed stay below two to this power."""

_FINEST = 40
"""Two to this power are the most units of a pixel's area."""


def whole_measures(grid: Grid, limit: float) -> tuple[Measures, int]:
    """Areas of pixels and lengths of their sides in whole units.

    Args:
        grid: The pixels' grid.
        limit: An area in square metres (pixels where there is no CRS); 0 or more.

    Returns:
        The measures, and the limit in units of area.
    """
    areas, limit_pixels = _relative(grid.row_areas(), limit)
    most = min(limit_pixels, grid.height * grid.width + 1.0)
    bits = _AREA_BITS - 1 - math.ceil(math.log2(max(most, grid.width, 1)))
    unit = 2.0 ** max(min(bits, _FINEST), 0)
    lying, standing = _sides(grid)
    length = max(lying.max(), standing.max()) / _LENGTH_UNITS
    measures = Measures(
        areas=np.rint(areas * unit).astype(np.int64),
        lying=np.rint(lying / length).astype(np.int64),
        standing=np.rint(standing / length).astype(np.int64),
    )
    return measures, max(round(most * unit), 1)


def _relative(
    areas: npt.NDArray[np.float64], limit: float
) -> tuple[npt.NDArray[np.float64], float]:
    """Areas and limit, both by the largest area."""
    largest = float(areas.max())
    return areas / largest, limit / largest


def _sides(grid: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lengths along rows (height + 1,) and along columns (height,), in one unit.

    Where the CRS distorts, they are geodesics at the middle column.
    """
    if grid.crs is None or area_crs(grid.crs) == grid.crs:
        along_row, along_col = grid.res
        return np.full(grid.height + 1, along_row), np.full(grid.height, along_col)
    t, rows, col = grid.transform, np.arange(grid.height + 1), grid.width / 2
    xs, ys = t.a * col + t.b * rows + t.c, t.d * col + t.e * rows + t.f
    to_degrees = Transformer.from_crs(grid.crs, CRS.from_epsg(4326), always_xy=True)
    lons, lats = to_degrees.transform(xs, ys)
    next_lons, next_lats = to_degrees.transform(xs + t.a, ys + t.d)
    geod = Geod(ellps="WGS84")
    # Global grids that are registered by centres reach beyond the poles.
    lats, next_lats = np.clip(lats, -90, 90), np.clip(next_lats, -90, 90)
    _, _, lying = geod.inv(lons, lats, next_lons, next_lats)
    _, _, standing = geod.inv(lons[:-1], lats[:-1], lons[1:], lats[1:])
    return np.asarray(lying, np.float64), np.asarray(standing, np.float64)
