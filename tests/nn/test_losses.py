import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from pydantic import ValidationError

from geoseg.errors import ConfigError
from geoseg.nn.losses import CrossEntropy, Dice, LossConfig, LossTerm, build_loss


def make_batch(classes=3, ignore_share=0.3, seed=0, shape=(2, 5, 7)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape[0], classes, *shape[1:], generator=generator)
    target = torch.randint(classes, shape, generator=generator)
    ignored = torch.rand(shape, generator=generator) < ignore_share
    return logits.requires_grad_(), target.masked_fill(ignored, 255).to(torch.uint8)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def numpy_cross_entropy(logits, target, weights):
    probability, total, amount = softmax(logits.astype(np.float64)), 0.0, 0.0
    for n, row, col in np.argwhere(target != 255):
        label = target[n, row, col]
        total -= weights[label] * np.log(probability[n, label, row, col])
        amount += weights[label]
    return total / amount


def numpy_dice(logits, target):
    probability, terms = softmax(logits.astype(np.float64)), []
    seen = target != 255
    for label in range(logits.shape[1]):
        truth = target == label
        if truth.any():
            p = probability[:, label]
            terms.append(1 - 2 * p[truth].sum() / (p[seen].sum() + truth.sum()))
    return np.mean(terms)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5], [0.0, 1.0, 1.0]])
def test_cross_entropy_is_the_formula(weights):
    logits, target = make_batch()
    loss = CrossEntropy(None if weights is None else torch.tensor(weights))
    expected = numpy_cross_entropy(logits.detach().numpy(), target.numpy(), weights or [1, 1, 1])
    assert loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_dice_is_the_formula(classes):
    logits, target = make_batch(classes)
    expected = numpy_dice(logits.detach().numpy(), target.numpy())
    assert Dice()(logits, target).item() == pytest.approx(expected, abs=1e-6)


def test_dice_is_that_of_segmentation_models_pytorch_where_all_classes_are_there():
    logits, target = make_batch(seed=3)
    other = smp.losses.DiceLoss("multiclass", ignore_index=255)
    assert Dice()(logits, target).item() == pytest.approx(other(logits, target.long()).item())


def test_dice_leaves_out_classes_that_the_target_lacks():
    logits, target = make_batch(4)
    target[target == 3] = 0
    expected = numpy_dice(logits.detach().numpy(), target.numpy())
    assert Dice()(logits, target).item() == pytest.approx(expected, abs=1e-6)


def test_dice_of_a_perfect_prediction_is_zero():
    _, target = make_batch(3)
    one_hot = torch.nn.functional.one_hot(target.long().clamp(max=2), 3).movedim(-1, 1)
    assert Dice()(one_hot * 100.0, target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "dice"])
def test_ignored_pixels_change_nothing(name):
    loss = build_loss(LossConfig(terms=(LossTerm(name=name),)), classes=3)
    logits, target = make_batch()
    value = loss(logits, target)
    value.backward()
    ignored = (target == 255)[:, None].expand_as(logits)
    assert (logits.grad[ignored] == 0).all()
    assert logits.grad[~ignored].abs().max() > 0
    other = torch.where(ignored, torch.full_like(logits, 50.0), logits.detach())
    assert loss(other, target).item() == pytest.approx(value.item(), abs=1e-6)


@pytest.mark.parametrize("class_weights", ["none", (1.0, 2.0, 3.0)])
def test_a_batch_without_labels_has_no_loss_and_no_gradient(class_weights):
    logits, target = make_batch(ignore_share=2.0)
    loss = build_loss(LossConfig(class_weights=class_weights), classes=3)(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_labels_of_weight_zero_alone_give_no_loss():
    logits, target = make_batch()
    target[target != 255] = 0
    loss = CrossEntropy(torch.tensor([0.0, 1.0, 1.0]))(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(logits.grad).all()


def test_gradients_are_right():
    logits, target = make_batch(shape=(1, 3, 2))
    loss = build_loss(LossConfig(), classes=3)
    loss(logits, target).backward()
    step = torch.zeros_like(logits)
    step[0, 1, 1, 1] = 1e-2
    with torch.no_grad():
        slope = (loss(logits + step, target) - loss(logits - step, target)) / 2e-2
    assert logits.grad[0, 1, 1, 1].item() == pytest.approx(slope.item(), abs=1e-4)


def test_the_sum_is_weighted_and_told_by_part():
    logits, target = make_batch()
    terms = (LossTerm(name="cross_entropy", weight=0.25), LossTerm(name="dice", weight=3.0))
    loss = build_loss(LossConfig(terms=terms), classes=3)
    expected = 0.25 * CrossEntropy()(logits, target) + 3 * Dice()(logits, target)
    assert loss(logits, target).item() == pytest.approx(expected.item())
    assert list(loss.parts(logits, target)) == ["cross_entropy", "dice"]


def test_half_precision_logits_are_summed_in_float32():
    logits, target = make_batch(shape=(2, 64, 64))
    loss = build_loss(LossConfig(), classes=3)
    value = loss(logits.detach().bfloat16(), target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits, target).item(), rel=1e-2)


def test_another_ignore_index():
    logits, target = make_batch(ignore_share=0)
    loss = build_loss(LossConfig(), classes=3, ignore=65535)
    marked = target.int().masked_fill(target == 0, 65535)
    plain = build_loss(LossConfig(), classes=3)
    expected = plain(logits, target.masked_fill(target == 0, 255))
    assert loss(logits, marked).item() == pytest.approx(expected.item())


def test_wrong_configurations_are_refused():
    twice = LossConfig(terms=(LossTerm(name="dice"), LossTerm(name="dice")))
    with pytest.raises(ConfigError, match="twice"):
        build_loss(twice, classes=3)
    with pytest.raises(ConfigError, match="2 weights for 3 classes"):
        build_loss(LossConfig(class_weights=(1.0, 2.0)), classes=3)
    with pytest.raises(ConfigError, match="0 or more"):
        build_loss(LossConfig(class_weights=(1.0, -1.0)), classes=2)
    for wrong in ({"name": "hinge"}, {"name": "dice", "weight": 0}, {"name": "dice", "w": 1}):
        with pytest.raises(ValidationError):
            LossTerm.model_validate(wrong)
    with pytest.raises(ValidationError):
        LossConfig(terms=())
