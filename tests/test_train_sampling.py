"""Training with each sampling, from start to end: what is learnt, resumed, told."""

import os
import signal
from pathlib import Path

import pytest
import torch
from small_land import configure_land, make_land

from geoseg import train
from geoseg.geo.tileset import TileSet
from geoseg.nn.keeper import Keeper
from geoseg.progress import Progress


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


class KillAfter(Progress):
    """Asks this process to end after a number of steps."""

    def __init__(self, steps):
        super().__init__("none")
        self.left = steps

    def task(self, *_, **__):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def advance(self, count=1):
        self.left -= count
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def last(run):
    return torch.load(Path(run) / "checkpoints/last.ckpt", weights_only=True)


def hard(land, **tables):
    data = {"sampling": "hard", "hard_share": 0.8, "samples": 24}
    steps = {"epochs": 4, "batch_size": 4, "workers": 0} | tables.pop("train", {})
    return configure_land(land, data=data, train=steps, **tables)


def test_hard_pairs_are_drawn_by_the_losses_that_training_had(land, tmp_path):
    config = hard(land)
    state = last(train(config, tmp_path / "run").run)["sampler"]
    tiles = TileSet.open(config.data.tiles[0]).split("train")
    assert len(state["recorded"]) == len(tiles)
    assert state["recorded"].isfinite().all()
    assert not state["recorded"].equal(state["losses"])


def test_hard_pairs_are_the_same_after_a_kill(land, tmp_path, monkeypatch):
    monkeypatch.setattr(Keeper, "writing_share", 1e9)  # a checkpoint after each step
    whole = train(hard(land), tmp_path / "whole")
    with pytest.raises(SystemExit):
        train(hard(land), tmp_path / "cut", progress=KillAfter(15))
    resumed = train(hard(land), tmp_path / "cut", resume=True)
    states = [last(each.run) for each in (whole, resumed)]
    for key, tensor in states[0]["state_dict"].items():
        assert tensor.equal(states[1]["state_dict"][key]), key
    for key in ("losses", "recorded"):
        assert states[0]["sampler"][key].equal(states[1]["sampler"][key]), key


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_processes")
def test_processes_share_the_losses_of_hard_pairs(land, tmp_path):
    config = hard(land, train={"devices": 2, "device": "cpu"})
    state = last(train(config, tmp_path / "run").run)["sampler"]
    assert state["recorded"].isfinite().all()


def test_rows_tell_the_time_of_training(land, tmp_path):
    result = train(configure_land(land, train={"epochs": 2}), tmp_path / "run")
    row = result.metrics
    assert 0 < row["time/data"] < 1
    assert row["time/data"] + row["time/step"] == pytest.approx(1)
    assert row["samples_per_second"] > 0
