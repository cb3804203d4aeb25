"""Padam against a recursion in numpy, and at its two ends against torch."""

import numpy as np
import pytest
import torch

from geoseg.nn.padam import Padam

LR, BETAS, EPS = 0.05, (0.8, 0.9), 1e-6


def gradients(steps=12, seed=0):
    """That shrink with time, so that the largest second moment is not the last."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(steps, 5)) / np.arange(1, steps + 1)[:, None]


def walk(make, start, grads):
    weight = torch.nn.Parameter(torch.tensor(start))
    optimizer = make([weight])
    for grad in grads:
        weight.grad = torch.tensor(grad)
        optimizer.step()
    return weight.detach().numpy()


def recursion(start, grads, partial, decay, amsgrad):
    x, m, v, u = start.copy(), 0.0, 0.0, 0.0
    for t, g in enumerate(grads, start=1):
        g = g + decay * x
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g * g
        u = np.maximum(u, v) if amsgrad else v
        rate = LR * np.sqrt(1 - BETAS[1] ** t) / (1 - BETAS[0] ** t)
        x = x - rate * m / (np.sqrt(u) + EPS) ** (2 * partial)
    return x


@pytest.mark.parametrize("partial", [0.5, 0.25, 0.125, 0.0, -0.25])
@pytest.mark.parametrize("amsgrad", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_recursion(partial, amsgrad, decay):
    start = np.linspace(-1, 1, 5)
    found = walk(
        lambda p: Padam(p, LR, BETAS, EPS, decay, partial=partial, amsgrad=amsgrad),
        start, gradients(),
    )  # fmt: skip
    expected = recursion(start, gradients(), partial, decay, amsgrad)
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-14)
    other = recursion(start, gradients(), partial, decay, not amsgrad)
    assert partial == 0 or not np.allclose(expected, other)  # the two differ on these gradients


def test_half_is_amsgrad():
    start = np.linspace(-1, 1, 5)
    found = walk(lambda p: Padam(p, LR, BETAS, 0.0, 0.1, partial=0.5), start, gradients())
    amsgrad = walk(
        lambda p: torch.optim.Adam(p, LR, BETAS, 0.0, 0.1, amsgrad=True), start, gradients()
    )
    assert np.allclose(found, amsgrad, rtol=1e-12)


def test_what_has_no_gradient_stays():
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    padam = Padam(weights, weight_decay=0.5)
    weights[0].grad = torch.ones(2)
    padam.step()
    assert weights[1].equal(torch.ones(2))
    assert (weights[0] < 1).all()


def test_it_goes_on_from_its_state():
    start, grads = np.linspace(-1, 1, 5), gradients()
    whole = walk(lambda p: Padam(p, LR, BETAS, EPS), start, grads)
    weight = torch.nn.Parameter(torch.tensor(start))
    first = Padam([weight], LR, BETAS, EPS)
    for grad in grads[:5]:
        weight.grad = torch.tensor(grad)
        first.step()
    second = Padam([weight], 1.0)
    second.load_state_dict(first.state_dict())
    for grad in grads[5:]:
        weight.grad = torch.tensor(grad)
        second.step()
    assert np.array_equal(weight.detach().numpy(), whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"partial": 0.6},
        {"partial": float("nan")},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, 0.9, 0.9)},
        {"eps": -1.0},
        {"eps": float("nan")},
    ],
)
def test_values_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"must"):
        Padam([torch.nn.Parameter(torch.ones(1))], **wrong)
