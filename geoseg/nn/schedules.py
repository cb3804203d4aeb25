"""The course of the learning rate over the steps of a training.

All but `plateau` are functions of the step alone, so that a resumed run goes on exactly. A step is
one of the optimizer: with `train.accumulate` several batches make one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

ScheduleName = Literal[
    "constant",
    "poly",
    "step",
    "exponential",
    "drops",
    "cosine",
    "cosine_cycles",
    "one_cycle",
    "plateau",
]
_NO_ROUNDING = 1e-9
"""Added before a count of whole parts is cut, since 0.1 * 30 is a little more than 3."""

_SHORTEST = 1e-6
"""Share of a training below which no length is meant."""

_LARGEST = 100
"""Powers of ten by which cycles may grow: what is longer is no number in the end."""


class ScheduleConfig(BaseModel):
    """How the learning rate goes from step to step.

    With s steps since the warm-up, S from the warm-up to the end and p = s / S, the rate is `lr`
    times

    ``constant``
        1
    ``poly``
        floor + (1 - floor) (1 - p)^power; arXiv 1606.00915
    ``step``
        gamma^k, where k is how often `every` has passed
    ``exponential``
        gamma^s where gamma is given, else end^p
    ``drops``
        the factor of the last pair (share, factor) of `drops` with share <= p; 1 before them
    ``cosine``
        floor + (1 - floor) (1 + cos(pi p)) / 2; arXiv 1608.03983
    ``cosine_cycles``
        floor + (peak - floor) (1 + cos(pi q)) / 2, where q goes from 0 to 1 in each cycle and
        peak is cycle_decay^(cycles before); arXiv 1608.03983
    ``one_cycle``
        cosines from 1 / start_divisor to 1 in the share `rise` of the steps, then down to
        1 / (start_divisor end_divisor), while the momentum goes from the high to the low end of
        `momentum_range` and back; arXiv 1708.07120
    ``plateau``
        gamma^k, where k is how often `patience` epochs went by without a better `train.monitor`

    None of them falls below floor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ScheduleName = "cosine"
    """A key of `SCHEDULES`."""

    warmup: int | float = Field(default=0, ge=0, allow_inf_nan=False)
    """Steps, or below 1 the share of the training, over which the rate rises evenly to `lr`."""

    warmup_from: float = Field(default=0.0, ge=0, lt=1)
    """Share of `lr` at which the warm-up begins."""

    power: float = Field(default=0.9, gt=0, allow_inf_nan=False)
    """Of `poly`."""

    floor: float = Field(default=0.0, ge=0, le=1)
    """Share of `lr` at which training ends, and below which the rate never is."""

    every: int | float = Field(default=0.3, gt=0, allow_inf_nan=False)
    """Of `step`: steps, or below 1 the share of the training, between two drops."""

    gamma: float | None = Field(default=None, gt=0, le=1)
    """Factor of each drop of `step` and `plateau` (None: 0.1), or of each step of
    `exponential`."""

    end: float = Field(default=0.01, gt=0, le=1)
    """Share of `lr` at which `exponential` without gamma ends."""

    drops: tuple[tuple[float, float], ...] = ((0.5, 0.1), (0.75, 0.01), (0.9, 0.001))
    """Of `drops`: from which share of the training on the rate is `lr` times which factor."""

    cycles: int = Field(default=4, ge=1)
    """How many cycles `cosine_cycles` makes."""

    cycle: int | float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Steps, or below 1 the share of the training, of its first cycle, instead of `cycles`."""

    cycle_growth: float = Field(default=1.0, ge=1, allow_inf_nan=False)
    """By how much each cycle is longer than the one before."""

    cycle_decay: float = Field(default=1.0, gt=0, le=1)
    """By how much the peak of each cycle is lower than the one before."""

    rise: float = Field(default=0.3, gt=0, lt=1)
    """Of `one_cycle`: share of the steps in which the rate rises."""

    start_divisor: float = Field(default=25.0, ge=1, allow_inf_nan=False)
    """Of `one_cycle`: `lr` by the first rate."""

    end_divisor: float = Field(default=1e4, ge=1, allow_inf_nan=False)
    """Of `one_cycle`: the first rate by the last."""

    cycle_momentum: bool = True
    """Whether `one_cycle` moves the momentum (the first beta) too, where there is any."""

    momentum_range: tuple[float, float] = (0.85, 0.95)
    """Of `one_cycle`: the momentum at the highest rate, and at its ends."""

    patience: int = Field(default=5, ge=0)
    """Of `plateau`: epochs without a better figure that are borne; the next one drops."""

    @field_validator("warmup", "every", "cycle")
    @classmethod
    def _check_length(cls, length: float | None) -> float | None:
        if length is not None and length > 1 and length != int(length):
            raise ValueError("give whole steps, or a share of the training below 1")
        if length is not None and 0 < length < _SHORTEST:
            raise ValueError(f"a share of the training is {_SHORTEST:g} or more")
        return length

    @model_validator(mode="after")
    def _check(self) -> Self:
        shares = [share for share, _ in self.drops]
        if shares != sorted(set(shares)) or not all(0 < share < 1 for share in shares):
            raise ValueError("the shares of drops must rise and lie between 0 and 1")
        if any(not 0 <= factor <= 1 for _, factor in self.drops):
            raise ValueError("the factors of drops must lie between 0 and 1")
        low, high = self.momentum_range
        if not 0 <= low <= high < 1:
            raise ValueError("momentum_range is two numbers from 0 to below 1, the lower first")
        if self.cycles * math.log10(self.cycle_growth) > _LARGEST:
            raise ValueError(f"{self.cycles} cycles cannot grow {self.cycle_growth:g} times each")
        if self.name == "one_cycle" and self.warmup:
            raise ValueError("one_cycle rises by itself: leave warmup at 0, and set rise")
        return self


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A place in a training, the warm-up taken away."""

    step: float
    """Steps since the warm-up, from 0."""

    total: float
    """Steps from the warm-up to the end, above 0."""

    whole: float
    """Steps of the training, warm-up included: what shares are of."""

    @property
    def progress(self) -> float:
        """0 at the end of the warm-up, 1 at the end of the training and after it."""
        return min(1.0, self.step / self.total)

    def steps(self, length: float) -> float:
        """A length in steps that was given in steps or as a share."""
        return length if length >= 1 else length * self.whole


def _constant(_: Moment, __: ScheduleConfig) -> float:
    return 1.0


def _poly(now: Moment, config: ScheduleConfig) -> float:
    return config.floor + (1 - config.floor) * math.pow(1 - now.progress, config.power)


def _step(now: Moment, config: ScheduleConfig) -> float:
    passed = math.floor(now.step / now.steps(config.every) + _NO_ROUNDING)
    return math.pow(_gamma(config), passed)


def _exponential(now: Moment, config: ScheduleConfig) -> float:
    if config.gamma is not None:
        return math.pow(config.gamma, now.step)
    return math.pow(config.end, now.progress)


def _drops(now: Moment, config: ScheduleConfig) -> float:
    passed = [factor for share, factor in config.drops if share <= now.progress + _NO_ROUNDING]
    return passed[-1] if passed else 1.0


def _cosine(now: Moment, config: ScheduleConfig) -> float:
    return _fall(1.0, config.floor, now.progress)


def _cosine_cycles(now: Moment, config: ScheduleConfig) -> float:
    if config.cycle is None and now.progress >= 1:
        return config.floor  # no further cycle begins after the last
    number, share = _place_in_cycle(now, config)
    peak = max(config.floor, math.pow(config.cycle_decay, number))
    return _fall(peak, config.floor, share)


def _place_in_cycle(now: Moment, config: ScheduleConfig) -> tuple[int, float]:
    """Number of the cycle, from 0, and how far it is, 0 to 1."""
    growth = config.cycle_growth
    if config.cycle is not None:
        first = now.steps(config.cycle)
    else:
        first = now.total / _growing(config.cycles, growth)
    cycles = now.step / first
    if growth == 1:
        number = math.floor(cycles + _NO_ROUNDING)
        return number, max(0.0, cycles - number)
    number = math.floor(math.log(1 + cycles * (growth - 1), growth) + _NO_ROUNDING)
    return number, max(0.0, (cycles - _growing(number, growth)) / growth**number)


def _growing(cycles: int, growth: float) -> float:
    """Length of so many cycles, each `growth` times as long as the one before, the first 1."""
    return cycles if growth == 1 else (growth**cycles - 1) / (growth - 1)


def _one_cycle(now: Moment, config: ScheduleConfig) -> float:
    first = 1 / config.start_divisor
    rising, share = _phase(now, config)
    return _fall(first, 1.0, share) if rising else _fall(1.0, first / config.end_divisor, share)


def _phase(now: Moment, config: ScheduleConfig) -> tuple[bool, float]:
    """Whether the rate of one_cycle rises, and how far it is in that; the ends are torch's."""
    top, last = config.rise * now.total - 1, now.total - 1
    if now.step <= top:
        return True, now.step / top if top > 0 else 1.0
    return False, min(1.0, (now.step - top) / (last - top))


def _fall(high: float, low: float, share: float) -> float:
    """Half a cosine from one value to another, which may be higher."""
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def _gamma(config: ScheduleConfig) -> float:
    return 0.1 if config.gamma is None else config.gamma


SCHEDULES: dict[ScheduleName, Callable[[Moment, ScheduleConfig], float]] = {
    "constant": _constant,
    "poly": _poly,
    "step": _step,
    "exponential": _exponential,
    "drops": _drops,
    "cosine": _cosine,
    "cosine_cycles": _cosine_cycles,
    "one_cycle": _one_cycle,
    "plateau": _constant,  # what it has seen is kept by `Schedule`
}
"""Every schedule by name: share of the highest rate, as a function of the step."""


def schedule_factor(config: ScheduleConfig, step: int, total: int) -> float:
    """The share of the highest learning rate that a step takes.

    Args:
        config: The schedule; of `plateau` without what the epochs have shown.
        step: From 0.
        total: Steps of the whole training, warm-up included.

    Returns:
        Above 0 in a warm-up of whole steps; never below `floor` after it.
    """
    total = max(1, total)
    risen = _risen(config, step, total)
    if risen is not None:
        return config.warmup_from + (1 - config.warmup_from) * risen
    return max(config.floor, SCHEDULES[config.name](_moment(config, step, total), config))


def schedule_momentum(config: ScheduleConfig, step: int, total: int) -> float | None:
    """The momentum that a step takes; None where the schedule leaves it alone."""
    if config.name != "one_cycle" or not config.cycle_momentum:
        return None
    low, high = config.momentum_range
    rising, share = _phase(_moment(config, step, max(1, total)), config)
    return _fall(high, low, share) if rising else _fall(low, high, share)


def _risen(config: ScheduleConfig, step: int, total: int) -> float | None:
    """How far the warm-up is, 0 to 1; None after it."""
    if config.warmup >= 1:
        return (step + 1) / config.warmup if step < config.warmup else None
    # Of a training by time the steps are guessed from the time spent: step / total is its share.
    share = step / total
    return share / config.warmup if share < config.warmup else None


def _moment(config: ScheduleConfig, step: int, total: int) -> Moment:
    warmup = config.warmup if config.warmup >= 1 else config.warmup * total
    return Moment(step=max(0.0, step - warmup), total=max(1.0, total - warmup), whole=total)


class Schedule(LRScheduler):
    """Moves the learning rates of an optimizer, each from the highest one that it has at first.

    Args:
        optimizer: Its rates are the highest ones.
        config: The schedule.
        total: Steps of the whole training, as far as is known at a step.
    """

    def __init__(
        self, optimizer: Optimizer, config: ScheduleConfig, total: Callable[[int], int]
    ) -> None:
        self._config = config
        self._total = total
        self._best: float | None = None
        self._stuck = 0
        self._reduction = 1.0
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """The rates of the present step, one per group."""
        factor = schedule_factor(self._config, self.last_epoch, self._total(self.last_epoch))
        factor *= max(self._config.floor, self._reduction)
        return [rate * factor for rate in self.base_lrs]

    def step(self, epoch: int | None = None) -> None:
        """Go on by a step of the optimizer."""
        super().step(epoch)
        momentum = schedule_momentum(self._config, self.last_epoch, self._total(self.last_epoch))
        if momentum is not None:
            for group in self.optimizer.param_groups:
                _set_momentum(group, momentum)

    def observe(self, figure: float, *, highest: bool) -> bool:
        """Tell `plateau` the figure of an epoch; the others do not heed it.

        Args:
            figure: What is monitored; NaN is no better than any other.
            highest: Whether more is better.

        Returns:
            Whether the rate was lowered.
        """
        if self._config.name != "plateau":
            return False
        if not math.isnan(figure) and (
            self._best is None or (figure > self._best if highest else figure < self._best)
        ):
            self._best, self._stuck = figure, 0
            return False
        self._stuck += 1
        if self._stuck <= self._config.patience:
            return False
        self._stuck = 0
        self._reduction *= _gamma(self._config)
        rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # the next step is already of the new rate
        self._last_lr = rates
        return True

    def state_dict(self) -> dict[str, Any]:
        """Plain values alone: checkpoints hold no objects."""
        own = ("_config", "_total", "optimizer")
        return {key: value for key, value in self.__dict__.items() if key not in own}


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Set momentum, or the first beta, of a group that has any."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif group.get("momentum"):
        group["momentum"] = momentum
