"""Optimisers, and the course of the learning rate over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

OptimizerName = Literal["adamw", "sgd"]
ScheduleName = Literal["constant", "poly", "cosine"]


class OptimizerConfig(BaseModel):
    """How weights follow the gradient."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: OptimizerName = "adamw"
    """A key of `OPTIMIZERS`."""

    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Learning rate at its highest."""

    weight_decay: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """None takes 0.01 for adamw and 0.0001 for sgd."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd (Nesterov's); the first beta of adamw."""


class ScheduleConfig(BaseModel):
    """How the learning rate goes from step to step.

    With p from 0 at the end of the warm-up to 1 at the end of training, the rate is `lr` times

    ``constant``
        1
    ``poly``
        floor + (1 - floor) (1 - p)^power
    ``cosine``
        floor + (1 - floor) (1 + cos(pi p)) / 2
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ScheduleName = "cosine"
    """A key of `SCHEDULES`."""

    warmup: int = Field(default=0, ge=0)
    """Steps over which the rate rises evenly to `lr`."""

    power: float = Field(default=0.9, gt=0, allow_inf_nan=False)
    """Of `poly`."""

    floor: float = Field(default=0.0, ge=0, le=1)
    """Share of `lr` at which training ends."""


def _adamw(parameters: list[Parameter], config: OptimizerConfig) -> Optimizer:
    decay = 0.01 if config.weight_decay is None else config.weight_decay
    return AdamW(parameters, config.lr, betas=(config.momentum, 0.999), weight_decay=decay)


def _sgd(parameters: list[Parameter], config: OptimizerConfig) -> Optimizer:
    decay = 1e-4 if config.weight_decay is None else config.weight_decay
    return SGD(
        parameters,
        config.lr,
        momentum=config.momentum,
        weight_decay=decay,
        nesterov=config.momentum > 0,
    )


OPTIMIZERS: dict[OptimizerName, Callable[[list[Parameter], OptimizerConfig], Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
}
"""Every optimiser by name."""


def _constant(_: float, __: ScheduleConfig) -> float:
    return 1.0


def _poly(progress: float, config: ScheduleConfig) -> float:
    return config.floor + (1 - config.floor) * math.pow(1 - progress, config.power)


def _cosine(progress: float, config: ScheduleConfig) -> float:
    return config.floor + (1 - config.floor) * (1 + math.cos(math.pi * progress)) / 2


SCHEDULES: dict[ScheduleName, Callable[[float, ScheduleConfig], float]] = {
    "constant": _constant,
    "poly": _poly,
    "cosine": _cosine,
}
"""Every schedule by name: share of the highest rate at progress p, 0 to 1."""


def build_optimizer(parameters: Iterable[Parameter], config: OptimizerConfig) -> Optimizer:
    """Build the optimiser of the parameters that are not frozen."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return OPTIMIZERS[config.name](trained, config)


def schedule_factor(config: ScheduleConfig, step: int, total: int) -> float:
    """The share of the highest learning rate that a step takes.

    Args:
        config: The schedule.
        step: From 0.
        total: Steps of the whole training, warm-up included.

    Returns:
        Above 0 in the warm-up; `floor` from step `total` on.
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, total - config.warmup)
    return SCHEDULES[config.name](min(1.0, progress), config)


def build_schedule(optimizer: Optimizer, config: ScheduleConfig, total: int) -> LambdaLR:
    """Build the schedule of an optimiser; call its `step` after each of the optimiser's.

    Args:
        optimizer: Its rates are the highest ones.
        config: The schedule.
        total: Steps of the whole training, warm-up included.
    """
    return LambdaLR(optimizer, lambda step: schedule_factor(config, step, total))
