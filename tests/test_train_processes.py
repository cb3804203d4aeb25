"""Training in two processes, which gloo connects, against the same in one."""

import csv
import os
import signal

import pytest
import torch
from small_land import configure_land, make_land
from torch_threads import one_thread

import geoseg
from geoseg.errors import TileSetError
from geoseg.nn.bundle import ModelBundle
from geoseg.progress import Progress
from geoseg.train import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_forked_processes")]

PLAIN = {"flip": 0, "rotate": 0, "scale": [1, 1], "brightness": 0, "contrast": 0}
"""No augmentation: its chance is another in each process."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def land(tmp_path):
    return make_land(tmp_path, unknown=0)


def read_rows(run):
    with (run / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_two_processes_learn_what_one_does(land, tmp_path):
    """n samples each are 2 n of one: gradients, figures and the best epoch are the same.

    The mean of the processes' losses is that of all pixels, as all of them are labelled; seven
    tiles validate, four in one process and three in the other.
    """
    common = {
        "augment": PLAIN,
        "loss": {"terms": [{"name": "cross_entropy"}]},
    }
    tiles = geoseg.TileSet.open(land / "tiles").root / "val.txt"
    tiles.write_text("\n".join(tiles.read_text().split()[:7]) + "\n")
    one = train(
        configure_land(land, train={"epochs": 2, "batch_size": 4}, **common), tmp_path / "one"
    )
    two = train(
        configure_land(land, train={"epochs": 2, "batch_size": 2, "devices": 2}, **common),
        tmp_path / "two",
    )
    first, second = (ModelBundle.open(result.bundle).state for result in (one, two))
    for key, tensor in first.items():
        assert torch.allclose(tensor, second[key], atol=1e-6), key
    for alone, shared in zip(read_rows(one.run), read_rows(two.run), strict=True):
        for key in ("step", "lr", "train/loss", "val/loss", "val/mean_iou", "val/pixel_accuracy"):
            assert shared[key] == pytest.approx(alone[key], abs=1e-6), key
    names = {path.name for path in two.run.iterdir()}
    assert names == {path.name for path in one.run.iterdir()}


def test_an_error_of_the_second_process_is_told_as_it_is(land, tmp_path):
    tileset = geoseg.TileSet.open(land / "tiles")
    image = tileset.split("val")[1].image  # the second process validates it
    image.write_bytes(image.read_bytes()[:100])
    config = configure_land(land, train={"epochs": 1, "devices": 2})
    with pytest.raises(TileSetError, match=image.name):
        train(config, tmp_path / "run")


class StopAt(Progress):
    """Sends SIGTERM to this process when so many steps are done."""

    def __init__(self, step):
        super().__init__("none")
        self.left = step

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


def test_two_processes_that_are_stopped_go_on_alike(land, tmp_path):
    """Also where the order of tiles goes by losses, which each process has half of."""
    config = configure_land(
        land,
        data={"samples": 400, "sampling": "hard"},
        train={"epochs": 2, "batch_size": 2, "devices": 2},
    )
    whole = train(config, tmp_path / "whole")
    with pytest.raises(SystemExit):
        train(config, tmp_path / "cut", progress=StopAt(20))
    resumed = train(config, tmp_path / "cut", resume=True)
    first, second = (ModelBundle.open(result.bundle).state for result in (whole, resumed))
    assert all(first[key].equal(tensor) for key, tensor in second.items())
    of_the_clock = ("seconds", "time/data", "time/step", "samples_per_second")
    rows = [read_rows(result.run) for result in (whole, resumed)]
    for row in (*rows[0], *rows[1]):
        for key in of_the_clock:
            del row[key]
    assert rows[0] == rows[1]
