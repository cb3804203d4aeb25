import math

import pytest
import torch
from pydantic import ValidationError
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, PolynomialLR

from geoseg.nn.optim import (
    OptimizerConfig,
    ScheduleConfig,
    build_optimizer,
    build_schedule,
    schedule_factor,
)


def rates(config, total, steps=None, lr=0.1):
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    schedule = build_schedule(optimizer, config, total)
    found = []
    for _ in range(steps or total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def torch_rates(make, total, lr=0.1):
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    schedule = make(optimizer)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_cosine_is_that_of_torch():
    expected = torch_rates(lambda o: CosineAnnealingLR(o, T_max=20, eta_min=0.01), 20)
    assert rates(ScheduleConfig(name="cosine", floor=0.1), 20) == pytest.approx(expected)


def test_poly_is_that_of_torch():
    expected = torch_rates(lambda o: PolynomialLR(o, total_iters=20, power=0.9), 20)
    assert rates(ScheduleConfig(name="poly"), 20) == pytest.approx(expected)


def test_warm_up_rises_evenly_then_the_schedule_begins():
    found = rates(ScheduleConfig(name="poly", power=1.0, warmup=4), 8, steps=10)
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.075, 0.05, 0.025, 0.0, 0.0]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", ["constant", "poly", "cosine"])
def test_a_schedule_never_leaves_its_bounds(name):
    config = ScheduleConfig(name=name, floor=0.2, warmup=3)
    factors = [schedule_factor(config, step, 10) for step in range(30)]
    assert all(0.2 <= factor <= 1 for factor in factors[3:])
    assert factors[-1] == (1.0 if name == "constant" else pytest.approx(0.2))
    assert schedule_factor(config, 5, 3) == factors[-1]  # a warm-up longer than the training


def test_optimizers_take_their_values():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    adamw = build_optimizer(layer.parameters(), OptimizerConfig(lr=0.01))
    assert isinstance(adamw, AdamW)
    assert adamw.defaults["weight_decay"] == 0.01 and adamw.defaults["lr"] == 0.01
    assert len(adamw.param_groups[0]["params"]) == 1
    config = OptimizerConfig(name="sgd", lr=0.1, momentum=0.8, weight_decay=0.0)
    sgd = build_optimizer(layer.parameters(), config)
    assert isinstance(sgd, SGD)
    assert sgd.defaults["nesterov"] and sgd.defaults["momentum"] == 0.8
    assert sgd.defaults["weight_decay"] == 0
    plain = build_optimizer(layer.parameters(), OptimizerConfig(name="sgd", momentum=0.0))
    assert not plain.defaults["nesterov"]


def test_a_step_of_sgd_is_the_formula():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    sgd = build_optimizer([weight], OptimizerConfig(name="sgd", lr=0.1, weight_decay=0.0))
    (weight**2).sum().backward()
    sgd.step()
    # Nesterov's first step: lr * (gradient + momentum * gradient)
    assert weight.item() == pytest.approx(2.0 - 0.1 * (4.0 + 0.9 * 4.0))


@pytest.mark.parametrize(
    "wrong", [{"name": "adan"}, {"lr": 0}, {"lr": math.inf}, {"rate": 1}, {"momentum": 1}]
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValidationError):
        OptimizerConfig.model_validate(wrong)


def test_wrong_schedules_are_refused():
    for wrong in ({"name": "steps"}, {"warmup": -1}, {"floor": 2}, {"periods": 1}):
        with pytest.raises(ValidationError):
            ScheduleConfig.model_validate(wrong)
