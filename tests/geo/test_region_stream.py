"""Streamed labelling against `scipy.ndimage`, and its independence of the blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage
from strategies import class_maps

from geoseg.geo.region_stream import RegionStream

MAPS = class_maps()


def push_all(values, height):
    """Numbers of all pixels as they came, all merges, and all ends, block by block."""
    stream = RegionStream(values.shape[1])
    numbers, merged, ended = [], [], []
    for row in range(0, len(values), height):
        numbers.append(stream.push(values[row : row + height]))
        merged.append(stream.merged)
        ended.append(stream.ended)
    ended.append(stream.finish())
    return np.concatenate(numbers), np.concatenate(merged), np.concatenate(ended)


def regions(values):
    """Regions by scipy, numbered by their first pixels."""
    found, count = np.zeros(values.shape, np.int64), 0
    for value in np.unique(values):
        labels, more = ndimage.label(values == value)
        found[labels > 0] = labels[labels > 0] + count
        count += more
    _, firsts, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(firsts))[inverse].reshape(values.shape)


@settings(deadline=None)
@given(MAPS)
def test_regions_are_those_of_scipy(values):
    stream = RegionStream(values.shape[1])
    numbers = stream.find(stream.push(values))
    _, ranks = np.unique(numbers, return_inverse=True)
    assert (ranks.reshape(values.shape) == regions(values)).all()


@settings(deadline=None)
@given(MAPS)
def test_blocks_change_nothing(values):
    whole = push_all(values, len(values))
    for height in range(1, len(values)):
        for part, other in zip(whole, push_all(values, height), strict=True):
            assert (part == other).all()


@settings(deadline=None)
@given(MAPS)
def test_every_region_ends_once_and_when_its_last_row_is_over(values):
    final = regions(values)
    lasts = {number: np.nonzero(final == number)[0].max() for number in range(final.max() + 1)}
    stream, ended_at = RegionStream(values.shape[1]), {}
    firsts = {}
    for row in range(len(values)):
        numbers = stream.push(values[row : row + 1])[0]
        for number, region in zip(numbers, final[row], strict=True):
            firsts.setdefault(number, region)
        ended_at |= dict.fromkeys(stream.ended.tolist(), row - 1)
    ended_at |= dict.fromkeys(stream.finish().tolist(), len(values) - 1)
    assert {firsts[number]: row for number, row in ended_at.items()} == lasts
    assert len(ended_at) == len(lasts)


def test_parts_go_on_under_the_smallest_number():
    stream = RegionStream(5)
    comb = np.array([[1, 0, 1, 0, 1], [1, 1, 1, 1, 1]])
    assert stream.push(comb).tolist() == [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1]]
    assert stream.merged.tolist() == [[3, 1], [5, 1]]
    assert stream.ended.tolist() == [2, 4]
    assert stream.find(np.array([[1, 2, 3, 4, 5]])).tolist() == [[1, 2, 1, 4, 1]]
    assert stream.count == 5


@pytest.mark.parametrize("height", [50, 5000])
def test_memory_does_not_grow_with_height(height):
    stream, rng = RegionStream(8), np.random.default_rng(0)
    for _ in range(height // 50):
        stream.push(rng.integers(0, 2, (50, 8)))
    assert stream.count > height
    assert len(stream._slots.parents) == 32


def test_nothing_was_pushed():
    assert RegionStream(3).finish().size == 0
