"""Merging of small regions and filling of holes in passing rows, against naive searches."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.geo import generalising_room
from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.generalising import fill_holes, merge_small
from geoseg.geo.generalising_answers import Answers
from geoseg.geo.grid import Grid

NODATA = 9

RUN = """
import sys
import numpy as np
from affine import Affine
from geoseg.geo.generalising import fill_holes, merge_small
from geoseg.geo.grid import Grid

kind, height, width = sys.argv[1], int(sys.argv[2]), 128

class Rows:
    shape, dtype = (height, width), np.dtype(np.uint8)

    def blocks(self):
        rng = np.random.default_rng(0)
        for top in range(0, height, 100):
            if kind == "noise":
                yield top, rng.integers(0, 6, (100, width), np.uint8)
            else:
                yield top, (np.indices((100, width)).sum(0) % 2).astype(np.uint8)

grid = Grid(height=height, width=width, transform=Affine.identity(), crs=None)
merged = merge_small(Rows(), grid, 12, 255)
filled = fill_holes(merged if kind == "noise" else Rows(), grid, 40, 255)
pixels = sum(block.size for _, block in filled.blocks())
assert pixels == height * width
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


@pytest.fixture(autouse=True)
def _small_graph(monkeypatch):
    """The graph is swept after some rows, not when thousands of regions are in it."""
    monkeypatch.setattr(generalising_room, "_NODES", 1)


def _grid(values, transform=None, epsg=32632):
    height, width = values.shape
    transform = transform or Affine(1, 0, 4e5, 0, -1, 5e6)
    return Grid(height=height, width=width, transform=transform, crs=CRS.from_epsg(epsg))


def _whole(rows):
    return np.concatenate([block for _, block in rows.blocks()])


def _merge(values, area, grid=None, rows=None):
    return _whole(merge_small(ArrayRows(values, rows), grid or _grid(values), area, NODATA))


def _fill(values, area, grid=None, rows=None):
    return _whole(fill_holes(ArrayRows(values, rows), grid or _grid(values), area, NODATA))


def _drawing(rows):
    return np.array([[int(sign) for sign in row] for row in rows], np.uint8)


def _regions(values):
    found = []
    for value in np.unique(values):
        labels, count = ndimage.label(values == value)
        found += [(int(value), labels == number) for number in range(1, count + 1)]
    return found


def _borders(region, values, lengths):
    """Each border of a region as (neighbouring pixel, its class, length)."""
    height, width = values.shape
    lying, standing = lengths
    for row, col in np.argwhere(region):
        sides = [(row - 1, col, lying[row]), (row + 1, col, lying[row + 1])]
        sides += [(row, col - 1, standing[row]), (row, col + 1, standing[row])]
        for next_row, next_col, length in sides:
            inside = 0 <= next_row < height and 0 <= next_col < width
            if inside and not region[next_row, next_col] and values[next_row, next_col] != NODATA:
                yield next_row * width + next_col, int(values[next_row, next_col]), length


def _merge_naively(values, limit, row_areas=None, lengths=None):
    """One region after the other; all regions are looked for anew each time."""
    values = values.copy()
    height = len(values)
    row_areas = np.ones(height) if row_areas is None else row_areas
    lengths = lengths or (np.ones(height + 1), np.ones(height))
    while True:
        small = []
        for value, region in _regions(values):
            area = math.fsum(row_areas[np.nonzero(region)[0]])
            borders = list(_borders(region, values, lengths))
            if value != NODATA and area < limit * (1 - 1e-9) and borders:
                small.append((region.sum(), np.flatnonzero(region)[0], region, borders))
        if not small:
            return values
        _, _, region, borders = min(small, key=lambda each: each[:2])
        values[region] = min(
            {value for _, value, _ in borders},
            key=lambda value: (
                -round(math.fsum(each[2] for each in borders if each[1] == value), 6),
                min(each[0] for each in borders if each[1] == value),
            ),
        )


def _fill_naively(values, limit, row_areas=None):
    """Look for holes of each region in its complement; the larger ones overwrite the smaller."""
    row_areas = np.ones(len(values)) if row_areas is None else row_areas
    holes = []
    for value, region in _regions(values):
        outside, count = ndimage.label(~region)
        for number in range(1, count + 1):
            hole = outside == number
            is_open = hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()
            has_nodata = value == NODATA or (values[hole] == NODATA).any()
            area = math.fsum(row_areas[np.nonzero(hole)[0]])
            if not (is_open or has_nodata) and area < limit * (1 - 1e-9):
                holes.append((hole.sum(), value, hole))
    filled = values.copy()
    for _, value, hole in sorted(holes, key=lambda found: found[0]):
        filled[hole] = value
    return filled


@st.composite
def maps(draw, side=14):
    """Noise, or blobs with some noise, with a little nodata; random numbers shrink badly but
    make nests and U-shapes that drawn lists do not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, side)), draw(st.integers(1, side))
    classes = draw(st.integers(1, 4))
    values = rng.integers(0, classes, shape).astype(np.uint8)
    smoothing = draw(st.sampled_from([0, 0, 3, 5]))
    if smoothing:
        values = ndimage.median_filter(values, smoothing)
        noisy = rng.random(shape) < 0.15
        values[noisy] = rng.integers(0, classes, noisy.sum())
    values[rng.random(shape) < draw(st.sampled_from([0, 0.05, 0.3]))] = NODATA
    return values


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
        pytest.param(["12", "12"], 99, ["22", "22"], id="first of equals goes first"),
        pytest.param(["34111", "11111"], 2, ["44111", "11111"], id="grown to the limit"),
        pytest.param(["34111", "11111"], 3, ["11111", "11111"], id="small beside small"),
        pytest.param(["2221", "2223", "2221"], 2, ["2222", "2222", "2222"], id="one by one"),
        pytest.param(["1111", "3222", "1111"], 2, ["1111", "1222", "1111"], id="two sides win"),
        pytest.param(["1111", "1115", "2222"], 2, ["1111", "1111", "2222"], id="of both sides"),
        pytest.param(["2222", "5999", "1111"], 2, ["2222", "2999", "1111"], id="tie: met first"),
    ],
)
def test_small_regions_go_to_the_longest_border(rows, area, expected):
    assert (_merge(_drawing(rows), area) == _drawing(expected)).all()


def test_border_is_measured_in_metres_and_not_in_pixels():
    # The 3 has two long sides (of 4 m) along the 1 and 2 short ones (of 1 m) along the 2.
    values = np.array([[1] * 5, [2, 2, 3, 2, 2], [1] * 5], np.uint8)
    wide, tall = Affine(4, 0, 4e5, 0, -1, 5e6), Affine(1, 0, 4e5, 0, -4, 5e6)
    assert _merge(values, 5, _grid(values, wide))[1, 2] == 1
    assert _merge(values, 5, _grid(values, tall))[1, 2] == 2


def test_border_of_degrees_is_measured_on_the_ground():
    # At 70 degrees north a pixel of 0.002 x 0.001 degrees is higher than it is wide.
    values = np.array([[1] * 5, [2, 2, 3, 2, 2], [1] * 5], np.uint8)
    grid = _grid(values, Affine(0.002, 0, 8, 0, -0.001, 70), 4326)
    assert _merge(values, 20_000, grid)[1, 2] == 2
    grid = _grid(values, Affine(0.002, 0, 8, 0, -0.001, 20), 4326)
    assert _merge(values, 30_000, grid)[1, 2] == 1


def test_area_is_the_true_one():
    # A pixel of 1/1000 degree is 12 364 m2 at the equator, but half of it at 60 degrees north.
    values = np.ones((3, 3), np.uint8)
    values[1, 1] = 2
    for north, goes in [(0.0015, False), (60.0015, True)]:
        grid = _grid(values, Affine(0.001, 0, 8, 0, -0.001, north), 4326)
        assert (_merge(values, 10_000, grid) == 1).all() == goes
        assert (_fill(values, 10_000, grid) == 1).all() == goes


@pytest.mark.parametrize("side", [0.1, 0.3, 1 / 3, 0.7])
def test_areas_of_fractions_are_compared_exactly(side):
    values = np.ones((5, 5), np.uint8)
    values[1:4, 1:4] = 2
    grid = _grid(values, Affine(side, 0, 4e5, 0, -side, 5e6))
    nine = grid.row_areas()[0] * 9
    for work in (_merge, _fill):
        assert (work(values, nine, grid) == values).all()
        assert (work(values, nine * 1.0001, grid) == 1).all()


@settings(max_examples=150, deadline=None)
@given(values=maps(), area=st.integers(0, 20), rows=st.integers(1, 20))
def test_merging_is_what_a_naive_search_does(values, area, rows):
    merged = _merge(values, area, rows=rows)
    assert merged.dtype == values.dtype
    assert (merged == _merge_naively(values, area)).all()


@settings(max_examples=300, deadline=None)
@given(values=maps(), area=st.integers(0, 40), rows=st.integers(1, 20))
def test_holes_are_those_that_a_naive_search_finds(values, area, rows):
    assert (_fill(values, area, rows=rows) == _fill_naively(values, area)).all()


@settings(max_examples=60, deadline=None)
@given(values=maps(side=12), pixels=st.floats(0.5, 9), north=st.sampled_from([80.0, 30.0, -20.0]))
def test_rows_of_a_geographic_grid_have_their_own_sizes(values, pixels, north):
    grid = _grid(values, Affine(4, 0, -20, 0, -3, north), 4326)
    areas, height = grid.row_areas(), len(values)
    lats, geod = north - 3 * np.arange(height + 1.0), Geod(ellps="WGS84")
    lying = [geod.inv(0, lat, 4, lat)[2] for lat in lats]
    standing = [
        geod.inv(0, *pair)[2] for pair in ((lats[i], 0, lats[i + 1]) for i in range(height))
    ]
    unit = max(lying + standing) / 2**20
    lengths = np.rint(np.array(lying) / unit), np.rint(np.array(standing) / unit)
    limit = pixels * areas.mean()
    assert (_merge(values, limit, grid, 3) == _merge_naively(values, limit, areas, lengths)).all()
    assert (_fill(values, limit, grid, 3) == _fill_naively(values, limit, areas)).all()


def _world(kind):
    rng = np.random.default_rng(3)
    if kind == "noise":
        return rng.integers(0, 5, (211, 173)).astype(np.uint8)
    if kind == "checkerboard":
        return (np.indices((211, 173)).sum(0) % 2).astype(np.uint8)
    if kind == "rings":
        distance = np.abs(np.arange(201) - 100)
        return (np.maximum.outer(distance, distance) % 2).astype(np.uint8)
    if kind == "stripes":
        return np.repeat(np.arange(200)[:, None] % 3, 50, 1).astype(np.uint8)
    if kind == "dashed line":
        values = np.ones((300, 40), np.uint8)
        values[3:, 20] = np.arange(297) // 2 % 2 + 2
        return values
    values = ndimage.zoom(rng.integers(0, 4, (30, 20)), 9, order=0).astype(np.uint8)
    noisy = rng.random(values.shape) < 0.2
    values[noisy] = rng.integers(0, 4, noisy.sum())
    values[:, :3][rng.random((len(values), 3)) < 0.5] = NODATA
    return values


WORLDS = ["noise", "checkerboard", "rings", "stripes", "dashed line", "salted"]


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("area", [2, 9, 200, 10_000, 1e9])
def test_blocks_and_sweeps_do_not_matter(kind, area, monkeypatch):
    values = _world(kind)
    for work in (_merge, _fill):
        often = [work(values, area, rows=rows) for rows in (1, 37, None)]
        monkeypatch.setattr(generalising_room, "_NODES", 1 << 18)  # decided once, at the end
        once = work(values, area)
        monkeypatch.setattr(generalising_room, "_NODES", 1)
        assert all((each == once).all() for each in often)


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("area", [2, 9, 200])
def test_nothing_small_is_left_and_nothing_is_lost(kind, area):
    values = _world(kind)
    merged = _merge(values, area)
    assert ((merged == NODATA) == (values == NODATA)).all()
    for value in set(np.unique(merged)) - {NODATA}:
        labels, count = ndimage.label(merged == value)
        pixels = np.bincount(labels.ravel())
        for number in np.flatnonzero(pixels[: count + 1] < area):
            region = labels == number
            assert (merged[ndimage.binary_dilation(region) & ~region] == NODATA).all()


def test_deep_nests_are_filled_to_the_last():
    values = _world("rings")
    assert (_fill(values, values.size) == values[0, 0]).all()


@pytest.mark.parametrize(
    ("rows", "area", "expected"),
    [
        pytest.param(["111", "121", "111"], 2, ["111", "111", "111"], id="one pixel"),
        pytest.param(["111", "121", "111"], 1, ["111", "121", "111"], id="not below the limit"),
        pytest.param(["1111", "1231", "1111"], 3, ["1111", "1111", "1111"], id="of two classes"),
        pytest.param(["1111", "1291", "1111"], 9, ["1111", "1291", "1111"], id="with nodata"),
        pytest.param(["999", "919", "999"], 9, ["999", "919", "999"], id="island in nodata"),
        pytest.param(["111", "112", "111"], 9, ["111", "112", "111"], id="open to the edge"),
        pytest.param(["111", "921", "111"], 9, ["111", "921", "111"], id="nodata beside it"),
        pytest.param(["1131", "1231", "1121"], 9, ["1131", "1231", "1121"], id="between two"),
        pytest.param(
            ["11111", "12221", "12321", "12221", "11111"],
            5,
            ["11111", "12221", "12221", "12221", "11111"],
            id="inner of nested",
        ),
        pytest.param(
            ["11111", "12221", "12321", "12221", "11111"], 10, ["11111"] * 5, id="all of nested"
        ),
        pytest.param(
            ["3333333", "1121211", "1121211", "1111111", "3333333"],
            9,
            ["3333333", "1121211", "1121211", "1111111", "3333333"],
            id="between arms and another class",
        ),
        pytest.param(
            ["11111", "12131", "11111"], 2, ["11111", "11111", "11111"], id="between arms that meet"
        ),
    ],
)
def test_holes_are_filled(rows, area, expected):
    assert (_fill(_drawing(rows), area) == _drawing(expected)).all()


def test_wide_classes_and_rasters_without_nodata():
    values = np.full((5, 6), 65535, np.uint16)
    values[2, 2:4] = 60000, 256
    for work in (merge_small, fill_holes):
        done = _whole(work(ArrayRows(values, 2), _grid(values), 3))
        assert done.dtype == np.uint16
        assert (done == 65535).all()


def test_rows_are_generalised_one_after_the_other_and_again():
    values = _world("salted")
    grid = _grid(values)
    rows = fill_holes(merge_small(ArrayRows(values, 50), grid, 5, NODATA), grid, 60, NODATA)
    expected = _fill(_merge(values, 5), 60)
    assert rows.shape == values.shape
    assert rows.dtype == values.dtype
    assert (_whole(rows) == expected).all()
    assert (_whole(rows) == expected).all()


def test_answers_that_do_not_fit_into_memory_come_back(monkeypatch):
    monkeypatch.setattr("geoseg.geo.generalising_answers._CHUNK", 7)
    monkeypatch.setattr("geoseg.geo.generalising_answers._CHUNKS", 2)
    rng = np.random.default_rng(0)
    expected, answers = np.zeros(0, np.int32), Answers(np.dtype(np.uint16))
    for _ in range(20):
        added = rng.integers(0, 65536, rng.integers(0, 20)).astype(np.int32)
        expected = np.concatenate([expected, added])
        answers.append(added)
        numbers = rng.choice(len(expected), len(expected) // 3, replace=False)
        expected[numbers] = rng.integers(0, 65536, len(numbers))
        answers.change(numbers, expected[numbers])
    assert (answers.read(0, len(expected)) == expected).all()
    assert (answers.read(11, 30) == expected[11:41]).all()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize("kind", ["noise", "checkerboard"])
def test_memory_does_not_grow_with_height(kind):
    peaks = []
    for height in (4_000, 40_000):
        command = [sys.executable, "-c", RUN, kind, str(height)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        peaks.append(int(done.stdout))
    # 4.6 million pixels more; one number or row kept of each region would be 30 MiB and more.
    assert peaks[1] - peaks[0] < 16 * 1024
