"""Nearest pixels: GDAL's exact warper and plain arithmetic are the oracles."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject

from geoseg.geo import nearest
from geoseg.geo.grid import Grid
from geoseg.geo.nearest import integer_offset, pixel_places, sample_nearest
from geoseg.geo.raster import Scene

UTM = CRS.from_epsg(32632)
HOME = Affine(10, 0, 500000, 0, -10, 5000000)


@pytest.fixture
def scene(tmp_path):
    data = np.random.default_rng(3).integers(0, 200, (60, 80), dtype=np.uint8)
    data[10:14, 20:30] = 255
    path = tmp_path / "labels.tif"
    profile = {"height": 60, "width": 80, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(path, "w", "GTiff", transform=HOME, crs=UTM, **profile) as made:
        made.write(data, 1)
    return Scene.open(path)


def warped(scene, grid):
    """What GDAL takes for the nearest pixel when it may not approximate."""
    with rasterio.open(scene.path) as source:
        out = np.full(grid.shape, 255, np.uint8)
        reproject(
            rasterio.band(source, 1),
            out,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            resampling=Resampling.nearest,
            dst_nodata=255,
            tolerance=0,
        )
    return out


GRIDS = {
    "same": (UTM, HOME, 60, 80),
    "part outside": (UTM, HOME @ Affine.translation(-7, 50), 30, 30),
    "far away": (UTM, HOME @ Affine.translation(900, 0), 5, 5),
    "finer": (UTM, Affine(3, 0, 500001, 0, -3, 4999999), 190, 250),
    "coarser": (UTM, Affine(37, 0, 500001, 0, -37, 4999999), 16, 21),
    "south-up": (UTM, Affine(7, 0, 500003, 0, 7, 4999450), 70, 90),
    "rotated": (UTM, Affine(6, 2, 500050, 2, -6, 4999900), 70, 90),
    "degrees": (CRS.from_epsg(4326), Affine(1e-4, 0, 9.0005, 0, -1e-4, 45.153), 60, 90),
    "mercator": (CRS.from_epsg(3857), Affine(9, 0, 1001900, 0, -9, 5646000), 90, 120),
    "next zone": (CRS.from_epsg(32633), Affine(9, 0, 28200, 0, -9, 5017700), 150, 150),
    "one pixel": (CRS.from_epsg(4326), Affine(1e-3, 0, 9.002, 0, -1e-3, 45.151), 1, 1),
}


@pytest.mark.parametrize("place", GRIDS.values(), ids=GRIDS.keys())
def test_equals_exact_warping(scene, place):
    crs, transform, height, width = place
    grid = Grid(height=height, width=width, transform=transform, crs=crs)
    data, valid = sample_nearest(scene, grid)
    found = np.where(valid, data[0], 255)
    expected = warped(scene, grid)
    # Interpolated places may be a hundredth of a pixel off.
    assert np.count_nonzero(found != expected) <= 0.005 * expected.size
    if crs == UTM:
        assert found.tolist() == expected.tolist()
    if place != GRIDS["far away"]:
        assert valid.any()


def test_windows_agree_with_the_whole(scene):
    grid = Grid(height=90, width=120, transform=GRIDS["mercator"][1], crs=CRS.from_epsg(3857))
    whole = sample_nearest(scene, grid)[0][0]
    window = rasterio.windows.Window(31, 17, 40, 50)
    part = sample_nearest(scene, grid.crop(window))[0][0]
    assert np.mean(part != whole[17:67, 31:71]) < 0.005


def test_fine_scenes_are_read_in_parts(scene, monkeypatch):
    grid = Grid(height=6, width=8, transform=HOME @ Affine.scale(10), crs=UTM)
    expected = sample_nearest(scene, grid)[0]
    monkeypatch.setattr(nearest, "_MOST_PIXELS", 500)
    assert sample_nearest(scene, grid)[0].tolist() == expected.tolist()


def test_centre_on_an_edge_belongs_to_the_next_pixel(scene):
    grid = Grid(height=30, width=40, transform=HOME @ Affine.scale(2), crs=UTM)
    with rasterio.open(scene.path) as source:
        data = source.read(1)
    assert sample_nearest(scene, grid)[0][0].tolist() == data[1::2, 1::2].tolist()


def test_places_bend_where_the_ground_does():
    """Wide grids need more knots: the interpolated places stay near the exact ones."""
    crs = CRS.from_proj4("+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84")
    globe = Grid(height=180, width=360, transform=Affine(1, 0, -180, 0, -1, 90), crs=None)
    globe = Grid(height=180, width=360, transform=globe.transform, crs=CRS.from_epsg(4326))
    grid = Grid(height=300, width=300, transform=Affine(3e4, 0, -4.5e6, 0, -3e4, 4.5e6), crs=crs)
    rows, cols = pixel_places(globe, grid)
    exact = Transformer.from_crs(crs, globe.crs, always_xy=True).transform(
        -4.5e6 + 3e4 * (np.arange(300) + 0.5)[None, :] + np.zeros((300, 1)),
        4.5e6 - 3e4 * (np.arange(300) + 0.5)[:, None] + np.zeros((1, 300)),
    )
    near_pole = exact[1] > 85
    assert np.abs(cols - (exact[0] + 180))[~near_pole].max() < 0.05
    assert np.abs(rows - (90 - exact[1])).max() < 0.05


def test_offsets():
    grid = Grid(height=4, width=4, transform=HOME, crs=UTM)
    shifted = Grid(height=2, width=2, transform=HOME @ Affine.translation(-3, 5), crs=UTM)
    assert integer_offset(grid, shifted) == (5, -3)
    half = Grid(height=2, width=2, transform=HOME @ Affine.translation(0.5, 0), crs=UTM)
    assert integer_offset(grid, half) is None
    other = Grid(height=2, width=2, transform=HOME, crs=CRS.from_epsg(32633))
    assert integer_offset(grid, other) is None


def test_places_that_the_scene_cannot_hold_are_outside(tmp_path):
    """The other half of the globe has no place on a gnomonic map."""
    crs = CRS.from_proj4("+proj=gnom +lat_0=90 +datum=WGS84")
    path = tmp_path / "polar.tif"
    transform = Affine(1e6, 0, -4e6, 0, -1e6, 4e6)
    profile = {"height": 8, "width": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", transform=transform, crs=crs, **profile) as made:
        made.write(np.ones((1, 8, 8), np.uint8))
    globe = Grid(
        height=18, width=36, transform=Affine(10, 0, -180, 0, -10, 90), crs=CRS.from_epsg(4326)
    )
    _, valid = sample_nearest(Scene.open(path), globe)
    assert valid[:3].all()
    assert not valid[9:].any()
