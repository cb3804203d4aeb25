"""Votes against a count pixel by pixel in plain Python."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geoseg.errors import ConfigError, LegendError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.vote import Ballot, check_names, whole_weights

LEGEND = Legend.of_values([0, 1, 4], {0: "background", 1: "roof", 4: "road"})
RULES = ["weighted", "majority", "unanimous"]


def elect(votes, weights, rule):
    """The class that one pixel gets; `votes` and `weights` of each raster in order."""
    cast = [(v, Fraction(str(w))) for v, w in zip(votes, weights, strict=True) if v != 255]
    if not cast:
        return 255
    if rule == "unanimous":
        return cast[0][0] if len({v for v, _ in cast}) == 1 else 0
    standing = {}
    for first, (value, _) in reversed(list(enumerate(cast))):
        number = sum(v == value for v, _ in cast)
        weight = sum(w for v, w in cast if v == value)
        ranks = (weight, number) if rule == "weighted" else (number, weight)
        standing[value] = (*ranks, -first)
    return max(standing, key=standing.__getitem__)


@given(
    st.integers(2, 6).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.uint8, (n, 3, 5), elements=st.sampled_from([0, 1, 4, 255])),
            st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.5, 1, 2, 3]), min_size=n, max_size=n),
        )
    ),
    st.sampled_from(RULES),
)
def test_votes_are_those_counted_by_hand(given_votes, rule):
    votes, weights = given_votes
    found = Ballot(LEGEND, weights, rule).decide(votes)
    expected = [
        [elect(votes[:, row, col].tolist(), weights, rule) for col in range(5)] for row in range(3)
    ]
    assert found.tolist() == expected
    assert found.dtype == votes.dtype


@pytest.mark.parametrize(
    ("votes", "weights", "rule", "winner"),
    [
        ([1, 0, 0], [1, 1, 1], "weighted", 0),
        ([1, 0, 0], [3, 1, 1], "weighted", 1),
        ([1, 0, 0], [2, 1, 1], "weighted", 0),  # equal weights: more rasters
        ([1, 0, 0], [3, 1, 1], "majority", 0),
        ([1, 0, 0, 1], [1, 1, 1, 2], "majority", 1),  # equal numbers: larger weights
        ([1, 0, 0, 1], [1, 1, 1, 1], "majority", 1),  # all equal: the first raster
        ([4, 0, 1], [1, 1, 1], "weighted", 4),
        ([255, 0, 1], [9, 1, 1], "weighted", 0),  # the first raster does not vote
        ([255, 255, 255], [1, 1, 1], "weighted", 255),
        ([0, 1, 1], [0.3, 0.1, 0.2], "weighted", 1),  # 0.1 + 0.2 is 0.3 here
        ([1, 1, 4], [1, 1, 1], "unanimous", 0),
        ([1, 255, 1], [1, 1, 1], "unanimous", 1),
        ([255, 4, 4], [1, 1, 1], "unanimous", 4),
    ],
)
def test_one_pixel(votes, weights, rule, winner):
    stack = np.array(votes, np.uint8).reshape(-1, 1, 1)
    assert Ballot(LEGEND, weights, rule).decide(stack).item() == winner


def test_three_copies_of_a_raster_are_the_raster():
    values = np.random.default_rng(0).choice([0, 1, 4, 255], (40, 30)).astype(np.uint8)
    for rule in RULES:
        found = Ballot(LEGEND, [1, 2, 3], rule).decide(np.stack([values] * 3))
        assert np.array_equal(found, values)


def test_ignore_may_be_any_value():
    legend = Legend(classes=LEGEND.classes, ignore=9)
    found = Ballot(legend, [1, 1]).decide(np.array([[[9, 9]], [[9, 4]]], np.uint8))
    assert found.tolist() == [[9, 4]]


def test_weights_are_whole_numbers_of_the_same_ratios():
    assert whole_weights([0.1, 0.2, 0.3]) == [1, 2, 3]
    assert whole_weights([4, 4]) == [1, 1]
    assert whole_weights([1e-6, 1]) == [1, 1_000_000]


@pytest.mark.parametrize("weights", [[0, 1], [-1, 1], [float("nan"), 1], [float("inf"), 1]])
def test_weights_below_zero(weights):
    with pytest.raises(ConfigError, match="not above 0"):
        Ballot(LEGEND, weights)


def test_weights_too_far_apart():
    with pytest.raises(ConfigError, match="too far apart"):
        Ballot(LEGEND, [1e-12, 1])


def test_unanimity_needs_a_background():
    legend = Legend.of_values([1, 2])
    with pytest.raises(LegendError, match="no background"):
        Ballot(legend, [1, 1], "unanimous")


def test_names_must_be_alike():
    other = Legend(classes=(LegendClass(value=1, name="water", color="#0000ff"),))
    with pytest.raises(LegendError, match=r'b\.tif: value 1 is "water", elsewhere "roof"'):
        check_names(LEGEND, [("a.tif", LEGEND), ("b.tif", other)])
