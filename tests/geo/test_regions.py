"""Regions against scipy.ndimage.label."""

import numpy as np
import pytest
from scipy import ndimage

from geoseg.geo.regions import label_regions


def test_regions_equal_those_of_scipy():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.integers(0, 4, rng.integers(1, 20, 2)).astype(np.uint8)
        regions = label_regions(values, np.full(len(values), 0.25))
        found = 0
        for value in np.unique(values):
            expected, count = ndimage.label(values == value)
            found += count
            pairs = set(zip(expected.ravel(), regions.labels.ravel(), strict=True))
            assert len({pair for pair in pairs if pair[0]}) == count
        assert len(regions.values) - 1 == found
        assert (regions.values[regions.labels] == values).all()
        assert (regions.pixels[1:] == np.bincount(regions.labels.ravel())[1:]).all()
        assert (regions.areas == regions.pixels * 0.25).all()


def test_regions_are_numbered_by_their_first_pixel():
    regions = label_regions(np.array([[5, 5, 7], [7, 5, 7], [7, 7, 5]]), np.ones(3))
    assert regions.labels.tolist() == [[1, 1, 2], [3, 1, 2], [3, 3, 4]]


def test_rows_of_different_area_add_up():
    regions = label_regions(np.array([[1, 1], [1, 2], [2, 2]], np.int16), np.array([1.0, 2.0, 4.0]))
    assert regions.areas[1:].tolist() == [1 + 1 + 2, 2 + 4 + 4]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_thin_rasters(shape: tuple[int, int]):
    regions = label_regions(np.arange(np.prod(shape)).reshape(shape), np.ones(shape[0]))
    assert regions.labels.ravel().tolist() == list(range(1, regions.labels.size + 1))
