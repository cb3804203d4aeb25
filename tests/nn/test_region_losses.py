import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from loss_batches import IGNORE, labelled_pixels, make_batch, number, sigmoid, softmax

from geoseg.nn.region_losses import Dice, GeneralisedDice, Jaccard, LovaszSoftmax, Tversky

SMP = {
    "dice": (Dice(), smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)),
    "jaccard": (Jaccard(), smp.losses.JaccardLoss("multiclass")),
    "tversky": (
        Tversky(alpha=0.2, beta=0.9),
        smp.losses.TverskyLoss("multiclass", alpha=0.2, beta=0.9, ignore_index=IGNORE),
    ),
    "lovasz": (LovaszSoftmax(), smp.losses.LovaszLoss("multiclass", ignore_index=IGNORE)),
}
LOSSES = {
    "dice": Dice,
    "generalised": GeneralisedDice,
    "tversky": Tversky,
    "focal_tversky": lambda *args: Tversky(*args, gamma=4 / 3),
    "jaccard": Jaccard,
    "lovasz": LovaszSoftmax,
}


def counts(logits, target, activation=softmax):
    """Per class: sums of p t, p and t over labelled pixels."""
    values, classes = labelled_pixels(logits, target)
    probability, truth = activation(values), np.eye(values.shape[1])[classes]
    return (probability * truth).sum(0), probability.sum(0), truth.sum(0)


def expected_dice(common, predicted, pixels):
    with np.errstate(invalid="ignore"):
        return (1 - 2 * common / (predicted + pixels))[pixels > 0].mean()


def expected_jaccard(common, predicted, pixels):
    return (1 - common / (predicted + pixels - common))[pixels > 0].mean()


def expected_tversky(common, predicted, pixels, gamma=1.0):
    wrong, missed = predicted - common, pixels - common
    index = common / (common + 0.3 * wrong + 0.7 * missed)
    return ((1 - index) ** (1 / gamma))[pixels > 0].mean()


def expected_generalised(common, predicted, pixels):
    there = pixels > 0
    weights = 1 / pixels[there] ** 2
    whole = (weights * (predicted + pixels)[there]).sum()
    return 1 - 2 * (weights * common[there]).sum() / whole


FORMULAS = {
    "dice": expected_dice,
    "jaccard": expected_jaccard,
    "tversky": expected_tversky,
    "focal_tversky": lambda *sums: expected_tversky(*sums, gamma=4 / 3),
    "generalised": expected_generalised,
}


def naive_lovasz(logits, target):
    """1 - IoU as a set function, on ever larger sets of wrong pixels."""
    values, classes = labelled_pixels(logits, target)
    probability, losses = softmax(values), []
    for label in set(classes.tolist()):
        truth = classes == label
        errors = np.abs(truth - probability[:, label])
        loss, before = 0.0, 0.0
        for size in range(1, len(errors) + 1):
            order = np.argsort(-errors)
            wrong = np.zeros(len(errors), bool)
            wrong[order[:size]] = True
            found = truth ^ wrong
            jaccard = 1 - (found & truth).sum() / (truth | wrong).sum()
            loss += errors[order[size - 1]] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return np.mean(losses)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_losses_of_a_softmax_are_their_formulas(name, classes):
    logits, target = make_batch(classes)
    expected = FORMULAS[name](*counts(logits, target))
    # The power has a steep slope at 0, where a sum of float32 is 1e-7 off.
    assert number(LOSSES[name]()(logits, target)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("classes", [1, 3])
def test_losses_of_sigmoids_are_their_formulas(name, classes):
    logits, target = make_batch(classes)
    gamma = {"gamma": 4 / 3} if name == "focal_tversky" else {}
    kind = Tversky if name == "focal_tversky" else LOSSES[name]
    expected = FORMULAS[name](*counts(logits, target, sigmoid))
    assert number(kind(sigmoid=True, **gamma)(logits, target)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_lovasz_is_the_extension_of_the_jaccard_loss(classes):
    logits, target = make_batch(classes, shape=(2, 6, 5))
    expected = naive_lovasz(logits, target)
    assert number(LovaszSoftmax()(logits, target)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_lovasz_of_sure_answers_is_one_minus_iou():
    generator = torch.Generator().manual_seed(3)
    found, target = (torch.randint(3, (2, 8, 8), generator=generator) for _ in range(2))
    logits = 100.0 * torch.nn.functional.one_hot(found, 3).movedim(-1, 1)
    lacking = [
        1 - float(((found == c) & (target == c)).sum() / ((found == c) | (target == c)).sum())
        for c in range(3)
    ]
    assert number(LovaszSoftmax()(logits, target)) == pytest.approx(np.mean(lacking))


@pytest.mark.parametrize("name", SMP)
def test_losses_are_those_of_segmentation_models_pytorch_where_all_classes_are_there(name):
    ours, theirs = SMP[name]
    logits, target = make_batch(ignore_share=0 if name == "jaccard" else 0.3, seed=3)
    other = logits.detach().clone().requires_grad_()
    loss, expected = ours(logits, target), theirs(other, target.long())
    loss.backward()
    expected.backward()
    assert number(loss) == pytest.approx(number(expected), rel=1e-5)
    torch.testing.assert_close(logits.grad, other.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_classes_that_the_target_lacks_take_no_part(name):
    logits, target = make_batch(4)
    target[target == 3] = 0
    formula = FORMULAS.get(name)
    expected = formula(*counts(logits, target)) if formula else naive_lovasz(logits, target)
    assert number(LOSSES[name]()(logits, target)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_costs_nothing(name):
    _, target = make_batch(3)
    one_hot = torch.nn.functional.one_hot(target.long().clamp(max=2), 3).movedim(-1, 1)
    logits = (one_hot * 100.0).requires_grad_()
    loss = LOSSES[name]()(logits, target)
    loss.backward()
    assert number(loss) == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_class_that_is_missed_wholly_has_a_finite_gradient(name):
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 0] = 300.0
    logits.requires_grad_()
    loss = LOSSES[name]()(logits, torch.ones(1, 4, 4, dtype=torch.uint8))
    loss.backward()
    assert number(loss) == pytest.approx(1)
    assert torch.isfinite(logits.grad).all()


def test_lovasz_of_many_pixels_keeps_its_digits():
    """Differences of neighbouring IoUs lose most of float32's digits among a million pixels."""
    logits, target = make_batch(2, shape=(1, 1024, 1024))
    values, classes = labelled_pixels(logits, target)
    losses = []
    for label in (0, 1):
        truth = classes == label
        errors = np.abs(truth - softmax(values)[:, label])
        order = np.argsort(-errors, kind="stable")
        met = truth.sum() - truth[order].cumsum()
        jaccard = 1 - met / (truth.sum() + (~truth[order]).cumsum())
        losses.append((errors[order] * np.diff(jaccard, prepend=0)).sum())
    assert number(LovaszSoftmax()(logits, target)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_generalised_dice_of_many_pixels_is_a_number():
    logits, target = make_batch(2, shape=(1, 1500, 1500), ignore_share=0)
    target[...] = 0
    target[0, 0, 0] = 1
    expected = expected_generalised(*counts(logits, target))
    assert number(GeneralisedDice()(logits, target)) == pytest.approx(expected, abs=1e-4)
