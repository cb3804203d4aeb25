"""Means of weights against numpy and torch, and what validates, is kept and is resumed."""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_land import configure_land, make_land
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from geoseg.geo.legend import Legend
from geoseg.nn.averaging import Averaging, sample_images
from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.config import parse_config
from geoseg.nn.freezing import FreezePlan, plan_freezing
from geoseg.nn.loop import fit, quiet_libraries
from geoseg.nn.loop_config import LoopConfig
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.nn.setup import prepare
from geoseg.nn.task import SegmentationTask
from geoseg.progress import Progress

NOTHING = FreezePlan(parameters={}, norms={})
IMAGES = [torch.randn(4, 2, 32, 32, generator=torch.Generator().manual_seed(n)) for n in range(3)]


def make_task():
    config = parse_config({"data": {"tiles": ["t"]}})
    spec = ModelSpec(arch="regseg", in_channels=2, classes=2)
    task = SegmentationTask(
        build_model(spec), config, Scaling(), Legend.of_values((0, 1)), lambda _: 20
    )
    return task, task.network


def make_trainer(step=0, epoch=0):
    plugin = SimpleNamespace(forward_context=nullcontext)
    return SimpleNamespace(global_step=step, current_epoch=epoch, precision_plugin=plugin)


def averaging(plan=NOTHING, images=IMAGES, **options):
    return Averaging(LoopConfig(**options), lambda _: 20, plan, lambda: images)


def move(network, seed):
    """What a step of an optimizer might do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand(value.shape, generator=generator))
            else:
                value.add_(1)


def flat(network):
    values = [v.reshape(-1) for v in network.state_dict().values() if v.is_floating_point()]
    return torch.cat(values).double().numpy().copy()


# --- formulas --------------------------------------------------------------------------------


@pytest.mark.parametrize(("decay", "start"), [(0.999, None), (0.3, 0.15)])
def test_ema_is_its_recursion(decay, start):
    task, network = make_task()
    callback = averaging(average="ema", average_decay=decay, average_start=start)
    mean, count = None, 0
    for step in range(1, 9):
        move(network, step)
        callback.on_train_batch_end(make_trainer(step), task)
        callback.on_train_batch_end(make_trainer(step), task)  # a batch that ends no step
        weights = flat(network)
        if step < 20 * (start or 0):
            continue
        if mean is None:
            mean = weights
        else:
            d = min(decay, (1 + count) / (10 + count))
            mean = d * mean + (1 - d) * weights
        count += 1
    live = flat(network)
    counters = {int(v) for k, v in network.state_dict().items() if "num_batches" in k}
    callback.on_validation_start(make_trainer(8), task)
    assert np.allclose(flat(network), mean, rtol=1e-5, atol=1e-6)
    assert not np.allclose(live, mean, atol=1e-3)
    assert counters == {8}
    callback.on_train_batch_start(make_trainer(8), task)
    assert np.array_equal(flat(network), live)


def test_swa_is_that_of_torch():
    """The mean of the ends of epochs, with statistics by one pass, against torch's own."""
    task, network = make_task()
    callback = averaging(average="swa", average_start=0.3)
    theirs = None
    for step in range(1, 16):
        move(network, step)
        callback.on_train_batch_end(make_trainer(step), task)
        if step % 3:
            continue
        if step >= 6:
            theirs = theirs or AveragedModel(network)
            theirs.update_parameters(network)
        live = flat(network)
        network.eval()
        with torch.inference_mode():
            callback.on_validation_start(make_trainer(step, step // 3 - 1), task)
        assert (theirs is None) == np.array_equal(flat(network), live)
        network.train()
        callback.on_train_epoch_end(make_trainer(step), task)
        callback.on_train_epoch_start(make_trainer(step), task)
        assert np.array_equal(flat(network), live)
    assert theirs.n_averaged == 4
    update_bn(IMAGES, theirs)
    callback.on_validation_start(make_trainer(15), task)
    expected = dict(theirs.module.state_dict())
    for key, value in network.state_dict().items():
        if "num_batches" not in key:
            assert torch.allclose(value, expected[key], rtol=1e-4, atol=1e-5), key
    assert not any(module.training for module in network.modules())
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_an_epoch_without_validation_counts_too():
    task, network = make_task()
    callback = averaging(average="swa", average_start=0.0)
    ends = []
    for step in (2, 4):
        move(network, step)
        ends.append(flat(network))
        callback.on_train_epoch_end(make_trainer(step), task)
    callback.on_validation_start(make_trainer(4), task)
    named = {n for n, _ in network.named_parameters()}
    state = {k: v for k, v in network.state_dict().items() if v.is_floating_point()}
    is_weight = np.concatenate([np.full(v.numel(), k in named) for k, v in state.items()])
    assert np.allclose(flat(network)[is_weight], np.mean(ends, axis=0)[is_weight], atol=1e-6)


def test_frozen_norms_keep_their_statistics():
    task, network = make_task()
    config = parse_config({"data": {"tiles": ["t"]}, "model": {"freeze": ["stage8"]}})
    callback = averaging(plan_freezing(network, config.model), average="swa", average_start=0.0)
    network.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    callback.on_validation_start(make_trainer(1), task)
    statistics = {key for key in before if "running_mean" in key}
    same = {key for key in statistics if network.state_dict()[key].equal(before[key])}
    assert same == {key for key in statistics if ".stage8." in key}
    assert same


def test_a_checkpoint_within_validation_holds_both():
    task, network = make_task()
    callback = averaging(average="ema", average_start=0.0)
    for step in (1, 2):
        move(network, step)
        callback.on_train_batch_end(make_trainer(step), task)
    plain = {"state_dict": task.state_dict()}
    callback.on_save_checkpoint(make_trainer(2), task, plain)
    plain = copy.deepcopy(plain)
    callback.on_validation_start(make_trainer(2), task)
    within = {"state_dict": task.state_dict()}
    callback.on_save_checkpoint(make_trainer(2), task, within)
    assert plain["averaging"]["count"] == within["averaging"]["count"] == 2
    for part in (lambda c: c["state_dict"], lambda c: c["averaging"]["mean"]):
        assert part(plain).keys() == part(within).keys()
        assert all(value.equal(part(within)[key]) for key, value in part(plain).items())


# --- whole trainings -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


def run_of(land, run, *, epochs=3, samples=8, checkpoint=None, **train):
    torch.manual_seed(3)
    setup = prepare(configure_land(
        land, model={"arch": "regseg"},
        data={"samples": samples}, train={"epochs": epochs, "batch_size": 4, **train},
        schedule={"name": "constant"}, optimizer={"lr": 0.01},
    ))  # fmt: skip
    run.mkdir(exist_ok=True)
    with quiet_libraries():
        result = fit(setup, run, checkpoint, Progress())
    last = read_checkpoint(run / "checkpoints" / "last.ckpt")
    return setup, result, last


def network_part(state):
    return {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_the_mean_validates_and_is_kept(land, tmp_path, kind):
    """The confusion of the epoch is that of the mean, counted here anew from the checkpoint."""
    options = {"average": kind, "average_start": 0.0, "monitor": "max epoch"}  # the last is kept
    setup, result, last = run_of(land, tmp_path, samples=32, epochs=2, accumulate=2, **options)
    mean = last["averaging"]["mean"]
    assert last["averaging"]["count"] == {"ema": 8, "swa": 2}[kind]
    best = network_part(read_checkpoint(result.checkpoint)["state_dict"])
    assert all(value.equal(best[key]) for key, value in mean.items())
    live = network_part(last["state_dict"])
    kernels = [key for key, value in mean.items() if value.ndim == 4]
    assert kernels
    assert not any(live[key].equal(mean[key]) for key in kernels)
    counts = []
    for state in (best, live):
        network = build_model(setup.spec)
        network.load_state_dict(state)
        counts.append(count(setup, network.eval()))
    assert result.history[-1]["val/pixel_accuracy"] == pytest.approx(counts[0], abs=1e-6)
    assert counts[0] != counts[1]


@torch.no_grad()
def count(setup, network):
    right = seen = 0
    for index in range(len(setup.val)):
        sample = setup.val[index]
        predicted = network(setup.scaling.apply(sample["image"][None])).argmax(dim=1)[0]
        known = sample["target"] != 255
        right += int((predicted == sample["target"])[known].sum())
        seen += int(known.sum())
    return right / seen


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_a_resumed_run_ends_with_the_same_mean(land, tmp_path, kind):
    options = {"average": kind, "average_start": 0.0}
    _, whole, whole_last = run_of(land, tmp_path / "whole", **options)
    _, _, first = run_of(land, tmp_path / "cut", epochs=1, **options)
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    _, resumed, resumed_last = run_of(land, tmp_path / "cut", checkpoint=last, **options)
    assert first["averaging"]["count"] < whole_last["averaging"]["count"]
    for part in (lambda c: c["state_dict"], lambda c: c["averaging"]["mean"]):
        assert all(v.equal(part(resumed_last)[k]) for k, v in part(whole_last).items())
    figures = [{k: v for k, v in row.items() if k[:3] == "val"} for row in whole.history]
    assert figures == [{k: v for k, v in row.items() if k[:3] == "val"} for row in resumed.history]


def test_training_itself_is_that_without_a_mean(land, tmp_path):
    _, _, plain = run_of(land, tmp_path / "plain", epochs=2)
    for kind in ("ema", "swa"):
        _, _, other = run_of(land, tmp_path / kind, epochs=2, average=kind, average_start=0.0)
        assert all(v.equal(other["state_dict"][k]) for k, v in plain["state_dict"].items())


def test_sample_images_are_the_same_each_time(land):
    setup = prepare(configure_land(land, data={"samples": 16}))
    batches = [torch.stack(list(sample_images(setup.train, 10, 4))) for _ in range(2)]
    assert batches[0].shape == (2, 4, 2, 16, 16)
    assert batches[0].equal(batches[1])
    many = list(sample_images(setup.train, 10_000, 2))
    assert len(many) == 64
    assert len(list(sample_images(setup.train, 1, 4))) == 1


@pytest.mark.parametrize(
    "wrong", [{"average": "mean"}, {"average_decay": 1.0}, {"average_start": 1.0}]
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LoopConfig(**wrong)
