"""A rate that falls where a figure gets no better, also over a break."""

import pytest
from small_land import configure_land, make_land

from geoseg.nn.loop import fit, quiet_libraries
from geoseg.nn.setup import prepare
from geoseg.progress import Progress


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


def rates(land, run, *, epochs=5, checkpoint=None, monitor="min epoch", patience=1):
    setup = prepare(configure_land(
        land, data={"samples": 8}, optimizer={"lr": 0.5},
        train={"epochs": epochs, "batch_size": 4, "monitor": monitor},
        schedule={"name": "plateau", "patience": patience, "gamma": 0.2},
    ))  # fmt: skip
    with quiet_libraries():
        return [row["lr"] for row in fit(setup, run, checkpoint, Progress()).history]


def test_a_figure_that_only_gets_worse(land, tmp_path):
    """The first epoch is the best; after two more the rate falls, and again after two."""
    assert rates(land, tmp_path) == pytest.approx([0.5, 0.5, 0.5, 0.1, 0.1])


def test_a_figure_that_gets_better(land, tmp_path):
    assert rates(land, tmp_path, monitor="max epoch") == [0.5] * 5


def test_a_resumed_run_remembers(land, tmp_path):
    rates(land, tmp_path, epochs=2)
    last = tmp_path / "checkpoints" / "last.ckpt"
    found = rates(land, tmp_path, epochs=6, checkpoint=last)
    assert found == pytest.approx([0.5, 0.5, 0.5, 0.1, 0.1, 0.02])
