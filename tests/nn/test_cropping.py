"""Where crops lie: anywhere alike, around pixels of a class, not all of one class."""

import numpy as np
import pytest

from geoseg.nn.cropping import CROP_TRIES, CropRule, is_varied

IGNORE = 255


def rule(side=4, **more):
    return CropRule(height=side, width=side, ignore=IGNORE, **more)


def many(rule, mask, centre=None, count=600):
    return [rule.place(mask, np.random.default_rng((3, i)), centre) for i in range(count)]


def test_every_place_comes_equally_often():
    places = many(rule(), np.ones((6, 5), np.uint8))
    counts = np.zeros((3, 2))
    for place in places:
        counts[place] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 20.5  # p = 0.001 with 5 degrees of freedom


def test_a_mask_no_larger_than_the_crop_has_one_place():
    assert set(many(rule(), np.ones((4, 3), np.uint8), count=5)) == {(0, 0)}


def test_crops_lie_around_pixels_of_a_class_as_far_as_there_is_room():
    mask = np.zeros((20, 30), np.uint8)
    mask[0, 0] = mask[10, 15] = mask[19, 29] = 7
    places = many(rule(), mask, centre=7)
    assert set(places) == {(0, 0), (8, 13), (16, 26)}
    counts = np.array([places.count(place) for place in set(places)])
    assert ((counts - 200) ** 2 / 200).sum() < 13.8  # p = 0.001 with 2 degrees of freedom


def test_a_class_that_is_not_there_leaves_crops_anywhere():
    mask = np.zeros((20, 30), np.uint8)
    assert many(rule(), mask, centre=7, count=20) == many(rule(), mask, count=20)


def test_crops_of_one_class_are_drawn_again():
    """The rule is simulated: a crop passes with chance p, and ten are drawn at most."""
    mask = np.zeros((40, 40), np.uint8)
    mask[12:20, 12:20] = 1
    mask[:, :3] = IGNORE
    one, varied = rule(8), rule(8, cat_max_ratio=0.75)

    def passes(row, col):
        crop = mask[row : row + 8, col : col + 8]
        known = crop[crop != IGNORE]
        return max((known == 0).sum(), (known == 1).sum()) <= 0.75 * len(known)

    everywhere = [passes(r, c) for r in range(33) for c in range(33)]
    chance = np.mean(everywhere)
    assert 0.02 < chance < 0.3
    found = np.mean([passes(*place) for place in many(varied, mask)])
    expected = 1 - (1 - chance) ** CROP_TRIES
    assert found == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / 600))
    assert np.mean([passes(*place) for place in many(one, mask)]) < 2 * chance


@pytest.mark.parametrize(
    ("counts", "ratio", "told"),
    [
        ([75, 25], 0.75, True),
        ([76, 24], 0.75, False),
        ([0, 5], 0.99, False),
        ([0, 5], 1.0, True),
        ([0, 0], 0.5, False),
        ([1, 1, 1], 0.34, True),
    ],
)
def test_what_is_varied(counts, ratio, told):
    assert is_varied(np.array(counts), ratio) is told
