import numpy as np
import pytest
import torch
from torch import nn

from geoseg.nn.architecture import Auxiliary
from geoseg.nn.boundaries import boundary_target
from geoseg.nn.losses import LossConfig, build_loss
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.pixel_losses import CrossEntropy
from geoseg.nn.training_loss import TrainingLoss, boundary_loss, sure_target

IGNORE = 255
DETAIL = Auxiliary(name="detail", weight=0.4)
BOUNDARY = Auxiliary(name="boundary", weight=20.0, boundary=True)


def blocks(seed=0, classes=3, ignored=0.2):
    """(2, 12, 20) of blocks of 4 pixels, of which some are ignored, as are single pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (2, 3, 5))
    coarse[rng.random(coarse.shape) < ignored] = IGNORE
    target = np.kron(coarse, np.ones((1, 4, 4), dtype=int))
    target[rng.random(target.shape) < ignored / 4] = IGNORE
    return target.astype(np.uint8)


def naive_boundaries(target, ignore, reach):
    """Pixel by pixel: whether the labelled ones around it are of two classes."""
    found = np.zeros(target.shape, dtype=bool)
    for image, row, col in np.ndindex(target.shape):
        rows = slice(max(row - reach, 0), row + reach + 1)
        cols = slice(max(col - reach, 0), col + reach + 1)
        around = set(target[image, rows, cols].ravel().tolist()) - {ignore}
        found[image, row, col] = target[image, row, col] != ignore and len(around) > 1
    return found


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


@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_boundaries_are_where_classes_meet(seed, reach):
    target = blocks(seed)
    found = boundary_target(torch.from_numpy(target), IGNORE, reach=reach)
    expected = naive_boundaries(target, IGNORE, reach)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_a_straight_boundary_is_four_pixels_wide(dtype):
    """The authors' edges, one pixel wide, are dilated by a square of four."""
    target = torch.zeros(1, 6, 12, dtype=dtype)
    target[..., 5:] = 7
    found = boundary_target(target, IGNORE)
    expected = torch.zeros(1, 6, 12, dtype=torch.bool)
    expected[..., 3:7] = True
    assert torch.equal(found, expected)


def test_the_rim_of_what_is_ignored_is_no_boundary():
    target = torch.zeros(1, 8, 8, dtype=torch.uint8)
    target[:, 2:5, 2:5] = IGNORE
    assert not boundary_target(target, IGNORE).any()
    assert not boundary_target(torch.full((1, 8, 8), IGNORE), IGNORE).any()
    wide = target.int().where(target == 0, 65535)
    assert not boundary_target(wide, 65535).any()


def test_classes_parted_by_an_ignored_line_have_a_boundary():
    target = torch.zeros(1, 1, 9, dtype=torch.int64)
    target[..., 5:] = 1
    target[..., 4] = IGNORE
    found = boundary_target(target, IGNORE)[0, 0].int().tolist()
    assert found == [0, 0, 0, 1, 0, 1, 0, 0, 0]


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
