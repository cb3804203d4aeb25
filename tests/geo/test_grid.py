import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import rasterio.transform
import rasterio.windows
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.grid import Grid, area_crs, metres_per_unit

UTM = CRS.from_epsg(32632)
TRANSFORMS = {
    "north-up": Affine(0.5, 0, 500000.25, 0, -0.5, 5400000.75),
    "south-up": Affine(0.5, 0, 500000.25, 0, 0.5, 5400000.75),
    "rotated": Affine(17.3, 5, 500000, 10, -8.66, 5400000),
    "oblong": Affine(3, 0, 7, 0, -1 / 3, 1 / 7),
}


def grid_of(height=30, width=40, transform=TRANSFORMS["north-up"], crs=UTM):
    return Grid(height=height, width=width, transform=transform, crs=crs)


def geodesic_area(grid, row):
    """Area of a pixel by pyproj: its outline, with many points on each side, in degrees."""
    col = grid.width // 2
    side = np.linspace(0, 1, 200, endpoint=False)
    cols = np.concatenate([side, np.ones(200), 1 - side, np.zeros(200)]) + col
    rows = np.concatenate([np.zeros(200), side, np.ones(200), 1 - side]) + row
    x, y = grid.transform @ (cols, rows)
    lon, lat = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)
    return abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0])


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_bounds_res_and_outline(transform):
    grid = grid_of(transform=transform)
    corners = [transform @ c for c in ((0, 0), (40, 0), (40, 30), (0, 30))]
    xs, ys = zip(*corners, strict=True)
    assert grid.bounds == (min(xs), min(ys), max(xs), max(ys))
    assert grid.res == (math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e))
    outline = grid.footprint()
    assert outline.is_valid
    assert outline.area == pytest.approx(30 * 40 * abs(transform.determinant), rel=1e-9)
    assert set(outline.exterior.coords) == set(corners)
    assert (grid.shape, grid.window) == ((30, 40), Window(0, 0, 40, 30))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@given(st.integers(0, 29), st.integers(0, 39), st.data())
def test_crop_is_rasterios(transform, row, col, data):
    height, width = data.draw(st.integers(1, 30 - row)), data.draw(st.integers(1, 40 - col))
    grid = grid_of(transform=transform)
    part = grid.crop(Window(col, row, width, height))
    assert part.shape == (height, width)
    expected = rasterio.windows.transform(Window(col, row, width, height), transform)
    assert part.transform.almost_equals(expected, 1e-9)
    assert grid.crop(grid.window).transform == transform  # the very same six terms
    # The pixels of the part lie where those of the whole do.
    assert part.transform @ (0, 0) == pytest.approx(transform @ (col, row), abs=1e-9)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@given(st.integers(0, 29), st.integers(0, 39), st.data())
def test_window_of_undoes_crop(transform, row, col, data):
    height, width = data.draw(st.integers(1, 30 - row)), data.draw(st.integers(1, 40 - col))
    grid, window = grid_of(transform=transform), Window(col, row, width, height)
    found = grid.window_of(grid.crop(window).bounds)
    if transform == TRANSFORMS["rotated"]:
        assert rasterio.windows.intersection(found, window) == window  # the envelope is larger
    else:
        assert found == window


@given(st.lists(st.floats(-30, 70), min_size=4, max_size=4))
def test_window_of_is_the_smallest_that_holds_the_bounds(sides):
    (left, right), (bottom, top) = sorted(sides[:2]), sorted(sides[2:])
    grid = grid_of(30, 40, Affine(1, 0, 0, 0, -1, 30))
    window = grid.window_of((left, bottom, right, top))
    rows, cols = np.mgrid[0:30, 0:40]
    inside = (cols + 1 > left + 1e-6) & (cols < right - 1e-6)
    inside &= (30 - rows > bottom + 1e-6) & (29 - rows < top - 1e-6)
    hit = np.zeros((30, 40), bool)
    hit[window.toslices()] = True
    assert not (inside & ~hit).any()
    if inside.any():
        rows, cols = np.nonzero(inside)
        assert window == Window(cols[0], rows[0], np.ptp(cols) + 1, np.ptp(rows) + 1)


def test_window_of_nothing_is_empty():
    grid = grid_of()
    nothing = grid.window_of((math.nan,) * 4)
    assert nothing.width * nothing.height == 0
    away = grid.window_of((0, 0, 1, 1))
    assert away.width * away.height == 0
    left, bottom, right, top = grid.bounds
    assert grid.window_of((left - 1e9, bottom - 1e9, right + 1e9, top + 1e9)) == grid.window
    # Bounds that miss a pixel's edge by rounding do not take in its neighbour.
    assert grid.window_of((left, bottom, left + 0.5 + 1e-9, bottom + 0.5 + 1e-9)).width == 1


def test_matches():
    grid = grid_of()
    assert grid.matches(grid_of())
    assert grid.matches(grid_of(transform=TRANSFORMS["north-up"] @ Affine.translation(1e-8, 0)))
    assert not grid.matches(grid_of(transform=TRANSFORMS["north-up"] @ Affine.translation(0.01, 0)))
    # A tenth of a millimetre a pixel adds up over the width.
    assert not grid.matches(grid_of(transform=TRANSFORMS["north-up"] @ Affine.scale(1.0001, 1)))
    assert not grid.matches(grid_of(transform=TRANSFORMS["south-up"]))
    assert not grid.matches(grid_of(height=31))
    assert not grid.matches(grid_of(crs=CRS.from_epsg(32633)))
    assert not grid.matches(grid_of(crs=None))
    assert grid_of(crs=None).matches(grid_of(crs=None))
    assert grid.matches(grid_of(crs=CRS.from_wkt(UTM.to_wkt())))


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(0.1, 0, 7, 0, -0.1, 60)),
        ("EPSG:4326", Affine(0.1, 0, 179.9, 0, 0.1, -80)),
        ("EPSG:4326", Affine(0.5, 0, 10, 0, -1, 5)),
        ("EPSG:3857", Affine(1000, 0, 9.5e6, 0, -1000, 8e6)),
        ("EPSG:3857", Affine(0.15, 0, 9.5e6, 0, -0.15, 3.2e6)),
        ("EPSG:3832", Affine(1000, 0, 5e6, 0, 1000, -6e6)),
        ("EPSG:3395", Affine(1000, 0, -5e6, 0, -1000, 6e6)),
        ("EPSG:4087", Affine(1000, 0, 1e6, 0, -1000, 7e6)),
        ("EPSG:3857+5773", Affine(1000, 0, 9.5e6, 0, -1000, 8e6)),
    ],
)
def test_areas_of_distorting_crss_are_geodesic(crs, transform):
    grid = grid_of(9, 5, transform, CRS.from_user_input(crs))
    areas = grid.row_areas()
    expected = [geodesic_area(grid, row) for row in range(9)]
    # Parallels are no geodesics: the oracle's many short sides follow them to 1e-6.
    np.testing.assert_allclose(areas, expected, rtol=2e-5)
    assert grid.ground_resolution() == pytest.approx(math.sqrt(expected[4]), rel=1e-4)


def test_areas_of_the_whole_earth():
    sphere = 510065621724088.5  # WGS 84: 2 pi a^2 (1 + (1 - e^2) / e atanh(e))
    whole = grid_of(180, 360, Affine(1, 0, -180, 0, -1, 90), CRS.from_epsg(4326))
    assert whole.row_areas().sum() * 360 == pytest.approx(sphere, rel=1e-9)
    # Registered by centres, as climate models are: half a row lies beyond each pole.
    centres = grid_of(181, 360, Affine(1, 0, -180.5, 0, -1, 90.5), CRS.from_epsg(4326))
    assert centres.row_areas().sum() * 360 == pytest.approx(sphere, rel=1e-9)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_areas_of_projected_crss_are_planar(transform):
    grid = grid_of(transform=transform)
    assert grid.row_areas().tolist() == [abs(transform.determinant)] * 30
    assert grid.ground_resolution() == pytest.approx(math.sqrt(abs(transform.determinant)))


def test_areas_in_feet_and_in_pixels():
    feet = grid_of(2, 2, Affine(10, 0, 0, 0, -10, 0), CRS.from_epsg(2263))
    assert feet.row_areas() == pytest.approx((10 * 1200 / 3937) ** 2)
    assert metres_per_unit(feet.crs) == pytest.approx(1200 / 3937)
    plain = grid_of(3, 2, Affine.identity(), None)
    assert plain.row_areas().tolist() == [1, 1, 1]
    assert plain.ground_resolution() == 1
    assert not plain.is_georeferenced


def test_area_crs():
    assert area_crs(UTM) == UTM
    assert area_crs(CRS.from_epsg(3035)) == CRS.from_epsg(3035)
    for distorting in ("EPSG:4326", "EPSG:4258", "EPSG:3857", "+proj=merc +lon_0=10", "EPSG:32662"):
        assert area_crs(CRS.from_user_input(distorting)) == CRS.from_epsg(6933)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("metres", [0.3, 1, 2.7])
def test_at_resolution_keeps_the_ground(transform, metres):
    grid = grid_of(transform=transform)
    coarse = grid.at_resolution(metres)
    assert coarse.crs == grid.crs
    for corner in ((0, 0), (1, 0), (1, 1), (0, 1)):
        old = transform @ (corner[0] * 40, corner[1] * 30)
        new = coarse.transform @ (corner[0] * coarse.width, corner[1] * coarse.height)
        assert new == pytest.approx(old, rel=1e-12)
    assert abs(coarse.width - grid.res[0] * 40 / metres) <= 0.5
    assert abs(coarse.height - grid.res[1] * 30 / metres) <= 0.5


def test_coarser_than_the_scene():
    grid = grid_of(30, 40, Affine(2, 0, 5e5, 0, -2, 5e6))
    assert grid.at_resolution(60).shape == (1, 1)
    with pytest.raises(
        SceneError, match=r"--resolution: pixels of 61 m are larger than the scene, 80 x 60 m"
    ):
        grid.at_resolution(61)
    with pytest.raises(SceneError, match=r"larger than the scene, 80 x 60 m .*\. Give fewer"):
        grid.at_resolution(1e6)


def test_at_resolution_on_the_ground():
    # At 60 degrees north a Mercator pixel of 20 m is 10 m of ground (nearly: the ellipsoid).
    y = 8399737.89
    grid = grid_of(100, 100, Affine(20, 0, 0, 0, -20, y + 1000), CRS.from_epsg(3857))
    assert grid.ground_resolution() == pytest.approx(10, rel=0.01)
    assert grid.at_resolution(5).shape == pytest.approx((200, 200), abs=2)
    degrees = grid_of(100, 100, Affine(0.001, 0, 10, 0, -0.001, 60.05), CRS.from_epsg(4326))
    fine = degrees.at_resolution(10)
    _, _, width = Geod(ellps="WGS84").inv(10, 60, 10.1, 60)
    assert fine.width == pytest.approx(width / 10, abs=2)
    assert fine.height == pytest.approx(0.1 * 111412 / 10, abs=3)


@pytest.mark.parametrize("metres", [0, -1, math.nan, math.inf])
def test_senseless_resolutions(metres):
    with pytest.raises(SceneError, match=r"^--resolution: .* is not above 0"):
        grid_of().at_resolution(metres)


def test_plain_images_have_no_resolution():
    with pytest.raises(SceneError, match="no ground resolution"):
        grid_of(crs=None).at_resolution(1)


@pytest.mark.parametrize(
    "broken",
    [
        {"height": 0},
        {"width": -1},
        {"transform": Affine(0, 0, 0, 0, 0, 0)},
        {"transform": Affine(1, 2, 0, 2, 4, 0)},
        {"transform": Affine(math.nan, 0, 0, 0, 1, 0)},
    ],
)
def test_grids_that_are_none(broken):
    with pytest.raises(SceneError, match="grid: "):
        grid_of(**broken)


def test_a_grid_is_a_value():
    grid = grid_of()
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert len({grid, grid_of()}) == 1
    with pytest.raises(FrozenInstanceError):
        grid.height = 2
