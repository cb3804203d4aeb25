"""Batches of polygons as geometries on the ground, measured and joined."""

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS

from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.grid import Grid
from geoseg.geo.polygon_batch import PolygonBatch
from geoseg.geo.tracing import trace_polygons

VALUES = np.array([[1, 1, 1, 2], [1, 2, 1, 1], [1, 1, 1, 2], [3, 3, 1, 2]])


class Unchanged:
    def refine(self, coords, offsets, closed, fixed, corners):
        return coords, offsets


def grid_of(transform, epsg=None, shape=VALUES.shape):
    crs = None if epsg is None else CRS.from_epsg(epsg)
    return Grid(height=shape[0], width=shape[1], transform=transform, crs=crs)


def batch_of(grid, values=VALUES, **options):
    (batch,) = trace_polygons(ArrayRows(values), row_areas=grid.row_areas(), **options)
    return batch


METRES = grid_of(Affine(2, 0, 4e5, 0, -3, 5e6), 32632)
DEGREES = grid_of(Affine(1e-3, 0, 7, 0, -1e-3, 50), 4326)
ROTATED = grid_of(
    Affine.translation(4e5, 5e6) @ Affine.rotation(33) @ Affine.scale(0.3, -0.7), 32632
)


@pytest.mark.parametrize("grid", [METRES, DEGREES, ROTATED])
def test_vertices_lie_where_the_transform_says(grid):
    batch = batch_of(grid)
    ground = [grid.transform @ (col, row) for col, row in batch.coords]
    assert (shapely.get_coordinates(batch.geometries(grid)) == ground).all()


def test_a_polygon_for_each_and_multipolygons_for_several_parts():
    by_sides = batch_of(METRES).geometries(METRES)
    assert {shape.geom_type for shape in by_sides} == {"Polygon"}
    by_corners = batch_of(METRES, np.eye(3, dtype=int), connectivity=8).geometries(METRES)
    assert {shape.geom_type for shape in by_corners} == {"MultiPolygon"}
    mixed = batch_of(METRES, np.array([[1, 0, 2], [0, 1, 2]]), connectivity=8)
    assert [shape.geom_type for shape in mixed.geometries(METRES)] == [
        "MultiPolygon",
        "MultiPolygon",
        "Polygon",
    ]
    assert shapely.area(mixed.geometries(METRES)).tolist() == [12, 12, 12]


def test_measures_in_metres():
    areas, perimeters = batch_of(METRES).measured(METRES)
    shapes = batch_of(METRES).geometries(METRES)
    assert areas == pytest.approx(shapely.area(shapes))
    assert perimeters == pytest.approx(shapely.length(shapes))


@pytest.mark.parametrize("connectivity", [4, 8])
def test_measures_are_geodesic_in_degrees(connectivity):
    batch = batch_of(DEGREES, connectivity=connectivity)
    geod = Geod(ellps="WGS84")
    shapes = batch.geometries(DEGREES)
    expected = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in shapes]
    outlines = [geod.geometry_length(shape.boundary) for shape in shapes]
    areas, perimeters = batch.measured(DEGREES)
    assert areas == pytest.approx(expected, rel=1e-5)
    assert perimeters == pytest.approx(outlines, rel=1e-4)


@pytest.mark.parametrize("grid", [METRES, DEGREES, ROTATED])
def test_refined_outlines_are_measured_as_they_are(grid):
    plain, refined = batch_of(grid), batch_of(grid, refine=Unchanged())
    assert refined.is_refined
    for one, other in zip(plain.measured(grid), refined.measured(grid), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_joined_batches_are_one():
    parts = [
        batch_of(grid_of(Affine.identity(), shape=(2, 4)), part)
        for part in (VALUES[:2], VALUES[2:])
    ]
    joined = PolygonBatch.concatenate(parts)
    grid = grid_of(Affine.identity())
    shapes = np.concatenate([part.geometries(grid) for part in parts])
    assert shapely.equals_exact(joined.geometries(grid), shapes).all()
    assert joined.pixels.tolist() == [*parts[0].pixels, *parts[1].pixels]
    areas = np.concatenate([part.measured(grid)[0] for part in parts])
    assert (joined.measured(grid)[0] == areas).all()
