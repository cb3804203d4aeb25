"""How often pairs are drawn, against frequencies counted by hand and by formulas of papers."""

import logging
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.nn.drawing import (
    ANYWHERE,
    Drawing,
    Group,
    repeat_factors,
    systematic,
    tell_repeats,
)

PIXELS = np.array([
    [900, 100, 0, 0],
    [500, 0, 0, 0],
    [1000, 300, 0, 0],
    [10, 0, 90, 0],
    [0, 600, 10, 0],
    [700, 0, 0, 0],
    [0, 0, 0, 0],
    [400, 20, 0, 0],
])  # fmt: skip
"""Pixels of four classes in eight pairs; the last class is nowhere, a pair has no label."""

EPOCHS = 400


def draw_many(drawing, count, losses=None, epochs=EPOCHS):
    return [drawing.draw(count, np.random.default_rng((9, e)), losses) for e in range(epochs)]


def shares(draws, pairs):
    """Mean number of times that each pair comes in an epoch."""
    counts = sum(np.bincount(each.pairs, minlength=pairs) for each in draws)
    return counts / len(draws)


def sigmas(expected):
    """Five standard errors of a mean of counts that are rounded up or down by chance."""
    rest = expected % 1
    return 5 * np.sqrt(rest * (1 - rest) / EPOCHS) + 1e-9


# --- systematic draws ------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=30),
    st.integers(0, 200),
    st.integers(0, 2**32 - 1),
)
def test_each_comes_as_often_as_its_weight_says_rounded_up_or_down(weights, count, seed):
    weights = np.array(weights)
    if not weights.any():
        count = 0
    chosen = systematic(weights, count, np.random.default_rng(seed))
    assert len(chosen) == count
    exact = count * weights / max(weights.sum(), 1e-300)
    counts = np.bincount(chosen, minlength=len(weights))
    assert (counts >= np.floor(exact - 1e-6)).all()
    assert (counts <= np.ceil(exact + 1e-6)).all()
    assert not counts[weights == 0].any()


def test_rounding_is_up_as_often_as_the_fraction_says():
    weights = np.array([0.3, 1.0, 2.45, 0.0, 4.0])
    total = sum(
        np.bincount(systematic(weights, 10, np.random.default_rng(s)), minlength=5)
        for s in range(EPOCHS)
    )
    exact = 10 * weights / weights.sum()
    assert (abs(total / EPOCHS - exact) <= sigmas(exact)).all()


def test_neighbours_come_together_as_often_as_any_two():
    draws = [systematic(np.ones(10), 5, np.random.default_rng(s)).tolist() for s in range(EPOCHS)]
    both = np.mean([{0, 1} <= set(chosen) for chosen in draws])
    expected = 5 / 10 * 4 / 9
    assert both == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / EPOCHS))


# --- uniform, weights, groups ----------------------------------------------------------------


def test_uniform_draws_show_all_once_before_any_twice():
    pairs, focus = Drawing.uniform(7).draw(17, np.random.default_rng(1))
    assert sorted(pairs[:7]) == sorted(pairs[7:14]) == list(range(7))
    assert len(set(pairs[14:])) == 3
    assert (focus == ANYWHERE).all()


def test_pairs_come_as_often_as_they_weigh():
    weights = np.array([1, 0.5, 2, 0, 1, 1, 1.5, 3])
    drawing = Drawing(pairs=8, weights=weights)
    expected = 20 * weights / weights.sum()
    assert (abs(shares(draw_many(drawing, 20), 8) - expected) <= sigmas(expected)).all()


@pytest.mark.parametrize("sampling", ["uniform", "balanced", "rare", "hard"])
def test_groups_share_the_draws_whatever_is_drawn_in_them(sampling):
    groups = (Group(np.array([0, 3, 6]), 3.0), Group(np.array([1, 2, 4, 5, 7]), 1.0))
    drawing = Drawing(pairs=8, sampling=sampling, class_pixels=PIXELS, groups=groups)
    losses = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.nan, 0.8], np.float32)
    for draws in draw_many(drawing, 24, losses, epochs=20):
        assert np.isin(draws.pairs, [0, 3, 6]).sum() == 18
        assert len(draws.pairs) == 24
    # Mixed, not one group after the other.
    first = [np.isin(d.pairs[:6], [0, 3, 6]).sum() for d in draw_many(drawing, 24, losses)]
    assert np.mean(first) == pytest.approx(4.5, abs=0.3)


# --- balanced --------------------------------------------------------------------------------


def test_balanced_draws_choose_classes_alike_and_pairs_by_their_pixels():
    drawing = Drawing(pairs=8, sampling="balanced", class_pixels=PIXELS)
    draws = draw_many(drawing, 30)
    for pairs, focus in draws:
        assert Counter(focus.tolist()) == {0: 10, 1: 10, 2: 10}  # three classes are there
        assert (PIXELS[pairs, focus] > 0).all()
    expected = sum(10 * PIXELS[:, c] / PIXELS[:, c].sum() for c in range(3))
    # A pair comes for up to three classes, each rounded by itself.
    assert (abs(shares(draws, 8) - expected) <= 5 * np.sqrt(3 * 0.25 / EPOCHS)).all()


def test_pixels_of_a_balanced_draw_weigh_what_their_pair_does():
    weights = np.array([1, 1, 4, 1, 0.5, 1, 1, 0])
    drawing = Drawing(pairs=8, sampling="balanced", class_pixels=PIXELS, weights=weights)
    weighed = PIXELS * weights[:, None]
    expected = sum(10 * weighed[:, c] / weighed[:, c].sum() for c in range(3))
    error = abs(shares(draw_many(drawing, 30), 8) - expected)
    assert (error <= 5 * np.sqrt(3 * 0.25 / EPOCHS)).all()


def test_a_pixel_around_a_balanced_draw_is_of_each_class_equally_often():
    """Chi-square of independent epochs: the class of one draw of each, 3 classes alike."""
    drawing = Drawing(pairs=8, sampling="balanced", class_pixels=PIXELS)
    first = np.bincount([int(d.focus[0]) for d in draw_many(drawing, 7, epochs=900)])
    assert ((first - 300) ** 2 / 300).sum() < 13.8  # p = 0.001 with 2 degrees of freedom


# --- rare classes ----------------------------------------------------------------------------


def lvis_factors(shown_by_pair, threshold):
    """The formula of arXiv 1908.03195 pair by pair, from the sets of classes they show."""
    total = len(shown_by_pair)
    frequency = Counter(c for shown in shown_by_pair for c in shown)
    repeat = {c: max(1.0, math.sqrt(threshold / (n / total))) for c, n in frequency.items()}
    return [max((repeat[c] for c in shown), default=0.0) for shown in shown_by_pair]


@given(st.data())
def test_repeat_factors_are_those_of_lvis(data):
    pairs, classes = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
    threshold = data.draw(st.floats(0.001, 1))
    shown = data.draw(
        st.lists(st.sets(st.integers(0, classes - 1)), min_size=pairs, max_size=pairs)
    )
    pixels = np.zeros((pairs, classes), np.int64)
    for pair, found in enumerate(shown):
        pixels[pair, list(found)] = 7 + pair
    assert repeat_factors(pixels, threshold) == pytest.approx(lvis_factors(shown, threshold))


def test_rare_draws_repeat_pairs_as_often_as_lvis_does():
    drawing = Drawing(pairs=8, sampling="rare", class_pixels=PIXELS, rare_below=0.5)
    sets = [set(np.flatnonzero(row).tolist()) for row in PIXELS]
    expected = np.array(lvis_factors(sets, 0.5))
    # Class 2 is in 2 of 8 pairs: sqrt(0.5 / 0.25); the pair without a label never comes.
    assert expected.tolist() == pytest.approx([1, 1, 1, 2**0.5, 2**0.5, 1, 0, 1])
    assert drawing.natural_count == round(expected.sum()) == 8
    draws = draw_many(drawing, 8)
    scaled = expected * 8 / expected.sum()
    assert (abs(shares(draws, 8) - scaled) <= sigmas(scaled)).all()


def test_an_epoch_of_rare_draws_is_longer_by_what_is_repeated():
    pixels = np.zeros((100, 2), np.int64)
    pixels[:, 0] = 5
    pixels[:1, 1] = 1  # in one of a hundred: sqrt(0.25 / 0.01) = 5 times
    drawing = Drawing(pairs=100, sampling="rare", class_pixels=pixels, rare_below=0.25)
    assert drawing.natural_count == 104
    counts = shares(draw_many(drawing, 104, epochs=20), 100)
    assert counts[0] == 5
    assert (counts[1:] == 1).all()


def test_rare_classes_are_told(caplog):
    pixels = np.zeros((100, 3), np.int64)
    pixels[:, 0] = pixels[:4, 1] = 5
    names = ("land", "roof", "nowhere")
    with caplog.at_level(logging.INFO):
        for below in (0.16, 0.01):
            drawing = Drawing(pairs=100, sampling="rare", class_pixels=pixels, rare_below=below)
            tell_repeats(drawing, names)
        tell_repeats(Drawing.uniform(100), names)
    told, warned = caplog.messages
    assert told.endswith("times: roof 2")
    assert warned.startswith("no class is in less than 1 %")


# --- hard pairs ------------------------------------------------------------------------------


def test_hard_draws_begin_like_uniform_ones():
    drawing = Drawing(pairs=8, sampling="hard")
    pairs, _ = drawing.draw(8, np.random.default_rng(0), np.full(8, np.nan, np.float32))
    assert sorted(pairs) == list(range(8))


@pytest.mark.parametrize("hard_share", [0.0, 0.5, 1.0])
def test_hard_draws_go_by_the_loss_in_part(hard_share):
    losses = np.array([0.1, 0.2, 0.3, 0.4, 0.8, 1.2, 0.0, 2.0], np.float32)
    drawing = Drawing(pairs=8, sampling="hard", hard_share=hard_share)
    expected = 16 * (hard_share * losses / losses.sum() + (1 - hard_share) / 8)
    error = abs(shares(draw_many(drawing, 16, losses), 8) - expected)
    assert (error <= 5 * np.sqrt(2 * 0.25 / EPOCHS)).all()


def test_what_was_never_seen_comes_before_what_is_hard():
    losses = np.array([9, 9, 9, 9, 9, np.nan, np.nan, np.nan], np.float32)
    drawing = Drawing(pairs=8, sampling="hard", hard_share=1.0)
    for draws in draw_many(drawing, 5, losses, epochs=20):
        assert {5, 6, 7} <= set(draws.pairs.tolist())
        assert Counter(draws.pairs.tolist())[5] == 1
    assert set(drawing.draw(2, np.random.default_rng(0), losses).pairs.tolist()) <= {5, 6, 7}


def test_losses_of_zero_leave_draws_uniform():
    drawing = Drawing(pairs=8, sampling="hard", hard_share=1.0)
    pairs, _ = drawing.draw(8, np.random.default_rng(0), np.zeros(8, np.float32))
    assert sorted(pairs) == list(range(8))


@pytest.mark.parametrize("sampling", ["balanced", "rare"])
def test_draws_by_class_want_the_pixels(sampling):
    with pytest.raises(ValueError, match="pixels of each class"):
        Drawing(pairs=3, sampling=sampling).draw(3, np.random.default_rng(0))
