import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy

from geoseg.engine.uncertainty import EntropyBackend, UncertaintyProduct, entropy, margin


@pytest.fixture
def scores():
    """Probabilities of 5 classes over 7 x 9 pixels, some of them 0."""
    drawn = np.random.default_rng(0).gamma(0.3, size=(5, 7, 9))
    drawn[2, :3] = 0
    return torch.from_numpy((drawn / drawn.sum(0)).astype(np.float32))


def steps(values):
    return np.rint(np.asarray(values) / 0.005).clip(0, 200)


class Looks:
    """A network that sees something else at each call."""

    classes, device = 4, torch.device("cpu")

    def __init__(self):
        self.seen = []

    def scores(self, pixels, valid):
        drawn = np.random.default_rng(len(self.seen)).dirichlet([0.5] * 4, (1, 6, 6))
        self.seen.append(np.moveaxis(drawn, -1, 1))
        return torch.from_numpy(self.seen[-1].astype(np.float32))


def test_entropy_is_that_of_scipy_over_that_of_chance(scores):
    expected = scipy_entropy(scores.numpy(), base=5, axis=0)
    np.testing.assert_allclose(entropy(scores), expected, atol=1e-6)


def test_entropy_of_classes_that_do_not_exclude_each_other(scores):
    single = np.stack([scores.numpy(), 1 - scores.numpy()])
    expected = scipy_entropy(single, base=2, axis=0).mean(0)
    np.testing.assert_allclose(entropy(scores, exclusive=False), expected, atol=1e-5)


def test_margin_is_that_of_sorted_scores(scores):
    ordered = np.sort(scores.numpy(), 0)
    np.testing.assert_allclose(margin(scores), ordered[-1] - ordered[-2], atol=1e-6)


def test_margin_of_one_class_is_that_over_its_absence():
    found = margin(torch.tensor([[[0.5, 0.9, 0.2]]]))
    np.testing.assert_allclose(found, [[0, 0.8, 0.6]], atol=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_measures_keep_within_0_and_1(classes):
    sure = torch.zeros(classes, 1, 1)
    sure[0] = 1
    unsure = torch.full((classes, 1, 1), 1 / max(classes, 2))
    assert float(entropy(sure)) == pytest.approx(0, abs=1e-6)
    assert float(margin(sure)) == 1
    assert float(margin(unsure)) == pytest.approx(0, abs=1e-6)
    if classes > 1:
        assert float(entropy(unsure)) == pytest.approx(1, abs=1e-6)


def test_disagreement_of_two_looks_is_scipys_jensen_shannon_divergence():
    looks = Looks()
    backend = EntropyBackend(looks, exclusive=True)
    assert backend.classes == 5
    summed = sum(backend.scores(torch.zeros(1, 3, 6, 6), None)[0] for _ in range(2)) / 2
    first, second = (seen[0] for seen in looks.seen)
    expected = jensenshannon(first, second, base=4, axis=0) ** 2
    product = UncertaintyProduct(("disagreement", "entropy"), 4, exclusive=True)
    made = product.encode(summed).numpy()
    np.testing.assert_allclose(made[0], steps(expected), atol=1)
    mean = scipy_entropy((first + second) / 2, base=4, axis=0)
    np.testing.assert_allclose(made[1], steps(mean), atol=1)
    assert made[0].max() > 50


def test_sure_looks_of_different_classes_disagree_wholly_and_equal_ones_not_at_all():
    one, other = torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)
    one[0], other[1] = 1, 1
    product = UncertaintyProduct(("disagreement",), 2, exclusive=True)

    def disagreement(*looks):
        rows = [torch.cat([look, entropy(look)[None]]) for look in looks]
        return int(product.encode(torch.stack(rows).mean(0)))

    assert disagreement(one, other) == 200
    assert disagreement(one, one) == 0
    half = torch.full((2, 1, 1), 0.5)
    assert disagreement(half, half) == 0


def test_votes_disagree_by_the_entropy_of_their_shares(scores):
    product = UncertaintyProduct(("disagreement",), 5, exclusive=True)
    expected = scipy_entropy(scores.numpy(), base=5, axis=0)
    np.testing.assert_allclose(product.encode(scores)[0], steps(expected), atol=1)
