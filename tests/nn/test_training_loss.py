import numpy as np
import pytest
import torch
from target_blocks import IGNORE, blocks, naive_boundaries
from torch import nn

from geoseg.nn.architecture import Auxiliary
from geoseg.nn.boundaries import boundary_target
from geoseg.nn.losses import LossConfig, build_loss
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.pixel_losses import CrossEntropy
from geoseg.nn.training_loss import TrainingLoss, boundary_loss, sure_target

DETAIL = Auxiliary(name="detail", weight=0.4)
BOUNDARY = Auxiliary(name="boundary", weight=20.0, boundary=True)


def naive_cross_entropy(logits, target):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    logs = np.log(exponentials / exponentials.sum(axis=1, keepdims=True))
    places = np.nonzero(target != IGNORE)
    image, row, col = places
    losses = -logs[image, target[places], row, col]
    return losses.sum() / max(len(losses), 1)


def naive_boundary_loss(output, target):
    """The mean over labelled pixels of balanced binary cross-entropies."""
    labelled = target != IGNORE
    truth = naive_boundaries(target, IGNORE, 2)[labelled]
    probability = 1 / (1 + np.exp(-output[:, 0][labelled]))
    share = truth.mean()
    weights = np.where(truth, 1 - share, share)
    losses = -np.log(np.where(truth, probability, 1 - probability))
    return (weights * losses).mean()


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_the_boundary_loss_weighs_both_sides_alike(ignored):
    target = blocks(3, ignored=ignored)
    output = np.random.default_rng(1).normal(0, 2, (2, 1, 12, 20))
    found = boundary_loss(torch.from_numpy(output), torch.from_numpy(target), IGNORE)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(naive_boundary_loss(output, target), rel=1e-5)


@pytest.mark.parametrize("value", [0, IGNORE])
def test_without_a_boundary_the_boundary_loss_is_nought(value):
    output = torch.randn(2, 1, 8, 8, requires_grad=True)
    loss = boundary_loss(output, torch.full((2, 8, 8), value), IGNORE)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(output.grad, torch.zeros_like(output))


def test_a_perfect_boundary_costs_nothing():
    target = torch.from_numpy(blocks(0))
    truth = boundary_target(target, IGNORE)[:, None]
    sure = torch.where(truth, 50.0, -50.0)
    assert float(boundary_loss(sure, target, IGNORE)) < 1e-6
    assert float(boundary_loss(-sure, target, IGNORE)) > 1


def test_only_sure_boundaries_stay_in_the_target():
    target = torch.tensor([[[0, 1, 2, IGNORE]]], dtype=torch.uint8)
    probability = torch.tensor([[[[0.79, 0.81, 0.2, 0.99]]]])
    found = sure_target(probability.logit(), target, IGNORE)
    assert found.dtype == torch.uint8
    assert found.tolist() == [[[IGNORE, 1, IGNORE, IGNORE]]]


def test_logits_alone_have_their_own_loss():
    logits, target = torch.randn(2, 3, 12, 20), torch.from_numpy(blocks())
    loss = TrainingLoss(CrossEntropy(), (DETAIL, BOUNDARY))
    assert torch.equal(loss(logits, target), CrossEntropy()(logits, target))


def test_auxiliary_logits_add_their_loss_times_their_weight():
    rng = np.random.default_rng(0)
    target = blocks()
    outputs = [rng.normal(size=(2, 3, 12, 20)) for _ in range(3)]
    other = Auxiliary(name="other", weight=0.16)
    found = TrainingLoss(CrossEntropy(), (DETAIL, other))(
        tuple(map(torch.from_numpy, outputs)), torch.from_numpy(target)
    )
    main, detail, last = (naive_cross_entropy(logits, target) for logits in outputs)
    assert float(found) == pytest.approx(main + 0.4 * detail + 0.16 * last, rel=1e-5)


def test_a_given_weight_takes_the_place_of_the_papers_but_at_boundaries():
    rng = np.random.default_rng(0)
    target = torch.from_numpy(blocks())
    outputs = tuple(torch.from_numpy(rng.normal(size=(2, n, 12, 20))) for n in (3, 3, 1))
    heads = (DETAIL, BOUNDARY)
    plain = TrainingLoss(CrossEntropy(), heads)(outputs, target)
    for weight in (0.0, 0.7):
        found = TrainingLoss(CrossEntropy(), heads, aux_weight=weight)(outputs, target)
        expected = plain + (weight - 0.4) * CrossEntropy()(outputs[1], target)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_boundaries_add_their_loss_and_that_of_the_logits_on_them():
    rng = np.random.default_rng(0)
    target = blocks()
    logits, detail = (rng.normal(size=(2, 3, 12, 20)) for _ in range(2))
    boundary = rng.normal(0, 3, (2, 1, 12, 20))
    found = TrainingLoss(CrossEntropy(), (DETAIL, BOUNDARY))(
        tuple(map(torch.from_numpy, (logits, detail, boundary))), torch.from_numpy(target)
    )
    sure = 1 / (1 + np.exp(-boundary[:, 0])) > 0.8
    restricted = np.where(sure, target, IGNORE)
    assert 0 < (restricted != IGNORE).sum() < (target != IGNORE).sum()
    expected = (
        naive_cross_entropy(logits, target)
        + 0.4 * naive_cross_entropy(detail, target)
        + 20 * naive_boundary_loss(boundary, target)
        + naive_cross_entropy(logits, restricted)
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_another_ignore_index_is_minded():
    target = torch.from_numpy(blocks()).int()
    wide = target.where(target != IGNORE, 65535).to(torch.uint16)
    outputs = tuple(torch.randn(2, bands, 12, 20) for bands in (3, 3, 1))
    heads = (DETAIL, BOUNDARY)
    narrow_loss = TrainingLoss(CrossEntropy(), heads)(outputs, target)
    wide_loss = TrainingLoss(CrossEntropy(ignore=65535), heads, ignore=65535)(outputs, wide)
    torch.testing.assert_close(narrow_loss, wide_loss)


def test_a_target_without_a_label_or_a_boundary_is_no_harm():
    network = nn.Conv2d(3, 5, kernel_size=1)
    loss = TrainingLoss(build_loss(LossConfig(), classes=2), (DETAIL, BOUNDARY))
    for value in (1, IGNORE):
        outputs = network(torch.randn(2, 3, 8, 8)).split([2, 2, 1], dim=1)
        total = loss(outputs, torch.full((2, 8, 8), value, dtype=torch.uint8))
        total.backward()
        assert torch.isfinite(total)
        assert torch.isfinite(network.weight.grad).all()


def test_a_step_of_pidnet_teaches_every_parameter():
    spec = ModelSpec(arch="pidnet_s", in_channels=2, classes=3)
    network = build_model(spec).train()
    loss = TrainingLoss(
        build_loss(LossConfig(), classes=3, ignore=IGNORE), network.auxiliary, ignore=IGNORE
    )
    target = torch.from_numpy(np.kron(blocks(5)[:, :, :3], np.ones((1, 10, 10), dtype=np.uint8)))
    outputs = network(torch.randn(2, 2, *target.shape[1:]))
    loss(outputs, target).backward()
    # The biases of the stem are undone by the normalisation after them, but for rounding.
    learnt = {name: p.grad for name, p in network.named_parameters()}
    assert [name for name, grad in learnt.items() if grad is None] == []
    assert all(torch.isfinite(grad).all() for grad in learnt.values())
    dead = {name for name, grad in learnt.items() if not grad.any()}
    assert dead <= {"network.stem.0.bias", "network.stem.3.bias"}
