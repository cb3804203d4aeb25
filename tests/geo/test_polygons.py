"""The properties that polygons of a class raster must have, on every kind of grid."""

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Geod
from rasterio import features
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.errors import SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.polygons import polygonize

NODATA = 255
GRIDS = {
    "north-up": (Affine(0.5, 0, 4e5, 0, -0.5, 5e6), 32632),
    "south-up": (Affine(0.5, 0, 4e5, 0, 0.5, 5e6), 32632),
    "rotated": (
        Affine.translation(4e5, 5e6) @ Affine.rotation(33) @ Affine.scale(0.3, -0.7),
        32632,
    ),
    "degrees": (Affine(1e-5, 0, 7.123456, 0, -1e-5, 50.654321), 4326),
    "antimeridian": (Affine(1e-3, 0, 179.97, 0, -1e-3, -16.0), 4326),
    "mercator": (Affine(0.15, 0, 9.4e6, 0, -0.15, 3.2e6), 3857),
    "feet": (Affine(2, 0, 9e5, 0, -2, 2e5), 2263),
    "plain image": (Affine.identity(), None),
}


def _grid(name: str, shape: tuple[int, int]) -> Grid:
    transform, epsg = GRIDS[name]
    crs = None if epsg is None else CRS.from_epsg(epsg)
    return Grid(height=shape[0], width=shape[1], transform=transform, crs=crs)


def _values(seed: int = 0, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """Patches of four classes with salt in them, and a wedge of nodata."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal(shape), 3) for _ in range(4)]
    values = np.argmax(fields, axis=0).astype(np.uint8)
    salt = rng.random(shape) < 0.03
    values[salt] = rng.integers(0, 4, salt.sum())
    values[np.add.outer(np.arange(shape[0]), np.arange(shape[1])) < 25] = NODATA
    return values


def _burn(frame: object, grid: Grid) -> np.ndarray:
    return features.rasterize(
        list(zip(frame.geometry, frame["class_id"], strict=True)),
        grid.shape,
        fill=NODATA,
        transform=grid.transform,
        dtype="uint8",
    )


@pytest.fixture(params=GRIDS)
def grid(request: pytest.FixtureRequest) -> Grid:
    return _grid(request.param, (60, 70))


def test_burning_the_polygons_gives_the_raster_back(grid: Grid):
    values = _values()
    assert (_burn(polygonize(values, grid, NODATA), grid) == values).all()


def test_areas_of_a_class_are_those_of_its_pixels(grid: Grid):
    values = _values()
    sums = polygonize(values, grid, NODATA).groupby("class_id")["area_m2"].sum()
    areas = np.broadcast_to(grid.row_areas()[:, None], values.shape)
    for value in range(4):
        assert sums[value] == pytest.approx(areas[values == value].sum(), rel=1e-9)


def test_polygons_are_the_regions_and_valid(grid: Grid):
    values = _values()
    frame = polygonize(values, grid, NODATA)
    assert len(frame) == sum(ndimage.label(values == value)[1] for value in range(4))
    assert frame.geometry.is_valid.all()
    assert not frame.geometry.is_empty.any()
    assert (frame.geom_type == "Polygon").all()


def test_polygons_are_a_coverage_before_and_after_simplification(grid: Grid):
    values = _values()
    exact = polygonize(values, grid, NODATA)
    simple = polygonize(values, grid, NODATA, simplify=1.5 * grid.ground_resolution())
    for frame in (exact, simple):
        assert shapely.coverage_is_valid(frame.geometry.to_numpy())
        assert frame.geometry.is_valid.all()
    assert (simple["class_id"] == exact["class_id"]).all()
    before, after = (shapely.get_num_coordinates(f.geometry).sum() for f in (exact, simple))
    assert after < 0.8 * before
    total = exact.geometry.union_all()
    assert simple.geometry.union_all().symmetric_difference(total).area < 1e-9 * total.area
    assert simple["area_m2"].sum() == pytest.approx(exact["area_m2"].sum(), rel=1e-6)
    assert simple["perim_m"].sum() < exact["perim_m"].sum()


def test_no_polygon_wraps_around_the_earth():
    grid = _grid("antimeridian", (60, 70))
    frame = polygonize(_values(), grid, NODATA)
    assert (frame.bounds["maxx"] - frame.bounds["minx"] < 1).all()


@pytest.mark.parametrize("name", ["degrees", "antimeridian", "mercator"])
def test_areas_and_perimeters_are_geodesic(name: str):
    grid = _grid(name, (60, 70))
    frame = polygonize(_values(), grid, NODATA)
    geod = Geod(ellps="WGS84")
    degrees = frame.to_crs(4326) if name == "mercator" else frame
    measured = [geod.geometry_area_perimeter(shape) for shape in degrees.geometry]
    assert frame["area_m2"].to_numpy() == pytest.approx([abs(area) for area, _ in measured], 1e-4)
    rings = [sum(map(geod.geometry_length, _rings(shape))) for shape in degrees.geometry]
    assert frame["perim_m"].to_numpy() == pytest.approx(rings, rel=1e-4)


def _rings(polygon: shapely.Polygon) -> list[object]:
    return [polygon.exterior, *polygon.interiors]


def test_planar_measures_are_in_metres():
    frame = polygonize(np.array([[1, 1]]), _grid("feet", (1, 2)))
    foot = 1200 / 3937
    assert frame["area_m2"].tolist() == pytest.approx([8 * foot**2])
    assert frame["perim_m"].tolist() == pytest.approx([12 * foot])
    assert polygonize(np.array([[1, 1]]), _grid("plain image", (1, 2)))["area_m2"].tolist() == [2]


def test_perimeter_holds_the_holes():
    values = np.ones((3, 3), np.uint8)
    values[1, 1] = 2
    frame = polygonize(values, _grid("north-up", (3, 3)))
    assert frame["perim_m"].tolist() == [4 * 0.5, 12 * 0.5 + 4 * 0.5]


def test_coordinates_are_the_corners_of_pixels():
    transform, _ = GRIDS["rotated"]
    (polygon,) = polygonize(np.array([[4]]), _grid("rotated", (1, 1))).geometry
    corners = [transform @ corner for corner in [(0, 0), (1, 0), (1, 1), (0, 1)]]
    assert polygon.normalize() == shapely.Polygon(corners).normalize()


def test_all_nodata_gives_an_empty_frame_with_all_columns():
    frame = polygonize(np.full((3, 4), NODATA), _grid("north-up", (3, 4)), NODATA)
    assert frame.empty
    assert list(frame.columns) == ["class_id", "area_m2", "perim_m", "geometry"]
    simple = polygonize(np.full((3, 4), NODATA), _grid("degrees", (3, 4)), NODATA, simplify=2.0)
    assert simple.empty


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_thin_rasters(shape: tuple[int, int]):
    values = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    grid = _grid("degrees", shape)
    assert (_burn(polygonize(values, grid), grid) == values).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32"])
def test_every_integer_type(dtype: str):
    frame = polygonize(np.array([[1, 2]], dtype), _grid("north-up", (1, 2)))
    assert frame["class_id"].tolist() == [1, 2]


def test_fractions_are_refused():
    with pytest.raises(SceneError, match="holds float32 numbers, not classes"):
        polygonize(np.zeros((2, 2), np.float32), _grid("north-up", (2, 2)))
