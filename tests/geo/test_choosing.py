"""Which places are chosen; the sums are done anew with numpy and scipy here."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from geoseg.geo import choosing
from geoseg.geo.choosing import Candidates, choose


def lattice(rows, cols, *, doubt=None, looks=None, labelled=(), step=1.0):
    """Places of one scene on a regular lattice, `step` sides apart."""
    row, col = (axis.ravel() * step for axis in np.mgrid[:rows, :cols])
    count = rows * cols
    shares = np.zeros(count)
    shares[list(labelled)] = 1
    corners = np.stack([row, col], axis=1).astype(float)
    return Candidates(
        scene=np.zeros(count, np.int64),
        corners=corners,
        centres=corners[:, ::-1] + 0.5,
        doubt=np.full(count, 0.5) if doubt is None else np.asarray(doubt, float),
        looks=np.zeros((count, 2)) if looks is None else np.asarray(looks, float),
        labelled=shares,
    )


def indices(chosen):
    return [choice.index for choice in chosen]


def mahalanobis(looks):
    """Squares of distances, in mean squared distances from the mean."""
    return cdist(looks, looks, "mahalanobis", VI=np.linalg.inv(np.cov(looks.T, ddof=0))) ** 2


def test_the_first_place_explains_most():
    """The place taken is the one whose labels would leave least, by the definition."""
    rng = np.random.default_rng(3)
    looks = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3))
    doubt = rng.uniform(0.1, 0.9, 30)
    candidates = lattice(5, 6, doubt=doubt, looks=looks, labelled=[0, 7])
    first, second = choose(candidates, 2)
    free = np.setdiff1d(np.arange(30), [0, 7])
    weights = (1 + doubt / doubt[free].mean())[free]
    apart = mahalanobis(looks) / 3
    before = apart[free][:, [0, 7]].min(1)
    left = {i: weights @ np.minimum(before, apart[free, i]) for i in free}
    assert first.index == min(left, key=left.get)
    share = 1 - left[first.index] / (weights @ before)
    assert first.score == pytest.approx(share, rel=1e-5)
    assert first.doubt == pytest.approx(doubt[first.index] / doubt[free].max())
    strange = 1 - np.exp(-np.sqrt(apart[first.index, [0, 7]].min()))
    assert first.strangeness == pytest.approx(strange, rel=1e-5)
    then = {i: weights @ np.minimum.reduce([before, *apart[free][:, [first.index, i]].T])
            for i in free if i != first.index}  # fmt: skip
    assert second.index == min(then, key=then.get)


def test_without_labels_the_first_is_the_one_in_the_middle():
    looks = [[0, 0], [4, 1], [5, 5], [6, 9], [11, 10]]
    assert indices(choose(lattice(1, 5, looks=looks), 1)) == [2]


def test_of_places_alike_the_one_in_doubt_is_first():
    chosen = choose(lattice(1, 5, doubt=[0.1, 0.2, 0.9, 0.3, 0.1]), 1)
    assert (chosen[0].index, chosen[0].doubt) == (2, 1)


@pytest.mark.parametrize(("unsure", "first"), [((0.9, 0.1), 1), ((0.1, 0.9), 3)])
def test_what_is_in_doubt_comes_first(unsure, first):
    """Two kinds of ground as unlike the labels; doubt decides between them."""
    looks = [[0, 0], [3, 0], [3, 0], [0, 3], [0, 3]]
    doubt = [0.5, unsure[0], unsure[0], unsure[1], unsure[1]]
    chosen = choose(lattice(1, 5, doubt=doubt, looks=looks, labelled=[0]), 2)
    assert indices(chosen) == [first, {1: 3, 3: 1}[first]]  # then the other kind


def test_what_looks_like_nothing_known_is_chosen_though_the_model_is_sure():
    looks = np.random.default_rng(0).normal(size=(60, 2))
    doubt = np.full(60, 0.8)
    looks[[20, 40]], doubt[[20, 40]] = [[40, 40], [41, 40]], 0.1
    (chosen,) = choose(lattice(6, 10, doubt=doubt, looks=looks, labelled=range(15)), 1)
    assert chosen.index in {20, 40}
    assert chosen.strangeness > 0.9


def test_of_two_strange_places_alike_one_is_enough():
    looks = [[0, 0], [50, 5], [50, 5], [0, 1]]
    first, second = choose(lattice(1, 4, looks=looks, labelled=[0]), 2)
    assert (first.index, second.index) == (1, 3)


def test_correlated_bands_are_no_more_than_one():
    """Ground that is odd in colour stands out, though bright and dark differ by far more."""
    light = np.linspace(0, 100, 21)
    looks = np.stack([light, light, light], axis=1)
    looks[10, 2] += 5
    looks = np.concatenate([looks, looks[[10]]])
    chosen = choose(lattice(1, 22, looks=looks, labelled=[5, 15]), 1)
    assert chosen[0].index in {10, 21}


def test_shares_add_up_to_what_is_explained():
    rng = np.random.default_rng(0)
    candidates = lattice(4, 5, looks=rng.normal(size=(20, 3)), labelled=[0])
    scores = [choice.score for choice in choose(candidates, 99)]
    assert len(scores) == 19
    assert sum(scores) == pytest.approx(1)  # every place is chosen in the end


def test_what_is_labelled_or_without_doubt_is_never_chosen():
    candidates = lattice(2, 2, doubt=[0, 0.5, 0.5, 0.5], labelled=[1])
    assert set(indices(choose(candidates, 9))) == {2, 3}
    assert choose(lattice(1, 2, labelled=[0, 1]), 9) == []


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 30))
def test_no_two_overlap_and_each_adds_less(seed, count):
    rng = np.random.default_rng(seed)
    candidates = lattice(9, 9, doubt=rng.random(81), looks=rng.random((81, 4)), step=0.5)
    chosen = choose(candidates, count)
    assert 1 <= len(chosen) <= min(count, 25)
    assert all(a.score >= b.score - 1e-6 for a, b in itertools.pairwise(chosen))
    corners = candidates.corners[indices(chosen)]
    apart = np.abs(corners[:, None] - corners[None]).max(-1)
    np.fill_diagonal(apart, 9)
    assert apart.min() >= 1


def test_of_many_places_a_lot_decides_always_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    candidates = lattice(20, 20, looks=rng.normal(size=(400, 3)), labelled=[0])
    monkeypatch.setattr(choosing, "MOST", 50)
    chosen = indices(choose(candidates, 60))
    assert len(set(chosen)) == 50
    assert chosen == indices(choose(candidates, 60))


@pytest.mark.parametrize(("apart", "chosen"), [(0.3, [0, 3]), (50, [0, 2, 3, 1])])
def test_scenes_that_share_ground_do_not_give_it_twice(apart, chosen):
    one = lattice(1, 2)
    candidates = Candidates(
        scene=np.array([0, 0, 1, 1]),
        corners=np.concatenate([one.corners, one.corners]),
        centres=np.concatenate([one.centres, one.centres + apart]),
        doubt=np.array([0.9, 0.5, 0.8, 0.7]),
        looks=np.zeros((4, 1)),
        labelled=np.zeros(4),
    )
    assert indices(choose(candidates, 4)) == chosen
