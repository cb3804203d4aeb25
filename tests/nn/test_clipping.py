"""Gradients are as long as allowed, and the log tells how long they were."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_land import configure_land, make_land
from torch import nn

from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.clipping import Clipping
from geoseg.nn.loop import fit, quiet_libraries
from geoseg.nn.setup import prepare
from geoseg.progress import Progress


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


def trainer_of(scaler):
    """As much of a trainer as is looked at."""
    return SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler))


def test_a_gradient_is_shortened_as_a_whole():
    weights = [
        nn.Parameter(torch.zeros(3)),
        nn.Parameter(torch.zeros(2)),
        nn.Parameter(torch.zeros(1)),
    ]
    optimizer = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:]}], 1.0)
    clipping = Clipping(2.0)
    for scale in (1.0, 0.01):
        gradient = np.array([1.0, 2.0, -4.0, 3.0, 6.0]) * scale
        weights[0].grad, weights[1].grad = (
            torch.tensor(g).float() for g in np.split(gradient, [3])
        )
        clipping.on_before_optimizer_step(trainer_of(None), None, optimizer)
        found = np.concatenate([weight.grad for weight in weights[:2]])
        norm = np.linalg.norm(gradient)
        assert np.allclose(found, gradient * min(1, 2.0 / norm), rtol=1e-5)
    norms = clipping.state_dict()["norms"]
    assert norms == pytest.approx([np.sqrt(66), 0.01 * np.sqrt(66)])


def test_a_fused_optimizer_is_clipped_at_the_length_without_the_scale_of_fp16():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    scaler.scale((weight * torch.tensor([3.0, 4.0])).sum()).backward()
    clipping = Clipping(2.5)
    clipping.on_before_optimizer_step(trainer_of(scaler), None, optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert clipping.state_dict()["norms"] == pytest.approx([5.0])
    assert weight.tolist() == pytest.approx([-1.5, -2.0])


def test_steps_left_out_for_an_infinite_gradient_do_not_count(monkeypatch):
    monkeypatch.setattr("geoseg.nn.clipping.as_task", lambda task: task)
    row = {}
    clipping = Clipping(2.0)
    clipping.load_state_dict({"norms": [1.0, float("inf"), 4.0]})
    clipping.on_train_epoch_end(None, SimpleNamespace(add_figures=row.update))
    assert row == {"train/grad_norm": 2.5, "train/clipped": 0.5}
    assert clipping.state_dict() == {"norms": []}


def test_a_step_is_no_longer_than_rate_times_norm(land, tmp_path):
    config = configure_land(
        land, data={"samples": 8}, train={"epochs": 2, "batch_size": 4},
        schedule={"name": "constant"},
        optimizer={"name": "sgd", "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0,
                   "clip_norm": 0.01},
    )  # fmt: skip
    setup = prepare(config)
    before = nn.utils.parameters_to_vector(setup.network.parameters()).detach().clone()
    with quiet_libraries():
        result = fit(setup, tmp_path, None, Progress())
    state = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    names = [f"network.{name}" for name, _ in setup.network.named_parameters()]
    after = torch.cat([state[name].flatten() for name in names])
    assert 0 < (after - before).norm() <= 4 * 0.5 * 0.01 * 1.0001
    assert [row["train/clipped"] for row in result.history] == [1.0, 1.0]
    assert all(row["train/grad_norm"] > 0.01 for row in result.history)


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path):
    """With as many labels in each batch the mean over batches is that over all pixels."""
    (tmp_path / "land").mkdir()
    land = make_land(tmp_path / "land", unknown=0)
    found = []
    for size, accumulate in ((8, 1), (2, 4)):
        config = configure_land(
            land, data={"samples": 8}, loss={"terms": [{"name": "cross_entropy"}]},
            augment={"flip": 0, "rotate": 0, "scale": [1, 1], "brightness": 0, "contrast": 0},
            train={"epochs": 1, "batch_size": size, "accumulate": accumulate},
            optimizer={"name": "sgd", "lr": 0.5, "clip_norm": 1e6},
        )  # fmt: skip
        torch.manual_seed(1)
        setup = prepare(config)
        (tmp_path / str(size)).mkdir()
        with quiet_libraries():
            result = fit(setup, tmp_path / str(size), None, Progress())
        assert result.history[-1]["step"] == 1
        state = read_checkpoint(tmp_path / str(size) / "checkpoints" / "last.ckpt")["state_dict"]
        found.append((result.history[-1]["train/grad_norm"], state["network.network.weight"]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-4)
