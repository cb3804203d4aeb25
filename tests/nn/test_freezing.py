"""What is frozen does not change, in no bit; what is let go does."""

import logging
from types import SimpleNamespace

import pytest
import torch
from small_land import configure_land, make_land
from torch import nn

from geoseg.errors import ConfigError
from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.config import dump_config, load_config, parse_config
from geoseg.nn.config_tables import ModelConfig
from geoseg.nn.freezing import Freezing, plan_freezing
from geoseg.nn.loop import fit, quiet_libraries
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.optim import OptimizerConfig, build_optimizer
from geoseg.nn.setup import prepare
from geoseg.progress import Progress


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


def unet():
    return build_model(ModelSpec(arch="unet", encoder="resnet18", in_channels=2, classes=3))


def model(**tables):
    return ModelConfig.model_validate({"encoder": "resnet18", **tables})


def course(land, run, epochs=2, checkpoint=None, **tables):
    """Train a small U-Net for two steps an epoch; its weights before and after."""
    torch.manual_seed(3)
    config = configure_land(
        land, model={"arch": "unet", "encoder": "resnet18", **tables}, data={"samples": 8},
        train={"epochs": epochs, "batch_size": 4}, schedule={"name": "constant"},
        optimizer={"weight_decay": 0.1},
    )  # fmt: skip
    setup = prepare(config)
    before = {key: value.clone() for key, value in setup.network.state_dict().items()}
    run.mkdir(exist_ok=True)
    with quiet_libraries():
        fit(setup, run, checkpoint, Progress())
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return before, {k.removeprefix("network."): v for k, v in state.items() if "network." in k}


def changed(before, after, prefix, kind=""):
    return {
        key for key, value in before.items()
        if key.startswith(f"network.{prefix}") and kind in key and not value.equal(after[key])
    }  # fmt: skip


# --- whole trainings -------------------------------------------------------------------------


def test_a_frozen_encoder_keeps_every_bit(land, tmp_path):
    before, after = course(land, tmp_path, freeze="encoder", weights="none")
    assert not changed(before, after, "encoder")
    assert changed(before, after, "decoder", "running_mean")
    assert changed(before, after, "segmentation_head", "weight")


def test_norms_keep_their_statistics_and_train_their_scales(land, tmp_path):
    before, after = course(land, tmp_path, freeze_norm=True)
    assert not changed(before, after, "", "running")
    assert not changed(before, after, "", "num_batches")
    assert "network.encoder.bn1.weight" in changed(before, after, "encoder.bn1")
    assert changed(before, after, "encoder.conv1")


STAGES = {
    "freeze": ["encoder"],
    "unfreeze": [
        {"epoch": 3, "modules": ["encoder.layer3"]},
        {"epoch": 2, "modules": ["encoder.layer4"]},
    ],
}


def test_stages_train_when_their_epoch_comes(land, tmp_path):
    before, after = course(land, tmp_path / "1", epochs=1, **STAGES)
    assert not changed(before, after, "encoder")
    before, after = course(land, tmp_path / "2", epochs=2, **STAGES)
    assert {key.split(".")[2] for key in changed(before, after, "encoder")} == {"layer4"}
    assert changed(before, after, "encoder.layer4", "running_mean")
    before, whole = course(land, tmp_path / "3", epochs=3, **STAGES)
    assert {key.split(".")[2] for key in changed(before, whole, "encoder")} == {"layer3", "layer4"}
    last = tmp_path / "1" / "checkpoints" / "last.ckpt"
    _, resumed = course(land, tmp_path / "4", epochs=3, checkpoint=last, **STAGES)
    assert all(value.equal(resumed[key]) for key, value in whole.items())


# --- the plan --------------------------------------------------------------------------------


def test_several_processes_compute_gradients_and_drop_them():
    """DDP must not see parameters come and go; the steps are those of one process."""
    config = model(freeze="encoder", unfreeze=[{"epoch": 2, "modules": ["encoder.layer4"]}])
    image, found = torch.randn(4, 2, 32, 32), []
    for processes in (1, 2):
        torch.manual_seed(0)
        network = unet()
        plan = plan_freezing(network, config)
        plan.settle(network)
        freezing = Freezing(plan)
        module = SimpleNamespace(network=network)
        optimizer = build_optimizer(network, OptimizerConfig(weight_decay=0.5))
        trains = []
        for epoch in range(2):
            trainer = SimpleNamespace(world_size=processes, current_epoch=epoch)
            freezing.on_train_epoch_start(trainer, module)
            for _ in range(2):
                freezing.on_train_batch_start()
                optimizer.zero_grad()
                network(image).square().mean().backward()
                freezing.on_before_optimizer_step(trainer, module, optimizer)
                optimizer.step()
            trains.append(network.encoder.layer4[0].conv1.weight.requires_grad)
        assert trains == ([False, True] if processes == 1 else [True, True])
        found.append({key: value.clone() for key, value in network.state_dict().items()})
    assert all(value.equal(found[1][key]) for key, value in found[0].items())


def test_lightning_turns_norms_to_training_and_they_are_held():
    network = unet()
    freezing = Freezing(plan_freezing(network, model(freeze_norm=True)))
    trainer = SimpleNamespace(world_size=1, current_epoch=0)
    freezing.on_train_start(trainer, SimpleNamespace(network=network))
    network.train()
    freezing.on_train_batch_start()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert network.training
    assert network.network.encoder.layer1.training


def test_the_log_tells_what_is_frozen(caplog):
    network = unet()
    with caplog.at_level(logging.INFO):
        plan = plan_freezing(network, model(freeze=["encoder.layer4", "encoder.conv1"]))
    plan.settle(network)
    frozen = {n for n, p in network.network.named_parameters() if not p.requires_grad}
    assert all(n.startswith(("encoder.layer4.", "encoder.conv1.")) for n in frozen)
    assert len(frozen) == 16
    millions = sum(p.numel() for p in network.parameters() if not p.requires_grad) / 1e6
    assert f"encoder.layer4, encoder.conv1, {millions:.1f} of 14.3 million" in caplog.text
    assert "begins at random" in caplog.text


def test_a_prefix_of_a_name_is_no_module():
    plan = plan_freezing(unet(), model(freeze=["encoder.layer1.0.conv1"]))
    assert set(plan.parameters) == {"encoder.layer1.0.conv1.weight"}
    assert not plan.norms


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"freeze": ["encodr"]}, r"freeze: 'encodr' is no module of unet with resnet18\. Known "
                                 r"are encoder, decoder, segmentation_head"),
        ({"freeze": ["encoder.layer5"]}, r"Known are encoder\.conv1, encoder\.bn1, .*layer4"),
        ({"freeze": ["encoder.conv1.x"]}, r"Known are encoder\.conv1\."),
        ({"freeze": "encoder", "unfreeze": [{"epoch": 2, "modules": ["decoder"]}]},
         r"unfreeze: decoder is not frozen"),
        ({"freeze": "encoder", "unfreeze": [{"epoch": 2, "modules": ["layer4"]}]},
         r"unfreeze: 'layer4' is no module"),
        ({"freeze": ["encoder", "decoder", "segmentation_head"]}, "nothing is left to train"),
    ],
)  # fmt: skip
def test_wrong_modules(tables, told):
    with pytest.raises(ConfigError, match=told):
        plan_freezing(unet(), model(**tables))


def test_no_encoder_to_freeze():
    network = build_model(ModelSpec(arch="segnet", in_channels=2, classes=2))
    with pytest.raises(ConfigError, match=r"segnet has no encoder\. Known are "):
        plan_freezing(network, model(arch="segnet", freeze="encoder"))


def test_wrong_tables_are_told():
    for table, told in (
        ({"freeze": "decoder"}, r"model\.freeze = 'decoder': give .* list of modules, such as"),
        ({"freeze": "encoder", "unfreeze": [{"epoch": 1, "modules": ["encoder"]}]}, "greater"),
        ({"freeze": "encoder", "unfreeze": [{"epoch": 2}]}, "modules"),
    ):
        with pytest.raises(ConfigError, match=told):
            parse_config({"data": {"tiles": ["t"]}, "model": table})


def test_the_table_is_written_and_read(tmp_path):
    config = parse_config({"data": {"tiles": ["/t"]}, "model": {"encoder": "resnet18", **STAGES}})
    (tmp_path / "c.toml").write_text(dump_config(config))
    assert load_config(tmp_path / "c.toml") == config
