"""Points dealt to classes and drawn by lot: shares, floors, and chances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import ConfigError
from geoseg.geo.sample_design import allocate, draw


def test_rare_classes_have_the_floor_and_the_others_shares():
    """The classes of Olofsson et al. 2014: two rare ones of 2 % and 1.5 %."""
    pixels = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    points = allocate(pixels * 900.0, pixels, 641, 75)
    assert points.tolist() == [75, 75, 163, 328]  # 491 in shares of 320 : 645
    assert allocate(pixels * 900.0, pixels, 1000, 2).tolist() == [20, 15, 320, 645]


def test_no_class_has_more_points_than_pixels():
    points = allocate(np.array([3.0, 50.0, 0.0, 47.0]), np.array([3, 50, 0, 47]), 60, 10)
    assert points[0] == 3
    assert points[2] == 0
    assert points.sum() == 60
    assert allocate(np.ones(2), np.array([4, 6]), 60, 10).tolist() == [4, 6]


def test_too_few_points_are_refused():
    with pytest.raises(ConfigError, match="--count: 99 is less than 2 classes need, 100 points"):
        allocate(np.ones(2), np.array([500, 500]), 99, 50)


@given(
    pixels=st.lists(st.integers(0, 5000), min_size=1, max_size=8).filter(any),
    count=st.integers(1, 4000),
    least=st.integers(1, 60),
)
def test_sums_floors_and_bounds_hold(pixels, count, least):
    pixels = np.array(pixels)
    floors = np.minimum(pixels, least)
    if floors.sum() > count:
        with pytest.raises(ConfigError):
            allocate(pixels * 2.5, pixels, count, least)
        return
    points = allocate(pixels * 2.5, pixels, count, least)
    assert (points >= floors).all()
    assert (points <= pixels).all()
    assert points.sum() == min(count, pixels.sum())


@pytest.mark.parametrize("number", [1, 4, 9, 17])
def test_pixels_are_drawn_once_and_reproducibly(number):
    counts = np.array([[3, 0], [0, 2], [9, 1], [5, 4]])
    points = np.array([number, 2])
    found = draw(counts, np.ones(4), points, seed=3)
    again = draw(counts, np.ones(4), points, seed=3)
    for one, other in zip(vars(found).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    keys = set(zip(found.rows, found.classes, found.ordinals, strict=True))
    assert len(keys) == number + 2
    assert all(0 <= o < counts[r, c] for r, c, o in keys)
    assert np.bincount(found.classes).tolist() == [number, 2]
    other = draw(counts, np.ones(4), points, seed=4)
    assert number == 17 or (set(zip(other.rows, other.ordinals, strict=True))) != {
        (r, o) for r, _, o in keys
    }


@pytest.mark.parametrize("number", [2, 4])
def test_chances_are_in_proportion_to_area(number):
    """First draws follow the areas, on both ways of drawing; 6 pixels in rows of 1, 2 and 3 m2."""
    counts, areas = np.array([[2], [2], [2]]), np.array([1.0, 2.0, 3.0])
    seen = np.zeros(3)
    for seed in range(1500):
        seen[draw(counts, areas, np.array([number]), seed).rows] += 1
    # By exact enumeration of draws without replacement.
    expected = np.zeros(3)
    weights = np.repeat(areas, 2)

    def follow(left, chance, drawn):
        if drawn == number:
            hit = {p // 2 for p in range(6) if p not in left}
            expected[list(hit)] += chance
            return
        total = sum(weights[p] for p in left)
        for place in left:
            follow([p for p in left if p != place], chance * weights[place] / total, drawn + 1)

    follow(list(range(6)), 1.0, 0)
    np.testing.assert_allclose(seen / 1500, expected, atol=0.04)


def test_the_order_tells_no_class():
    counts = np.full((100, 2), 50)
    classes = draw(counts, np.ones(100), np.array([300, 300]), seed=0).classes
    assert 120 < classes[:300].sum() < 180
