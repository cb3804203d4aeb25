from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from strategies import window_sizes

from geoseg.errors import ConfigError
from geoseg.geo.windows import centred_window, offsets, random_windows, sliding_windows

SIZES = window_sizes()


@pytest.mark.parametrize(
    ("length", "size", "stride", "expected"),
    [
        (1, 1, 1, [0]),
        (1, 8, 8, [0]),  # a scene one pixel wide
        (7, 8, 4, [0]),  # scene < window
        (8, 8, 4, [0]),  # scene = window
        (9, 8, 4, [0, 1]),  # scene = window + 1
        (16, 8, 8, [0, 8]),  # stride = window, dividing
        (17, 8, 8, [0, 8, 9]),
        (20, 8, 5, [0, 5, 10, 12]),  # not dividing
        (4, 3, 1, [0, 1]),
    ],
)
def test_offsets(length, size, stride, expected):
    assert offsets(length, size, stride) == expected


@given(st.integers(1, 200), SIZES)
def test_offsets_cover_and_end_flush(length, sizes):
    size, stride = sizes
    found = offsets(length, size, stride)
    assert found[0] == 0
    assert found == sorted(set(found))
    assert found[-1] == max(length - size, 0)
    assert all(b - a == stride for a, b in pairwise(found[:-1]))
    assert set().union(*(range(o, min(o + size, length)) for o in found)) == set(range(length))


@given(st.integers(1, 60), st.integers(1, 60), SIZES)
def test_sliding_windows_cover_the_grid(height, width, sizes):
    size, stride = sizes
    hits = np.zeros((height, width), int)
    windows = sliding_windows((height, width), size, stride)
    for window in windows:
        rows, cols = window.toslices()
        assert hits[rows, cols].shape == (min(size, height), min(size, width))
        hits[rows, cols] += 1
    assert hits.min() == 1
    corners = [(w.row_off, w.col_off) for w in windows]
    assert corners == sorted(set(corners))
    if stride == size and height % size == width % size == 0:
        assert hits.max() == 1


@pytest.mark.parametrize(
    ("size", "stride", "message"),
    [
        (0, 1, "^--window: 0 is below 1 pixel"),
        (-3, 1, "^--window: -3 is below"),
        (8, 0, "^--stride: 0 is not within 1 to the window's 8"),
        (8, 9, "^--stride: 9 is not"),
    ],
)
def test_senseless_sizes_are_refused(size, stride, message):
    with pytest.raises(ConfigError, match=message):
        offsets(10, size, stride)
    with pytest.raises(ConfigError, match=message):
        sliding_windows((10, 10), size, stride)


def test_random_windows_reach_every_place_equally():
    windows = random_windows((12, 9), 8, 6000, np.random.default_rng(1))
    places, counts = np.unique(
        [(w.row_off, w.col_off) for w in windows], axis=0, return_counts=True
    )
    assert len(places) == 5 * 2
    # Six standard deviations of a binomial count.
    assert np.abs(counts - 600).max() < 6 * np.sqrt(6000 * 0.1 * 0.9)
    assert windows == random_windows((12, 9), 8, 6000, np.random.default_rng(1))


def test_random_windows_of_small_scenes_are_the_scene():
    assert random_windows((3, 5), 8, 2, np.random.default_rng(0)) == [Window(0, 0, 5, 3)] * 2
    with pytest.raises(ConfigError):
        random_windows((3, 5), 0, 2, np.random.default_rng(0))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 60), st.data())
def test_centred_windows_hold_their_pixel(height, width, size, data):
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = centred_window(row, col, (height, width), size)
    assert window.row_off <= row < window.row_off + window.height
    assert window.col_off <= col < window.col_off + window.width
    assert (window.height, window.width) == (min(size, height), min(size, width))
    assert window.row_off + window.height <= height
    assert window.col_off + window.width <= width
    inside = size // 2 <= row < height - size and size // 2 <= col < width - size
    if inside:
        assert (window.row_off + size // 2, window.col_off + size // 2) == (row, col)
