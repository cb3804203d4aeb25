"""Each schedule against torch's where it has the same, else against its formula in numpy."""

import copy
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim import lr_scheduler as of_torch

from geoseg.nn.schedules import SCHEDULES, Schedule, ScheduleConfig, schedule_factor

LR = 0.1


def make_optimizer(kind=SGD, **options):
    return kind([torch.nn.Parameter(torch.zeros(1))], LR, **options)


def course(make, steps, kind=SGD, key="lr", **options):
    optimizer = make_optimizer(kind, **options)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0][key])
        optimizer.step()
        schedule.step()
    return found


def rates(total, steps=None, **config):
    config = ScheduleConfig(**config)
    return course(lambda o: Schedule(o, config, lambda _: total), steps or total)


CASES = {
    "cosine": (
        {"name": "cosine", "floor": 0.1},
        lambda o: of_torch.CosineAnnealingLR(o, T_max=24, eta_min=0.01),
    ),
    "poly": ({"name": "poly"}, lambda o: of_torch.PolynomialLR(o, total_iters=24, power=0.9)),
    "steps": (
        {"name": "step", "every": 5, "gamma": 0.3},
        lambda o: of_torch.StepLR(o, step_size=5, gamma=0.3),
    ),
    "a step as a share": (
        {"name": "step", "every": 0.25},
        lambda o: of_torch.StepLR(o, step_size=6, gamma=0.1),
    ),
    "exponential": (
        {"name": "exponential", "gamma": 0.9},
        lambda o: of_torch.ExponentialLR(o, gamma=0.9),
    ),
    "exponential to an end": (
        {"name": "exponential", "end": 0.02},
        lambda o: of_torch.ExponentialLR(o, gamma=0.02 ** (1 / 24)),
    ),
    "drops": (
        {"name": "drops", "drops": ((0.25, 0.5), (0.75, 0.25))},
        lambda o: of_torch.MultiStepLR(o, milestones=[6, 18], gamma=0.5),
    ),
    "cycles": (
        {"name": "cosine_cycles", "cycles": 3, "floor": 0.2},
        lambda o: of_torch.CosineAnnealingWarmRestarts(o, T_0=8, eta_min=0.02),
    ),
    "cycles that grow": (
        {"name": "cosine_cycles", "cycle": 3, "cycle_growth": 2},
        lambda o: of_torch.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2),
    ),
    "three cycles that grow": (  # 24 = f (1 + 3 + 9) would be no whole number: 26 steps
        {"name": "cosine_cycles", "cycles": 3, "cycle_growth": 3},
        lambda o: of_torch.CosineAnnealingWarmRestarts(o, T_0=2, T_mult=3),
    ),
    "one cycle": (
        {"name": "one_cycle"},
        lambda o: of_torch.OneCycleLR(o, LR, total_steps=24, cycle_momentum=False),
    ),
    "one cycle of other divisors": (
        {"name": "one_cycle", "rise": 0.5, "start_divisor": 4, "end_divisor": 100},
        lambda o: of_torch.OneCycleLR(
            o, LR, total_steps=24, pct_start=0.5, div_factor=4, final_div_factor=100,
            cycle_momentum=False,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_schedules_that_torch_has(case):
    config, make = CASES[case]
    total = 26 if "three" in case else 24
    expected = course(make, total)
    assert len({round(rate, 12) for rate in expected}) > 2
    assert rates(total, **config) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("kind", "key"), [(SGD, "momentum"), (AdamW, "betas"), (Adam, "betas")])
def test_one_cycle_moves_the_momentum_as_torch_does(kind, key):
    options = {"momentum": 0.9} if kind is SGD else {}
    config = ScheduleConfig(name="one_cycle")
    found = course(lambda o: Schedule(o, config, lambda _: 20), 20, kind, key, **options)
    expected = course(
        lambda o: of_torch.OneCycleLR(o, LR, total_steps=20), 20, kind, key, **options
    )
    assert np.allclose(found, expected)
    assert np.ptp([np.ravel(value)[0] for value in expected]) == pytest.approx(0.1, abs=0.01)


def test_one_cycle_leaves_what_has_no_momentum():
    config = ScheduleConfig(name="one_cycle")
    for options in ({}, {"momentum": 0.3}):
        still = ScheduleConfig(name="one_cycle", cycle_momentum=False)
        chosen = still if options else config
        found = course(
            lambda o, c=chosen: Schedule(o, c, lambda _: 9), 9, RMSprop, "momentum", **options
        )
        assert set(found) == {options.get("momentum", 0)}


def test_cycles_with_peaks_that_decay():
    found = rates(12, name="cosine_cycles", cycles=3, cycle_decay=0.5, floor=0.1)
    places = np.arange(12)
    peaks, shares = 0.5 ** (places // 4), (places % 4) / 4
    expected = LR * (0.1 + (peaks - 0.1) * (1 + np.cos(np.pi * shares)) / 2)
    assert found == pytest.approx(expected.tolist())


def test_the_drops_of_progressive_drops():
    found = [schedule_factor(ScheduleConfig(name="drops"), step, 100) for step in range(101)]
    expected = np.select(
        [np.arange(101) >= 90, np.arange(101) >= 75, np.arange(101) >= 50], [1e-3, 1e-2, 0.1], 1
    )
    assert found == pytest.approx(expected.tolist())


# --- warm-up and floor -----------------------------------------------------------------------


def test_warm_up_rises_evenly_then_the_schedule_begins():
    found = rates(8, steps=10, name="poly", power=1.0, warmup=4)
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.075, 0.05, 0.025, 0.0, 0.0]
    assert found == pytest.approx(expected)


def test_warm_up_from_a_share():
    found = rates(8, name="constant", warmup=4, warmup_from=0.2)
    assert found == pytest.approx([0.04, 0.06, 0.08, 0.1, 0.1, 0.1, 0.1, 0.1])


def test_warm_up_for_a_share_of_the_training():
    found = rates(20, name="constant", warmup=0.2)
    assert found == pytest.approx([0, 0.025, 0.05, 0.075] + [0.1] * 16)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_never_leaves_its_bounds(name):
    config = ScheduleConfig(name=name, floor=0.2, warmup=0 if name == "one_cycle" else 3)
    factors = [schedule_factor(config, step, 10) for step in range(30)]
    assert all(0.2 <= factor <= 1 for factor in factors[3:])
    stays = name in ("constant", "plateau")
    assert factors[-1] == (1.0 if stays else pytest.approx(0.2))
    assert all(0 < schedule_factor(config, 5, total) <= 1 for total in (0, 1, 3))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_training_by_time_begins_without_knowing_its_steps(name):
    """Total steps are a guess, one more than the step at first."""
    config = ScheduleConfig(name=name, warmup=0 if name == "one_cycle" else 0.1)
    guesses = [(0, 1), (1, 57), (2, 61), (30, 60), (60, 61)]
    factors = [schedule_factor(config, step, total) for step, total in guesses]
    assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in factors)
    if name != "one_cycle":
        assert factors[0] == 0
        assert factors[1] == pytest.approx(1 / 5.7)
    assert factors[0] < factors[1] < factors[2] or name == "one_cycle"


# --- plateau ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 2])
def test_a_plateau_is_that_of_torch(mode, patience):
    figures = [1.0, 0.9, 0.9, 0.95, 0.8, 0.8, 0.85, 0.8, 0.81, 0.7, 0.9, 0.9, 0.9, 0.9]
    ours, theirs = make_optimizer(), make_optimizer()
    config = ScheduleConfig(name="plateau", gamma=0.5, patience=patience, floor=0.05)
    schedule = Schedule(ours, config, lambda _: 100)
    expected = of_torch.ReduceLROnPlateau(
        theirs, mode, factor=0.5, patience=patience, threshold=0, min_lr=LR * 0.05, eps=0
    )
    seen = set()
    for figure in figures:
        for _ in range(3):
            ours.step()
            schedule.step()
        schedule.observe(figure, highest=mode == "max")
        expected.step(figure)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])
        seen.add(ours.param_groups[0]["lr"])
    assert len(seen) > 2


def test_a_figure_that_is_no_number_is_no_better():
    optimizer = make_optimizer()
    schedule = Schedule(optimizer, ScheduleConfig(name="plateau", patience=1), lambda _: 9)
    told = [schedule.observe(figure, highest=True) for figure in (math.nan, math.nan, 0.1, 0.2)]
    assert told == [False, True, False, False]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(LR / 10)


def test_only_a_plateau_heeds_figures():
    schedule = Schedule(make_optimizer(), ScheduleConfig(patience=0), lambda _: 9)
    assert not any(schedule.observe(0.0, highest=True) for _ in range(5))


# --- groups and resuming ---------------------------------------------------------------------


def test_each_group_keeps_its_own_highest_rate():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.01)]
    optimizer = SGD(groups, 1.0)
    schedule = Schedule(optimizer, ScheduleConfig(name="poly", power=1.0), lambda _: 4)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.075, 0.0075])


@pytest.mark.parametrize("name", ["cosine_cycles", "one_cycle", "plateau"])
def test_a_resumed_schedule_goes_on(name):
    def go(optimizer, schedule, steps):
        for step in steps:
            found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
            optimizer.step()
            schedule.step()
            schedule.observe(-(step // 3), highest=step >= 9)

    config = ScheduleConfig(name=name, patience=1)
    found = []
    whole = make_optimizer(momentum=0.9)
    go(whole, Schedule(whole, config, lambda _: 20), range(20))
    expected, found = found, []
    first = make_optimizer(momentum=0.9)
    schedule = Schedule(first, config, lambda _: 20)
    go(first, schedule, range(11))
    kept = copy.deepcopy((first.state_dict(), schedule.state_dict()))
    assert all(isinstance(v, int | float | bool | list | None) for v in kept[1].values())
    second = make_optimizer(momentum=0.9)
    schedule = Schedule(second, config, lambda _: 20)
    second.load_state_dict(kept[0])
    schedule.load_state_dict(kept[1])
    go(second, schedule, range(11, 20))
    assert found == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "steps"}, {"warmup": -1}, {"floor": 2}, {"periods": 1}, {"every": 2.5},
        {"cycle": 0}, {"drops": [[0.9, 0.1], [0.5, 0.1]]}, {"drops": [[0.5, 2.0]]},
        {"momentum_range": [0.95, 0.85]}, {"name": "one_cycle", "warmup": 5}, {"rise": 1},
        {"gamma": 1.5}, {"warmup_from": 1}, {"every": 1e-320}, {"cycle": 1e-9},
        {"cycles": 1000, "cycle_growth": 1.5}, {"cycle_growth": 1e200},
    ],
)  # fmt: skip
def test_wrong_schedules_are_refused(wrong):
    with pytest.raises(ValidationError):
        ScheduleConfig.model_validate(wrong)


def test_very_many_cycles_take_no_longer_than_few():
    config = ScheduleConfig(name="cosine_cycles", cycles=10**12)
    assert 0 <= schedule_factor(config, 7, 1000) <= 1
