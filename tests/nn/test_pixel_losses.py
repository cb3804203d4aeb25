import numpy as np
import pytest
import torch
from loss_batches import IGNORE, labelled_pixels, make_batch, number, sigmoid, softmax
from sklearn.metrics import log_loss
from torch.nn import functional

from geoseg.nn.boundaries import boundary_distance
from geoseg.nn.pixel_losses import (
    BinaryCrossEntropy,
    BoundaryCrossEntropy,
    CrossEntropy,
    Focal,
    Ohem,
)

WEIGHTS = [None, [1.0, 2.0, 0.5], [0.0, 1.0, 3.0]]
LOSSES = {
    "cross_entropy": CrossEntropy,
    "smoothed": lambda *args: CrossEntropy(*args, label_smoothing=0.1),
    "binary": BinaryCrossEntropy,
    "focal": Focal,
    "focal 0.5": lambda *args: Focal(*args, gamma=0.5),
    "focal sigmoid": lambda *args: Focal(*args, sigmoid=True),
    "ohem": Ohem,
    "boundary": BoundaryCrossEntropy,
}


def as_tensor(weights):
    return None if weights is None else torch.tensor(weights)


def surprises(logits, target):
    """-log p of the class of each labelled pixel, and the classes."""
    values, classes = labelled_pixels(logits, target)
    return -np.log(softmax(values)[np.arange(len(classes)), classes]), classes


def weighted_mean(losses, classes, weights, factor=1.0):
    pixel_weights = np.asarray(weights or np.ones(classes.max() + 1))[classes] * factor
    return (losses * pixel_weights).sum() / pixel_weights.sum()


@pytest.mark.parametrize("weights", WEIGHTS)
def test_cross_entropy_is_that_of_scikit_learn(weights):
    logits, target = make_batch()
    values, classes = labelled_pixels(logits, target)
    sample_weight = None if weights is None else np.asarray(weights)[classes]
    expected = log_loss(classes, softmax(values), labels=[0, 1, 2], sample_weight=sample_weight)
    assert number(CrossEntropy(as_tensor(weights))(logits, target)) == pytest.approx(expected)


def test_cross_entropy_is_that_of_torch():
    logits, target = make_batch()
    weights = torch.tensor([1.0, 2.0, 0.5])
    expected = functional.cross_entropy(logits, target.long(), weights, ignore_index=IGNORE)
    assert number(CrossEntropy(weights)(logits, target)) == pytest.approx(number(expected))


@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_smoothed_labels_are_those_of_torch(smoothing):
    logits, target = make_batch()
    expected = functional.cross_entropy(
        logits, target.long(), ignore_index=IGNORE, label_smoothing=smoothing
    )
    found = CrossEntropy(label_smoothing=smoothing)(logits, target)
    assert number(found) == pytest.approx(number(expected))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_smoothed_labels_are_the_formula(weights):
    """Each pixel weighs what its class does, also where its truth is spread."""
    logits, target = make_batch()
    values, classes = labelled_pixels(logits, target)
    truth = 0.8 * np.eye(3)[classes] + 0.2 / 3
    losses = -(truth * np.log(softmax(values))).sum(1)
    found = CrossEntropy(as_tensor(weights), label_smoothing=0.2)(logits, target)
    assert number(found) == pytest.approx(weighted_mean(losses, classes, weights))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_binary_cross_entropy_is_the_formula(weights):
    logits, target = make_batch()
    values, classes = labelled_pixels(logits, target)
    truth = np.eye(3)[classes]
    probability = sigmoid(values)
    losses = -(truth * np.log(probability) + (1 - truth) * np.log(1 - probability)).mean(1)
    found = BinaryCrossEntropy(as_tensor(weights))(logits, target)
    assert number(found) == pytest.approx(weighted_mean(losses, classes, weights))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_focal_is_the_formula(weights, gamma):
    logits, target = make_batch()
    losses, classes = surprises(logits, target)
    losses = (1 - np.exp(-losses)) ** gamma * losses
    found = Focal(as_tensor(weights), gamma=gamma)(logits, target)
    assert number(found) == pytest.approx(weighted_mean(losses, classes, weights), rel=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_focal_of_sigmoids_is_the_formula(weights):
    logits, target = make_batch()
    values, classes = labelled_pixels(logits, target)
    probability = np.where(np.eye(3)[classes] == 1, sigmoid(values), 1 - sigmoid(values))
    losses = ((1 - probability) ** 2 * -np.log(probability)).mean(1)
    found = Focal(as_tensor(weights), sigmoid=True)(logits, target)
    assert number(found) == pytest.approx(weighted_mean(losses, classes, weights), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.3, 2.0])
def test_focal_of_sure_pixels_has_a_gradient(gamma):
    """(1 - p)^gamma alone has none at p = 1 for a gamma below 1."""
    logits = torch.tensor([[200.0, 40.0], [0.0, 0.0]])[None, :, None].requires_grad_()
    loss = Focal(gamma=gamma)(logits, torch.zeros(1, 1, 2, dtype=torch.uint8))
    loss.backward()
    assert number(loss) == pytest.approx(0, abs=1e-7)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(
    ("threshold", "min_share"), [(0.7, 0.05), (0.7, 1.0), (1e-9, 0.25), (1e-9, 1e-9), (0.3, 0.5)]
)
def test_ohem_keeps_the_hard_pixels(weights, threshold, min_share):
    logits, target = make_batch(shape=(2, 16, 17))
    losses, classes = surprises(logits, target)
    counts = np.ones(len(losses), bool) if weights is None else np.asarray(weights)[classes] > 0
    least = max(1, int(np.ceil(counts.sum() * min_share)))
    hardest = np.sort(losses[counts])[::-1][least - 1]
    kept = counts & ((np.exp(-losses) < threshold) | (losses >= hardest))
    assert kept.sum() >= least
    found = Ohem(as_tensor(weights), threshold=threshold, min_share=min_share)(logits, target)
    expected = weighted_mean(losses, classes, weights, kept)
    assert number(found) == pytest.approx(expected, rel=1e-5)


def test_ohem_gives_easy_pixels_no_gradient():
    logits, target = make_batch(shape=(2, 16, 17))
    Ohem(threshold=0.5, min_share=1e-3)(logits, target).backward()
    classes = target.long().where(target != IGNORE, 0)[:, None]
    probability = logits.softmax(1).gather(1, classes)[:, 0]
    learnt = logits.grad.abs().sum(1) > 0
    assert torch.equal(learnt, (probability < 0.5) & (target != IGNORE))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("strength", "sigma"), [(10.0, 5.0), (0.0, 1.0), (3.0, 0.8)])
def test_boundary_cross_entropy_is_the_formula(weights, strength, sigma):
    logits, target = make_batch(shape=(2, 9, 11), ignore_share=0.5)
    target[:, :, :5] = 1
    losses, classes = surprises(logits, target)
    factors = []
    for image, row, col in np.argwhere(target.numpy() != IGNORE):
        other = (target[image] != target[image, row, col]) & (target[image] != IGNORE)
        places = np.argwhere(other.numpy())
        d = np.abs(places - (row, col)).max(axis=1).min()
        near = np.exp(-(d**2) / (2 * sigma**2)) if d <= np.ceil(3 * sigma) else 0
        factors.append(1 + strength * near)
    found = BoundaryCrossEntropy(as_tensor(weights), strength=strength, sigma=sigma)
    expected = weighted_mean(losses, classes, weights, np.asarray(factors))
    assert number(found(logits, target)) == pytest.approx(expected, rel=1e-5)
    assert boundary_distance(target, IGNORE, reach=3).max() == 4


@pytest.mark.parametrize("name", LOSSES)
def test_one_class_costs_nothing_but_for_sigmoids(name):
    logits, target = make_batch(classes=1)
    found = number(LOSSES[name]()(logits, target))
    values = labelled_pixels(logits, target)[0]
    surprise = -np.log(sigmoid(values))
    expected = {"binary": surprise, "focal sigmoid": (1 - sigmoid(values)) ** 2 * surprise}
    assert found == pytest.approx(expected.get(name, np.zeros(1)).mean(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_classes_of_weight_zero_alone_give_no_loss(name):
    logits, target = make_batch()
    target[target != IGNORE] = 0
    loss = LOSSES[name](torch.tensor([0.0, 1.0, 1.0]))(logits, target)
    loss.backward()
    assert number(loss) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_one_size_change_nothing(name):
    logits, target = make_batch()
    same = LOSSES[name](torch.full((3,), 0.2))(logits, target)
    assert number(same) == pytest.approx(number(LOSSES[name]()(logits, target)), rel=1e-6)
