"""What a step of training takes together, and by what numbers."""

import csv

import pytest
import torch
from small_land import configure_land, make_land
from torch_threads import one_thread

from geoseg.nn.bundle import ModelBundle
from geoseg.nn.config import load_config
from geoseg.nn.task import SegmentationTask
from geoseg.train import train

PLAIN = {"flip": 0, "rotate": 0, "scale": [1, 1], "brightness": 0, "contrast": 0}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"), unknown=0)


def read_rows(run):
    with (run / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_accumulated_batches_learn_as_one(land, tmp_path):
    """All tiles are labelled wholly: the mean of two batches is that of both together."""
    common = {"augment": PLAIN, "loss": {"terms": [{"name": "cross_entropy"}]}}
    whole = configure_land(land, train={"epochs": 2, "batch_size": 4}, **common)
    halves = configure_land(land, train={"epochs": 2, "batch_size": 2, "accumulate": 2}, **common)
    results = [train(whole, tmp_path / "whole"), train(halves, tmp_path / "halves")]
    first, second = (ModelBundle.open(result.bundle).state for result in results)
    for key, tensor in first.items():
        assert torch.allclose(tensor, second[key], atol=1e-6), key
    for one, other in zip(*(read_rows(result.run) for result in results), strict=True):
        for key in ("step", "lr", "train/loss", "val/mean_iou"):
            assert other[key] == pytest.approx(one[key], abs=1e-6), key


def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left(land, tmp_path):
    config = configure_land(land, train={"epochs": 2, "batch_size": 4, "accumulate": 3})
    rows = read_rows(train(config, tmp_path / "run").run)
    assert [row["step"] for row in rows] == [3, 6]  # of 3, 3 and 1 batches
    assert rows[-1]["lr"] == pytest.approx(0)  # the schedule goes by these steps


def test_auto_stands_in_the_config_as_numbers_and_is_kept(land, tmp_path):
    config = configure_land(land, train={"epochs": 1, "batch_size": "auto", "effective_batch": 24})
    train(config, tmp_path / "run")
    written = load_config(tmp_path / "run" / "config.toml").train
    assert (written.batch_size, written.accumulate) == (8, 3)
    train(config, tmp_path / "run", resume=True)
    assert load_config(tmp_path / "run" / "config.toml").train == written


@pytest.mark.parametrize("wanted", [True, False])
def test_algorithms_are_deterministic_while_a_run_wants_it(land, tmp_path, monkeypatch, wanted):
    original, seen = SegmentationTask.training_step, set()

    def look(task, batch, index):
        seen.add(torch.are_deterministic_algorithms_enabled())
        return original(task, batch, index)

    monkeypatch.setattr(SegmentationTask, "training_step", look)
    train(configure_land(land, train={"epochs": 1, "deterministic": wanted}), tmp_path / "run")
    assert seen == {wanted}
    assert not torch.are_deterministic_algorithms_enabled()
