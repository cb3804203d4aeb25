"""Training that is stopped anywhere and resumed ends as if it had never been stopped."""

import csv
import os
import signal

import numpy as np
import pytest
import torch
from small_land import configure_land, make_land
from torch_threads import one_thread

from geoseg.nn.bundle import ModelBundle
from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.keeper import Keeper
from geoseg.nn.task import SegmentationTask
from geoseg.progress import Progress
from geoseg.train import train

OF_THE_CLOCK = ("seconds", "time/", "samples_per_second")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


@pytest.fixture
def _save_always(monkeypatch):
    monkeypatch.setattr(Keeper, "writing_share", np.inf)


def read_rows(run):
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(OF_THE_CLOCK)} for row in rows]


def assert_same_end(whole, resumed):
    assert read_rows(whole) == read_rows(resumed)
    one, other = (ModelBundle.open(run / "model.safetensors").state for run in (whole, resumed))
    assert all(one[key].equal(tensor) for key, tensor in other.items())
    one, other = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (whole, resumed))
    for key, tensor in one["state_dict"].items():
        assert tensor.equal(other["state_dict"][key]), key
    assert one["global_step"] == other["global_step"]
    for key, state in one["optimizer_states"][0]["state"].items():
        for name, value in state.items():
            found = other["optimizer_states"][0]["state"][key][name]
            assert torch.as_tensor(value).equal(torch.as_tensor(found))


class StopAt(Progress):
    """Sends a signal to this process when so many steps are done."""

    def __init__(self, step, number=signal.SIGTERM):
        super().__init__("none")
        self.left, self.number = step, number

    def task(self, *_, **__):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def advance(self, count=1):
        self.left -= count
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def stop_and_resume(config, run, step):
    with pytest.raises(SystemExit):
        train(config, run, progress=StopAt(step))
    return train(config, run, resume=True)


STEPS = {"plain": (1, 7, 12, 21), "accumulate": (1, 4), "hard": (9,), "moved": (9,), "stuck": (16,)}
"""Steps after which a run is stopped; of `plain` 7 and 21 end an epoch."""

TABLES = {
    "plain": {},
    "accumulate": {"train": {"accumulate": 4}},  # 2 steps an epoch, of 4 and of 3 batches
    "hard": {"data": {"sampling": "hard"}, "train": {"average": "ema"}},
    "moved": {
        "optimizer": {"clip_norm": 0.1, "name": "padam"}, "schedule": {"name": "one_cycle"},
        "train": {"average": "swa", "average_start": 0.0},
    },
    "stuck": {
        "schedule": {"name": "plateau", "patience": 0}, "train": {"monitor": "min epoch"},
    },
}  # fmt: skip


@pytest.mark.usefixtures("_save_always")
@pytest.mark.parametrize("name", TABLES)
def test_a_run_stopped_at_any_batch_ends_alike(land, tmp_path, name):
    tables = {key: dict(table) for key, table in TABLES[name].items()}
    tables["train"] = {"epochs": 3, "batch_size": 4, **tables.get("train", {})}
    config = configure_land(land, **tables)
    train(config, tmp_path / "whole")
    for step in STEPS[name]:
        stop_and_resume(config, tmp_path / f"cut{step}", step)
        assert_same_end(tmp_path / "whole", tmp_path / f"cut{step}")


@pytest.mark.usefixtures("_save_always")
@pytest.mark.parametrize(
    ("budget", "every"),
    [
        ({"epochs": None, "steps": 9}, 1),
        ({"epochs": 2}, 1),
        ({"epochs": None, "steps": 16}, 2),  # the third epoch is validated as it is the last one
    ],
)
def test_a_run_stopped_in_validation_validates_again(land, tmp_path, monkeypatch, budget, every):
    config = configure_land(land, train={"batch_size": 4, **budget}, validate={"every": every})
    train(config, tmp_path / "whole")
    original, calls = SegmentationTask.validation_step, []

    def stop_in_second(task, batch, index):
        calls.append(index)
        if len(calls) == 3:  # within the second validation
            os.kill(os.getpid(), signal.SIGTERM)
        return original(task, batch, index)

    monkeypatch.setattr(SegmentationTask, "validation_step", stop_in_second)
    with pytest.raises(SystemExit):
        train(config, tmp_path / "cut")
    assert len(read_rows(tmp_path / "cut")) == every
    train(config, tmp_path / "cut", resume=True)
    assert_same_end(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.usefixtures("_save_always")
def test_dropout_and_batch_norm_go_on_too(land, tmp_path):
    config = configure_land(
        land, model={"arch": "enet"}, optimizer={"lr": 1e-3}, train={"epochs": 2, "batch_size": 8}
    )
    train(config, tmp_path / "whole")
    stop_and_resume(config, tmp_path / "cut", 4)
    assert_same_end(tmp_path / "whole", tmp_path / "cut")
