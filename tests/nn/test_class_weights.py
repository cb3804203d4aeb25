from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from geoseg.nn.class_weights import class_weights

METHODS = ["inverse", "inverse_sqrt", "inverse_log", "effective_number", "median_frequency"]
COUNTS = (700, 250, 0, 50)


def normalised(weights):
    weights = np.asarray(weights)
    return weights / weights[weights > 0].mean()


def exact_effective(pixels, beta):
    """1 / E_n to fifty digits, from powers of beta."""
    with localcontext(prec=60):
        return [float((1 - beta) / (1 - beta ** Decimal(n))) if n else 0.0 for n in pixels]


def test_inverse_weights_are_the_balanced_ones_of_scikit_learn():
    labels = np.repeat([0, 1, 3], [700, 250, 50])
    balanced = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    expected = normalised([balanced[0], balanced[1], 0, balanced[2]])
    np.testing.assert_allclose(class_weights(COUNTS, "inverse"), expected)


def test_inverse_square_roots():
    expected = normalised([1 / 0.7**0.5, 1 / 0.25**0.5, 0, 1 / 0.05**0.5])
    np.testing.assert_allclose(class_weights(COUNTS, "inverse_sqrt"), expected)


def test_inverse_logarithms():
    expected = normalised([1 / np.log(1.72), 1 / np.log(1.27), 0, 1 / np.log(1.07)])
    np.testing.assert_allclose(class_weights(COUNTS, "inverse_log"), expected)


def test_median_frequencies():
    """The median share over the classes that are there is 0.25."""
    expected = [0.25 / 0.7, 1, 0, 5]
    np.testing.assert_allclose(class_weights(COUNTS, "median_frequency"), expected)


@pytest.mark.parametrize("beta", ["0.9", "0.99", "0.9999"])
def test_effective_numbers_of_a_given_beta(beta):
    expected = normalised(exact_effective(COUNTS, Decimal(beta)))
    found = class_weights(COUNTS, "effective_number", beta=float(beta))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 10**3, 10**6, 10**12])
def test_effective_numbers_with_beta_by_the_median(size):
    """Float32 drifts from a median of ten million on, and is NaN from 34 million on."""
    pixels = [count * size for count in COUNTS]
    expected = normalised(exact_effective(pixels, 1 - 1 / Decimal(250 * size)))
    found = class_weights(pixels, "effective_number")
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[3] > 2 * found[0]  # not all alike


@pytest.mark.parametrize("method", METHODS)
@given(counts=st.lists(st.integers(0, 10**12), min_size=1, max_size=9).filter(any))
def test_weights_are_numbers_and_rare_classes_weigh_more(method, counts):
    weights = np.asarray(class_weights(counts, method))
    counts = np.asarray(counts)
    assert np.isfinite(weights).all()
    assert ((weights > 0) == (counts > 0)).all()
    if method != "median_frequency":
        assert weights[counts > 0].mean() == pytest.approx(1)
    order = np.argsort(counts[counts > 0])
    assert (np.diff(weights[counts > 0][order]) <= 1e-12).all()


@pytest.mark.parametrize("method", METHODS)
def test_equal_classes_weigh_one(method):
    np.testing.assert_allclose(class_weights([40, 40, 40], method), 1)
    np.testing.assert_allclose(class_weights([7], method), 1)


@pytest.mark.parametrize("method", METHODS)
def test_no_pixel_gives_no_weights(method):
    with pytest.raises(ValueError, match="no class has a pixel"):
        class_weights([0, 0], method)
