"""Optimisers: each of torch's by name, and which parameters decay and at which rate."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from geoseg.errors import ConfigError
from geoseg.nn.config import dump_config, load_config, parse_config
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.optim import OPTIMIZERS, OptimizerConfig, build_optimizer
from geoseg.nn.padam import Padam


def walk(make, steps=6):
    """Weights of a small network after steps down a fixed loss."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1))
    image = torch.randn(4, 2, 6, 6)
    optimizer = make(network)
    for _ in range(steps):
        optimizer.zero_grad()
        network(image).square().mean().backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(network.parameters()).detach()


def group_of(optimizer, parameter):
    (found,) = [g for g in optimizer.param_groups if any(p is parameter for p in g["params"])]
    return found


# --- by name ---------------------------------------------------------------------------------


def test_the_common_ones_and_all_of_torch():
    theirs = {n.lower() for n in torch.optim.__dict__ if n[:1].isupper()} - {"optimizer"}
    assert set(OPTIMIZERS) == {*theirs, "padam"} - {"lbfgs", "sparseadam", "muon"}
    assert OPTIMIZERS["adamw"] is AdamW and OPTIMIZERS["padam"] is Padam


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_trains(name):
    started = walk(lambda network: SGD(network.parameters(), 0.0), 1)
    moved = walk(lambda network: build_optimizer(network, OptimizerConfig(name=name, lr=0.01)))
    assert moved.isfinite().all()
    assert not moved.equal(started)


DECAYED = {
    "adamw": lambda p: AdamW(p, 0.01, weight_decay=0.01),
    "adam": lambda p: Adam(p, 0.01),
    "sgd": lambda p: SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "rmsprop": lambda p: RMSprop(p, 0.01),
}


@pytest.mark.parametrize("name", DECAYED)
def test_defaults(name):
    config = OptimizerConfig(name=name, lr=0.01, decay_norms=True)
    found = walk(lambda network: build_optimizer(network, config))
    assert found.equal(walk(lambda network: DECAYED[name](network.parameters())))


OPTIONED = {
    "Adam": (
        {"momentum": 0.8, "weight_decay": 0.2, "options": {"amsgrad": True, "eps": 1e-3}},
        lambda p: Adam(p, 0.01, (0.8, 0.999), 1e-3, 0.2, amsgrad=True),
    ),
    "RMSprop": (
        {"momentum": 0.5, "options": {"centered": True, "alpha": 0.9}},
        lambda p: RMSprop(p, 0.01, 0.9, momentum=0.5, centered=True),
    ),
    "SGD": (
        {"momentum": 0.8, "options": {"nesterov": False}},
        lambda p: SGD(p, 0.01, 0.8, weight_decay=1e-4),
    ),
    "sgd": (
        {"options": {"dampening": 0.1, "momentum": 0.7}, "weight_decay": 0.0},
        lambda p: SGD(p, 0.01, 0.7, 0.1),
    ),
    "nadam": (
        {"options": {"betas": [0.7, 0.9]}},
        lambda p: torch.optim.NAdam(p, 0.01, (0.7, 0.9)),
    ),
    "padam": (
        {"momentum": 0.7, "options": {"partial": 0.125}},
        lambda p: Padam(p, 0.01, (0.7, 0.999), partial=0.125),
    ),
}


@pytest.mark.parametrize("name", OPTIONED)
def test_options(name):
    tables, make = OPTIONED[name]
    config = OptimizerConfig(name=name, lr=0.01, decay_norms=True, **tables)
    found = walk(lambda network: build_optimizer(network, config))
    assert found.equal(walk(lambda network: make(network.parameters())))
    plain = OptimizerConfig(name=name, lr=0.01, decay_norms=True)
    assert not found.equal(walk(lambda network: build_optimizer(network, plain)))


def test_a_step_of_sgd_is_the_formula():
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    sgd = build_optimizer(layer, OptimizerConfig(name="sgd", lr=0.1, weight_decay=0.0))
    (layer.weight**2).sum().backward()
    sgd.step()
    # Nesterov's first step: lr * (gradient + momentum * gradient)
    assert layer.weight.item() == pytest.approx(2.0 - 0.1 * (4.0 + 0.9 * 4.0))


def test_a_configuration_is_written_and_read(tmp_path):
    tables = {"name": "NAdam", "momentum": 0.8, "options": {"eps": 1e-7}, "clip_norm": 1.0}
    schedule = {"name": "drops", "drops": [[0.3, 0.5], [0.6, 0.1]], "warmup": 0.1}
    config = parse_config({"data": {"tiles": ["/t"]}, "optimizer": tables, "schedule": schedule})
    (tmp_path / "c.toml").write_text(dump_config(config))
    assert load_config(tmp_path / "c.toml") == config
    assert config.optimizer.name == "nadam"


# --- groups ----------------------------------------------------------------------------------


def unet():
    return build_model(ModelSpec(arch="unet", encoder="resnet18", in_channels=2, classes=3))


def test_norms_and_biases_do_not_decay():
    network = unet()
    optimizer = build_optimizer(network, OptimizerConfig(weight_decay=0.3))
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    convolutions = {
        id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    }
    assert decayed == convolutions
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(network.parameters()))
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.3, 0.0}


def test_layer_norms_and_position_tables():
    """A normalisation over two axes has weights of two axes; it does not decay either."""
    network = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm((2, 4)), nn.GroupNorm(1, 4))
    optimizer = build_optimizer(network, OptimizerConfig(weight_decay=0.3))
    assert group_of(optimizer, network[0].weight)["weight_decay"] == 0.3
    for plain in (network[0].bias, network[1].weight, network[1].bias, network[2].weight):
        assert group_of(optimizer, plain)["weight_decay"] == 0


def test_a_lower_rate_for_the_encoder():
    network = unet()
    config = OptimizerConfig(lr=0.01, encoder_lr_factor=0.1, decay_norms=True)
    optimizer = build_optimizer(network, config)
    encoder = {id(p) for p in network.encoder.parameters()}
    for group in optimizer.param_groups:
        inside = {id(p) in encoder for p in group["params"]}
        assert len(inside) == 1
        assert group["lr"] == pytest.approx(0.001 if inside == {True} else 0.01)
    assert optimizer.param_groups[0]["lr"] == 0.01  # what the log tells
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(network.parameters()))


def test_a_rate_for_an_encoder_that_is_not_there():
    network = build_model(ModelSpec(arch="linear", in_channels=2, classes=2))
    with pytest.raises(ConfigError, match=r"encoder_lr_factor: linear has no encoder"):
        build_optimizer(network, OptimizerConfig(encoder_lr_factor=0.1))
    build_optimizer(network, OptimizerConfig())


def test_what_is_frozen_is_left_out():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    optimizer = build_optimizer(layer, OptimizerConfig())
    assert [len(g["params"]) for g in optimizer.param_groups] == [1]
    layer.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing is left to train"):
        build_optimizer(layer, OptimizerConfig())


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "adan"}, r"unknown optimizer\. The choices are: adamw, sgd, adam, rmsprop, pad"),
        ({"name": "LBFGS"}, r"several times a step\. The choices are"),
        ({"name": "muon"}, "matrices only"),
        ({"name": "adam", "options": {"amsgrd": True}}, "it takes betas, eps, amsgrad"),
        ({"name": "sgd", "options": {"alpha": 1}}, "alpha is not taken by sgd; it takes momentum"),
        ({"name": "adam", "options": {"lr": 1}}, r"set optimizer\.lr"),
        ({"name": "adam", "options": {"amsgrad": "yes"}}, "amsgrad is true or false"),
        ({"name": "adam", "options": {"eps": -1}}, "adam refuses its options: .*epsilon"),
        ({"name": "adam", "options": {"eps": "x"}}, "adam refuses its options"),
        ({"name": "adam", "options": {"betas": [0.9]}}, "betas is a list of 2 numbers"),
        ({"name": "adam", "options": {"betas": [0.9, 0.99, 0.9]}}, "betas is a list of 2 numbers"),
        ({"name": "adam", "options": {"betas": ["a", "b"]}}, "adam refuses its options"),
        ({"name": "adam", "options": {"foreach": "no"}}, "foreach is true or false"),
        ({"name": "adam", "options": {"fused": 1}}, "fused is true or false"),
        ({"name": "rprop", "options": {"step_sizes": ["a", "b"]}}, "rprop refuses its options"),
        ({"name": "asgd", "options": {"t0": "x"}}, "asgd refuses its options"),
        ({"name": "sgd", "options": {"dampening": "x"}}, "sgd refuses its options"),
        ({"name": "sgd", "options": {"momentum": 1e308}}, "sgd refuses its options"),
        ({"name": "padam", "options": {"eps": math.nan}}, "padam refuses its options"),
        ({"name": "sgd", "options": {"maximize": True}}, "maximize is not taken"),
        ({"name": "rprop", "weight_decay": 0.1}, "rprop has no weight_decay"),
        ({"name": "rprop", "momentum": 0.1}, "rprop has no momentum"),
        ({"momentum": 0.8, "options": {"betas": [0.9, 0.99]}}, "either in"),
        ({"lr": 0}, "greater than 0"),
        ({"lr": math.inf}, "finite"),
        ({"rate": 1}, "rate"),
        ({"momentum": 1}, "less than 1"),
        ({"clip_norm": 0}, "greater than 0"),
        ({"encoder_lr_factor": 0}, "greater than 0"),
        ({"encoder_lr_factor": 1e308}, "less than or equal"),
    ],
)
def test_wrong_values_are_refused(wrong, told):
    with pytest.raises(ValidationError, match=told):
        OptimizerConfig.model_validate(wrong)


def test_a_wrong_name_is_told_in_one_line():
    with pytest.raises(ConfigError, match=r"^config: optimizer\.name = 'adan': .*rmsprop"):
        parse_config({"data": {"tiles": ["t"]}, "optimizer": {"name": "adan"}})
    with pytest.raises(ConfigError, match=r"^config: schedule\.name = 'stp': .*'one_cycle'"):
        parse_config({"data": {"tiles": ["t"]}, "schedule": {"name": "stp"}})
