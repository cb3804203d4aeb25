"""True sizes where the grid goes on beyond the poles, as global grids registered by centres do."""

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS

from geoseg.geo.grid import Grid
from geoseg.geo.measures import (
    pixel_sides,
    polygon_areas,
    polygon_perimeters,
    ring_perimeters,
)

GEOD = Geod(ellps="WGS84")
BEYOND = Grid(
    height=181, width=40, transform=Affine(1, 0, -0.5, 0, -1, 90.5), crs=CRS.from_epsg(4326)
)
CAP = np.array([(3, 0), (13, 0), (13, 10), (3, 10), (3, 0)], np.float64)
"""Ten degrees wide, from beyond the pole to 80.5 degrees north, in pixels."""


def cap_outline():
    """Two meridians, geodesics both, and the short sides of the parallel below."""
    meridian = GEOD.line_length([0, 0], [90, 80.5])
    lons = np.arange(11)
    return 2 * meridian + GEOD.line_length(lons, np.full(11, 80.5))


def test_outlines_end_at_the_pole():
    (length,) = ring_perimeters(CAP, np.array([0, 5]), BEYOND)
    assert length == pytest.approx(cap_outline(), rel=1e-9)
    ground = shapely.Polygon([BEYOND.transform @ tuple(xy) for xy in CAP.tolist()])
    (drawn,) = polygon_perimeters(np.array([ground]), BEYOND)
    # Its lower side is one geodesic, not the parallel.
    side = GEOD.line_length([0, 10], [80.5, 80.5])
    assert drawn == pytest.approx(2 * GEOD.line_length([0, 0], [90, 80.5]) + side, rel=1e-9)


def test_areas_end_at_the_pole():
    ground = shapely.Polygon([BEYOND.transform @ tuple(xy) for xy in CAP.tolist()])
    (area,) = polygon_areas(np.array([ground]), BEYOND)
    assert area == pytest.approx(BEYOND.row_areas()[:10].sum() * 10, rel=1e-9)
    assert np.isfinite(BEYOND.row_areas()).all()


def test_steps_between_pixels_are_finite():
    along, across = pixel_sides(BEYOND)
    assert np.isfinite(along).all()
    assert across[0] == pytest.approx(GEOD.line_length([0, 0], [90, 89.5]))
