import logging
from typing import get_args

import pytest
import torch
from loss_batches import IGNORE, make_batch, number
from pydantic import TypeAdapter, ValidationError

from geoseg.errors import ConfigError
from geoseg.nn.class_weights import class_weights
from geoseg.nn.loss_terms import LossTerm
from geoseg.nn.losses import (
    LossConfig,
    build_loss,
    resolve_class_weights,
    tell_class_weights,
)
from geoseg.nn.pixel_losses import CrossEntropy
from geoseg.nn.region_losses import Dice

TERMS = {kind.model_fields["name"].default: kind for kind in get_args(get_args(LossTerm)[0])}
CASES = [(name, head) for name, kind in TERMS.items() for head in kind.heads]
WEIGHTED = {"cross_entropy", "binary_cross_entropy", "focal", "ohem", "boundary_cross_entropy"}
cases = pytest.mark.parametrize(("name", "head"), CASES)


def config_of(*names, **keys):
    return LossConfig(terms=[{"name": name} for name in names], **keys)


def loss_of(name, head, classes=3, **keys):
    return build_loss(config_of(name, activation=head, **keys), classes=classes)


def test_there_are_eleven_losses():
    assert set(TERMS) == WEIGHTED | {
        "dice", "generalised_dice", "tversky", "focal_tversky", "lovasz", "jaccard",
    }  # fmt: skip


@cases
@pytest.mark.parametrize("weights", ["none", (1.0, 2.0, 0.5)])
def test_ignored_pixels_change_nothing(name, head, weights):
    loss = loss_of(name, head, class_weights=weights)
    logits, target = make_batch()
    value = loss(logits, target)
    value.backward()
    ignored = (target == IGNORE)[:, None].expand_as(logits)
    assert (logits.grad[ignored] == 0).all()
    assert logits.grad[~ignored].abs().max() > 0
    other = torch.where(ignored, torch.full_like(logits, 50.0), logits.detach())
    assert number(loss(other, target)) == pytest.approx(number(value), abs=1e-6)


@cases
@pytest.mark.parametrize("weights", ["none", (1.0, 2.0, 3.0)])
def test_a_batch_without_labels_has_no_loss_and_no_gradient(name, head, weights):
    logits, target = make_batch(ignore_share=2.0)
    loss = loss_of(name, head, class_weights=weights)(logits, target)
    loss.backward()
    assert number(loss) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@cases
def test_a_batch_without_pixels_of_some_classes_is_a_number(name, head):
    logits, target = make_batch(5)
    target[target != IGNORE] = 4
    loss = loss_of(name, head, classes=5)(logits, target)
    loss.backward()
    assert number(loss) > 0
    assert torch.isfinite(logits.grad).all()


@cases
def test_gradients_are_right(name, head):
    """The slope along the gradient, by differences, is the gradient's length."""
    logits, target = make_batch(shape=(1, 6, 5))
    loss = loss_of(name, head)
    loss(logits, target).backward()
    along = logits.grad / logits.grad.norm()
    with torch.no_grad():
        slope = loss(logits + 5e-3 * along, target) - loss(logits - 5e-3 * along, target)
    assert number(slope) / 1e-2 == pytest.approx(number(logits.grad.norm()), rel=0.03)


@cases
def test_half_precision_logits_are_summed_in_float32(name, head):
    logits, target = make_batch(shape=(2, 64, 64))
    rounded = logits.detach().bfloat16()
    loss = loss_of(name, head)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(rounded, target)
    assert value.dtype == torch.float32
    assert number(value) == pytest.approx(number(loss(rounded.float(), target)), rel=1e-6)


@cases
def test_another_ignore_index_and_another_type(name, head):
    logits, target = make_batch()
    wide = target.int().where(target != IGNORE, 65535).to(torch.uint16)
    other = build_loss(config_of(name, activation=head), classes=3, ignore=65535)
    assert number(other(logits, wide)) == number(loss_of(name, head)(logits, target))


@cases
def test_the_device_is_never_asked_for_a_number(name, head):
    """Tensors without values do: neither Python's course nor a shape hangs on one."""
    logits, target = (each.detach().to("meta") for each in make_batch())
    loss = loss_of(name, head, class_weights=(1.0, 2.0, 0.5)).to("meta")
    assert loss(logits, target).shape == ()


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_a_sum_of_all_losses_can_be_compiled_as_one_graph(head):
    torch.compiler.reset()
    names = [name for name, own in CASES if own == head]
    config = config_of(*names, activation=head, class_weights=(1.0, 2.0, 0.5))
    loss = build_loss(config, classes=3)
    logits, target = make_batch()
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    assert number(compiled(logits, target)) == pytest.approx(number(loss(logits, target)))


@cases
def test_class_weights_count_in_means_over_pixels(name, head):
    logits, target = make_batch()
    plain = loss_of(name, head)(logits, target)
    weighted = loss_of(name, head, class_weights=(1.0, 0.1, 9.0))(logits, target)
    assert (number(weighted) != number(plain)) == (name in WEIGHTED)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("cross_entropy", {"label_smoothing": 0.3}),
        ("focal", {"gamma": 0.5}),
        ("tversky", {"alpha": 1.0}),
        ("tversky", {"beta": 0.0}),
        ("focal_tversky", {"alpha": 1.0}),
        ("focal_tversky", {"beta": 0.2}),
        ("focal_tversky", {"gamma": 2.0}),
        ("ohem", {"threshold": 0.1}),
        ("ohem", {"min_share": 1.0}),
        ("boundary_cross_entropy", {"strength": 1.0}),
        ("boundary_cross_entropy", {"sigma": 1.0}),
    ],
)
def test_every_key_of_a_term_reaches_its_loss(name, keys):
    logits, target = make_batch(ignore_share=0.6)
    plain, changed = (
        build_loss(LossConfig(terms=[{"name": name, **own}]), classes=3)(logits, target)
        for own in ({}, keys)
    )
    assert number(changed) != pytest.approx(number(plain), rel=1e-3)


def test_the_sum_is_weighted_and_told_by_part():
    logits, target = make_batch()
    terms = [{"name": "cross_entropy", "weight": 0.25}, {"name": "dice", "weight": 3.0}]
    loss = build_loss(LossConfig(terms=terms), classes=3)
    expected = 0.25 * CrossEntropy()(logits, target) + 3 * Dice()(logits, target)
    assert number(loss(logits, target)) == pytest.approx(number(expected))
    assert list(loss.parts(logits, target)) == ["cross_entropy", "dice"]


def test_the_head_is_a_sigmoid_where_a_term_wants_one():
    assert LossConfig().head == "softmax"
    assert config_of("binary_cross_entropy", "dice").head == "sigmoid"
    assert config_of("dice", activation="sigmoid").head == "sigmoid"


@pytest.mark.parametrize("name", [name for name, kind in TERMS.items() if len(kind.heads) == 1])
def test_terms_of_another_head_are_refused(name):
    [own] = TERMS[name].heads
    other = "softmax" if own == "sigmoid" else "sigmoid"
    with pytest.raises(ValidationError, match=f"activation is {other}, {name} is of a {own}"):
        config_of(name, activation=other)
    if own == "softmax":
        with pytest.raises(ValidationError, match=name):
            config_of("binary_cross_entropy", name)


def test_class_weights_are_given_or_computed():
    assert resolve_class_weights(LossConfig(), classes=2) is None
    given = LossConfig(class_weights=(1.0, 0.0))
    assert resolve_class_weights(given, classes=2) == (1, 0)
    for method in ("inverse", "inverse_sqrt", "inverse_log", "median_frequency"):
        found = resolve_class_weights(
            LossConfig(class_weights=method), classes=2, class_pixels=(90, 10)
        )
        assert found == class_weights((90, 10), method)
    effective = LossConfig(class_weights="effective_number", effective_beta=0.9)
    found = resolve_class_weights(effective, classes=2, class_pixels=(90, 10))
    assert found == class_weights((90, 10), "effective_number", beta=0.9)


def test_computed_weights_reach_the_loss():
    logits, target = make_batch()
    config = LossConfig(terms=[{"name": "cross_entropy"}], class_weights="inverse")
    found = build_loss(config, classes=3, class_pixels=(60, 30, 10))(logits, target)
    expected = CrossEntropy(torch.tensor([1 / 6, 1 / 3, 1.0]))(logits, target)
    assert number(found) == pytest.approx(number(expected))


def test_classes_without_a_pixel_are_named(caplog):
    with caplog.at_level(logging.INFO):
        names = ("ground", "roof", "water", "clouds")
        tell_class_weights((0.5, 0.0, 1.5, 0.0), names, (60, 0, 20, 9))
    assert "class weights: ground 0.5, roof 0, water 1.5, clouds 0" in caplog.text
    [warning] = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "was counted: roof; where" in warning.getMessage()


def test_wrong_configurations_are_refused():
    with pytest.raises(ConfigError, match="twice"):
        build_loss(config_of("dice", "dice"), classes=3)
    with pytest.raises(ConfigError, match="2 weights for 3 classes"):
        build_loss(LossConfig(class_weights=(1.0, 2.0)), classes=3)
    for weights in ((1.0, -1.0), (0.0, 0.0), (1.0, float("inf"))):
        with pytest.raises(ConfigError, match="0 or more"):
            build_loss(LossConfig(class_weights=weights), classes=2)
    for pixels in (None, (0, 0)):
        with pytest.raises(ConfigError, match="'inverse' needs labelled pixels"):
            build_loss(LossConfig(class_weights="inverse"), classes=2, class_pixels=pixels)
    with pytest.raises(ValidationError):
        LossConfig(terms=())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "hinge"},
        {"name": "dice", "weight": 0},
        {"name": "dice", "w": 1},
        {"name": "dice", "gamma": 1},
        {"name": "focal", "gamma": -1},
        {"name": "cross_entropy", "label_smoothing": 1},
        {"name": "ohem", "threshold": 0},
        {"name": "tversky", "alpha": 0, "beta": 0},
        {"name": "focal_tversky", "gamma": 0},
        {"name": "boundary_cross_entropy", "sigma": 0},
        {"weight": 1.0},
    ],
)
def test_wrong_terms_are_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(LossTerm).validate_python(wrong)
