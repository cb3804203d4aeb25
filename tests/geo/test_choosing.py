import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.geo.choosing import Candidates, choose


def lattice(rows, cols, *, doubt=None, looks=None, classes=None, labelled=(), step=1.0):
    """Places of one scene on a regular lattice, `step` sides apart."""
    row, col = (axis.ravel() * step for axis in np.mgrid[:rows, :cols])
    count = rows * cols
    flags = np.zeros(count, bool)
    flags[list(labelled)] = True
    corners = np.stack([row, col], axis=1).astype(float)
    return Candidates(
        scene=np.zeros(count, np.int64),
        corners=corners,
        centres=corners[:, ::-1] + 0.5,
        doubt=np.full(count, 0.5) if doubt is None else np.asarray(doubt, float),
        looks=np.zeros((count, 2)) if looks is None else np.asarray(looks, float),
        classes=np.full((count, 2), 50.0) if classes is None else np.asarray(classes, float),
        labelled=flags,
    )


def test_of_places_alike_the_one_in_doubt_is_first():
    chosen = choose(lattice(1, 5, doubt=[0.1, 0.2, 0.9, 0.3, 0.1]), 1, np.array([50, 50]))
    assert chosen[0].index == 2
    assert (chosen[0].doubt, chosen[0].strangeness) == (1, 1)
    assert chosen[0].score == pytest.approx(chosen[0].rarity * chosen[0].novelty)
    assert chosen[0].rarity == pytest.approx(1)
    assert chosen[0].novelty == 1


def test_a_rare_class_counts_for_more():
    classes = [[100, 0], [0, 100], [100, 0]]
    candidates = lattice(1, 3, classes=classes)
    assert choose(candidates, 1, np.array([900, 100]))[0].index == 1
    assert choose(candidates, 1, np.array([100, 900]))[0].index != 1
    # shares 0.9 and 0.1, each smoothed by 0.01
    weights = 1 / np.sqrt([0.91, 0.11])
    expected = weights[1] / (weights @ [0.9, 0.1])
    assert choose(candidates, 1, np.array([900, 100]))[0].rarity == pytest.approx(expected)


def test_what_looks_like_nothing_known_is_chosen_though_the_model_is_sure():
    looks = [[10, 1], [11, 1], [10, 2], [90, 9], [10, 1]]
    candidates = lattice(1, 5, doubt=[0.9, 0.8, 0.9, 0.3, 0.9], looks=looks, labelled=[0])
    chosen = choose(candidates, 1, np.array([50, 50]), reach=0.01)[0]
    assert chosen.index == 3
    apart = (np.array(looks[3]) - looks[0]) / np.std(looks, axis=0)
    assert chosen.strangeness == pytest.approx(1 - np.exp(-np.sqrt(np.mean(apart**2))))
    assert chosen.score == pytest.approx((1 / 3 + chosen.strangeness) / 2, rel=1e-6)


def test_of_two_strange_places_alike_one_is_enough():
    looks = [[0, 0], [50, 5], [50, 5], [0, 0]]
    candidates = lattice(1, 4, doubt=[0.1, 0.5, 0.5, 0.4], looks=looks, labelled=[0])
    first, second = choose(candidates, 2, np.array([50, 50]), reach=0.01)
    assert {first.index, second.index} == {1, 2}
    assert (first.strangeness > 0.5, second.strangeness) == (True, 0)


def test_ground_beside_labels_is_of_little_news():
    chosen = choose(lattice(1, 9, labelled=[0]), 1, np.array([50, 50]))
    assert chosen[0].index == 8
    assert chosen[0].novelty == pytest.approx(1 - np.exp(-8))


def test_places_spread():
    """Of a row of places alike, the ends come before what lies between them."""
    indices = [choice.index for choice in choose(lattice(1, 9), 3, np.array([50, 50]))]
    assert indices == [0, 8, 4]


def test_what_is_labelled_or_without_doubt_is_never_chosen():
    candidates = lattice(2, 2, doubt=[0, 0.5, 0.5, 0.5], labelled=[1])
    assert {choice.index for choice in choose(candidates, 9, np.array([1, 1]))} == {2, 3}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 30))
def test_no_two_overlap_and_doubt_decides_first(seed, count):
    rng = np.random.default_rng(seed)
    candidates = lattice(9, 9, doubt=rng.random(81), step=0.5)
    chosen = choose(candidates, count, np.array([50, 50]))
    assert 1 <= len(chosen) <= min(count, 25)
    assert chosen[0].index == candidates.doubt.argmax()
    corners = candidates.corners[[choice.index for choice in chosen]]
    apart = np.abs(corners[:, None] - corners[None]).max(-1)
    np.fill_diagonal(apart, 9)
    assert apart.min() >= 1


def test_scenes_that_share_ground_do_not_give_it_twice():
    one = lattice(1, 2)
    candidates = Candidates(
        scene=np.array([0, 0, 1, 1]),
        corners=np.concatenate([one.corners, one.corners]),
        centres=np.concatenate([one.centres, one.centres + 0.3]),
        doubt=np.array([0.9, 0.5, 0.8, 0.7]),
        looks=np.zeros((4, 1)),
        classes=np.full((4, 2), 50.0),
        labelled=np.zeros(4, bool),
    )
    assert [choice.index for choice in choose(candidates, 4, np.array([1, 1]))] == [0, 3]
