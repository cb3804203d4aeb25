"""Geometries: repaired, reprojected along the ground, widened by true metres."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from geoseg.geo.geometry import Repairs, buffer_metres, repair, reproject

DEGREES, UTM = CRS.from_epsg(4326), CRS.from_epsg(32632)


def array(*geometries):
    result = np.empty(len(geometries), dtype=object)
    result[:] = geometries
    return result


def test_repair_counts_what_it_finds():
    square = shapely.box(0, 0, 1, 1)
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    collapsed = shapely.Polygon([(0, 0), (1, 1), (2, 2)])
    endless = shapely.Polygon([(0, 0), (1, 0), (np.inf, 1)])
    nested = shapely.GeometryCollection(
        [shapely.GeometryCollection([square, shapely.Point(5, 5)]), shapely.box(1, 0, 2, 1)]
    )
    shapes = array(square, bow_tie, None, shapely.Polygon(), collapsed, endless, nested)
    repaired, found = repair(array(*shapes, shapely.Point(0, 0), shapely.force_3d(square, 4)))
    assert found == Repairs(repaired=1, empty=4, thin=1)
    assert [None if g is None else g.area for g in repaired] == [1, 2, *[None] * 4, 2, 0, 1]
    assert not any(shapely.has_z(repaired))
    assert shapes[1] is bow_tie


def test_every_edge_stays_within_the_tolerance():
    wide = array(shapely.box(6, 45, 12, 55))
    moved = reproject(wide, DEGREES, UTM, 0.5)[0]
    back = Transformer.from_crs(UTM, DEGREES, always_xy=True)
    ring = shapely.get_coordinates(moved)
    lon, lat = back.transform(*((ring[1:] + ring[:-1]) / 2).T)
    off = np.min(np.abs([lon - 6, lon - 12, lat - 45, lat - 55]), axis=0) * 111_320
    assert off.max() < 0.5
    assert len(ring) < 2000


def test_what_the_crs_cannot_hold_is_none():
    polar = CRS.from_proj4("+proj=gnom +lat_0=90 +datum=WGS84")
    north, south = shapely.box(0, 80, 5, 85), shapely.box(0, -85, 5, -80)
    moved = reproject(array(north, south), DEGREES, polar, 10.0)
    assert moved[0] is not None
    assert moved[1] is None


@pytest.mark.parametrize("lat", [0.1, 47.3, -71.9])
def test_buffer_is_geodesic(lat):
    circle = buffer_metres(array(shapely.Point(9.123, lat)), DEGREES, 120.0)[0]
    lons, lats = circle.exterior.xy
    n = len(lons)
    _, _, metres = Geod(ellps="WGS84").inv([9.123] * n, [lat] * n, lons, lats)
    assert np.allclose(metres, 120, rtol=1e-3)


def test_buffer_in_feet():
    feet = CRS.from_epsg(2263)
    circle = buffer_metres(array(shapely.Point(981_000, 199_000)), feet, 10.0)[0]
    assert circle.bounds[2] - circle.bounds[0] == pytest.approx(20 / 0.3048006096, rel=1e-6)
