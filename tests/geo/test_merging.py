"""Merging of small regions and filling of holes, against drawings and a naive search."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.geo.grid import Grid
from geoseg.geo.merging import fill_holes, merge_small_regions

NODATA = 9


def _grid(values: np.ndarray, transform: Affine | None = None, epsg: int = 32632) -> Grid:
    height, width = values.shape
    transform = transform or Affine(1, 0, 4e5, 0, -1, 5e6)
    return Grid(height=height, width=width, transform=transform, crs=CRS.from_epsg(epsg))


def _regions(values: np.ndarray) -> list[tuple[int, np.ndarray]]:
    found = []
    for value in np.unique(values):
        labels, count = ndimage.label(values == value)
        found += [(int(value), labels == number) for number in range(1, count + 1)]
    return found


def _merged(rows: list[str], area: float) -> list[str]:
    values = np.array([[int(sign) for sign in row] for row in rows], np.uint8)
    merged = merge_small_regions(values, _grid(values), area, NODATA)
    return ["".join(map(str, row)) for row in merged]


def _filled(rows: list[str], area: float) -> list[str]:
    values = np.array([[int(sign) for sign in row] for row in rows], np.uint8)
    filled = fill_holes(values, _grid(values), area, NODATA)
    return ["".join(map(str, row)) for row in filled]


@pytest.mark.parametrize(
    ("rows", "area", "expected"),
    [
        pytest.param(["111", "121", "111"], 2, ["111", "111", "111"], id="single pixel"),
        pytest.param(["111", "121", "111"], 1, ["111", "121", "111"], id="just large enough"),
        pytest.param(
            ["1111222", "1133222", "1111222"], 3, ["1111222", "1111222", "1111222"], id="longest"
        ),
        pytest.param(["199", "999", "922"], 2, ["199", "999", "922"], id="nodata all around"),
        pytest.param(["19", "92"], 9, ["19", "92"], id="nothing to merge into"),
        pytest.param(["12", "12"], 99, ["11", "11"], id="smaller than the limit in all"),
        pytest.param(["34111", "11111"], 2, ["11111", "11111"], id="small beside small"),
    ],
)
def test_small_regions_go_to_the_longest_border(rows: list[str], area: float, expected: list[str]):
    assert _merged(rows, area) == expected


def test_border_is_measured_in_metres_and_not_in_pixels():
    # The 3 has two long sides (of 4 m) along the 1 and 2 short ones (of 1 m) along the 2.
    values = np.array([[1] * 5, [2, 2, 3, 2, 2], [1] * 5], np.uint8)
    wide = Affine(4, 0, 4e5, 0, -1, 5e6)
    assert merge_small_regions(values, _grid(values, wide), 5)[1, 2] == 1
    tall = Affine(1, 0, 4e5, 0, -4, 5e6)
    assert merge_small_regions(values, _grid(values, tall), 5)[1, 2] == 2


@pytest.mark.parametrize("seed", range(8))
def test_nothing_small_is_left_and_nothing_is_lost(seed: int):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (40, 30)).astype(np.uint8)
    values[rng.random(values.shape) < 0.05] = NODATA
    merged = merge_small_regions(values, _grid(values), 6, NODATA)
    assert merged.dtype == values.dtype
    assert ((merged == NODATA) == (values == NODATA)).all()
    for value, region in _regions(merged):
        if value != NODATA and region.sum() < 6:
            around = ndimage.binary_dilation(region) & ~region
            assert (merged[around] == NODATA).all()


def test_area_is_the_true_one():
    # A pixel of 1/1000 degree is 12 364 m2 at the equator, but half of it at 60 degrees north.
    values = np.ones((3, 3), np.uint8)
    values[1, 1] = 2
    for north, merges in [(0.0015, False), (60.0015, True)]:
        grid = _grid(values, Affine(0.001, 0, 8, 0, -0.001, north), 4326)
        merged = merge_small_regions(values, grid, 10_000)
        assert (merged == 1).all() == merges


@pytest.mark.parametrize(
    ("rows", "area", "expected"),
    [
        pytest.param(["111", "121", "111"], 2, ["111", "111", "111"], id="one pixel"),
        pytest.param(["111", "121", "111"], 1, ["111", "121", "111"], id="not below the limit"),
        pytest.param(["1111", "1231", "1111"], 3, ["1111", "1111", "1111"], id="of two classes"),
        pytest.param(["1111", "1291", "1111"], 9, ["1111", "1291", "1111"], id="with nodata"),
        pytest.param(["999", "919", "999"], 9, ["999", "919", "999"], id="island in nodata"),
        pytest.param(["111", "112", "111"], 9, ["111", "112", "111"], id="open to the edge"),
        pytest.param(
            ["11111", "12221", "12321", "12221", "11111"],
            5,
            ["11111", "12221", "12221", "12221", "11111"],
            id="inner of nested",
        ),
        pytest.param(
            ["11111", "12221", "12321", "12221", "11111"], 10, ["11111"] * 5, id="all of nested"
        ),
    ],
)
def test_holes_are_filled(rows: list[str], area: float, expected: list[str]):
    assert _filled(rows, area) == expected


def _fill_naively(values: np.ndarray, limit: int) -> np.ndarray:
    """Look for holes of each region in its complement; the larger ones overwrite the smaller."""
    holes = []
    for value, region in _regions(values):
        outside, count = ndimage.label(~region)
        for number in range(1, count + 1):
            hole = outside == number
            framed = np.pad(hole, 1)
            open_to_edge = framed[1].any() or framed[-2].any()
            open_to_edge |= framed[:, 1].any() or framed[:, -2].any()
            nodata = value == NODATA or (values[hole] == NODATA).any()
            if not (open_to_edge or nodata) and hole.sum() < limit:
                holes.append((hole.sum(), value, hole))
    filled = values.copy()
    for _, value, hole in sorted(holes, key=lambda found: found[0]):
        filled[hole] = value
    return filled


def test_holes_are_those_that_a_naive_search_finds():
    rng = np.random.default_rng(0)
    for _ in range(150):
        values = rng.choice([1, 2, 3, NODATA], rng.integers(1, 16, 2), p=[0.5, 0.3, 0.15, 0.05])
        limit = int(rng.integers(1, 25))
        filled = fill_holes(values, _grid(values), limit, NODATA)
        assert (filled == _fill_naively(values, limit)).all()


def test_deep_nests_are_filled_to_the_last():
    side = 201
    distance = np.abs(np.arange(side) - side // 2)
    values = (np.maximum.outer(distance, distance) % 2).astype(np.uint8)
    grid = _grid(values)
    assert (fill_holes(values, grid, side**2) == values[0, 0]).all()
