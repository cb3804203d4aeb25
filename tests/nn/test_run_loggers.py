"""TensorBoard, Weights & Biases and MLflow: what each is told, and what is refused."""

import errno
import logging
import os
from unittest.mock import create_autospec

import numpy as np
import pytest
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from geoseg.errors import ConfigError
from geoseg.nn import run_loggers
from geoseg.nn.config import dump_config, parse_config
from geoseg.nn.run_loggers import (
    check_loggers,
    close_loggers,
    log_figures,
    log_picture,
    make_loggers,
    open_loggers,
)

FACTS = {"versions": {"torch": "9"}, "git": {"commit": "abc", "dirty": False}}
PIXELS = np.full((20, 30, 3), 77, np.uint8)


def configure(**log):
    return parse_config({"name": "roofs", "data": {"tiles": ["t"]}, "log": log})


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run-7").mkdir()
    return tmp_path / "run-7"


def events(run):
    accumulator = EventAccumulator(str(run / "tensorboard"))
    accumulator.Reload()
    return accumulator


def test_tensorboard_gets_figures_pictures_and_the_configuration(run):
    config = configure()
    with open_loggers(config, run, {}, FACTS) as loggers:
        for step in (10, 20):
            log_figures(loggers, {"val/mean_iou": step / 100}, step)
            log_picture(loggers, "samples", PIXELS, step)
    found = events(run)
    assert [(e.step, round(e.value, 6)) for e in found.Scalars("val/mean_iou")] == [
        (10, 0.1), (20, 0.2),
    ]  # fmt: skip
    assert [(e.step, e.width, e.height) for e in found.Images("samples")] == [
        (10, 30, 20), (20, 30, 20),
    ]  # fmt: skip
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert dump_config(config).strip() in text
    told = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"model.arch" in told and b"git.commit" in told and b"abc" in told
    assert {path.name for path in run.iterdir()} == {"tensorboard"}


def test_nothing_is_made_where_nothing_is_wanted(run):
    assert make_loggers(configure(tensorboard=False), run, {}, FACTS) == []
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_told_with_its_cure(monkeypatch, name):
    monkeypatch.setattr(run_loggers, "find_spec", lambda module: None)
    check_loggers(configure().log)
    with pytest.raises(ConfigError) as caught:
        check_loggers(configure(**{name: "x"}).log)
    assert str(caught.value) == (
        f"log.{name}: the package {name} is not installed. pip install geoseg[track]."
    )


class Service:
    """Stands for a logger of Lightning: keeps how it was made and what it was told."""

    def __init__(self, **made):
        self.made, self.told = made, []
        self.run_id = made.get("run_id") or "m1"
        self.experiment = type("Run", (), {"id": made.get("id") or "w1"})()

    def log_hyperparams(self, parameters):
        self.told.append(parameters)


def test_services_are_asked_for_by_project_and_name_and_told_the_configuration(run, monkeypatch):
    monkeypatch.setattr(run_loggers, "WandbLogger", Service)
    monkeypatch.setattr(run_loggers, "MLFlowLogger", Service)
    config, ids = configure(tensorboard=False, wandb="town", mlflow="http://here"), {}
    wandb, mlflow = make_loggers(config, run, ids, FACTS)
    assert ids == {"wandb": "w1", "mlflow": "m1"}
    assert (wandb.made["project"], wandb.made["name"], wandb.made["id"]) == ("town", "run-7", None)
    assert wandb.made["save_dir"] == run and wandb.made["resume"] == "allow"
    made = {"experiment_name": "roofs", "run_name": "run-7", "tracking_uri": "http://here"}
    assert mlflow.made == {**made, "run_id": None}
    for service in (wandb, mlflow):
        (told,) = service.told
        assert told["model.arch"] == "unet" and told["git.commit"] == "abc"
        assert all(isinstance(value, str | int | float | bool) for value in told.values())
    wandb, mlflow = make_loggers(config, run, ids, FACTS)  # resumed
    assert (wandb.made["id"], mlflow.made["run_id"]) == ("w1", "m1")
    assert mlflow.told == []  # it would refuse to be told twice
    named = configure(tensorboard=False, wandb="town", name="try")
    assert make_loggers(named, run, {}, FACTS)[0].made["name"] == "try"


@pytest.mark.parametrize(("key", "name"), [("wandb", "WandbLogger"), ("mlflow", "MLFlowLogger")])
def test_a_service_that_refuses_is_told_in_a_line(run, monkeypatch, key, name):
    def refuse(**made):
        raise OSError("no such project.\nlong story")

    monkeypatch.setattr(run_loggers, name, refuse)
    with pytest.raises(ConfigError) as caught:
        make_loggers(configure(tensorboard=False, **{key: "x"}), run, {}, FACTS)
    assert str(caught.value) == (
        f"log.{key}: cannot be used (no such project). Mend it, or leave it out."
    )


def test_each_service_gets_a_picture_in_its_own_way():
    tensorboard = create_autospec(TensorBoardLogger, instance=True)
    wandb = create_autospec(WandbLogger, instance=True)
    mlflow = create_autospec(MLFlowLogger, instance=True)
    mlflow.run_id = "m1"
    log_picture([tensorboard, wandb, mlflow], "confusion", PIXELS, 40)
    tensorboard.experiment.add_image.assert_called_once_with(
        "confusion", PIXELS, 40, dataformats="HWC"
    )
    wandb.log_image.assert_called_once_with(key="confusion", images=[PIXELS], step=40)
    mlflow.experiment.log_image.assert_called_once_with("m1", PIXELS, "confusion/00000040.png")


def test_a_service_that_is_lost_ends_no_training(caplog):
    lost = create_autospec(MLFlowLogger, instance=True)
    lost.log_metrics.side_effect = ConnectionError("no route\nto host")
    other = create_autospec(TensorBoardLogger, instance=True)
    with caplog.at_level(logging.WARNING):
        log_figures([lost, other], {"lr": 0.1}, 3)
    other.log_metrics.assert_called_once_with({"lr": 0.1}, step=3)
    assert [record.getMessage() for record in caplog.records] == ["log.mlflow: not told (no route)"]


def test_a_full_disk_is_told_in_a_line(run, monkeypatch, caplog):
    """The thread that writes TensorBoard's events dies of it, and pytest heeds its traceback."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_loggers(configure(), run, {}, FACTS) as loggers:
        loggers[0].experiment.flush()
        monkeypatch.setattr(RecordWriter, "write", fail)
        log_figures(loggers, {"lr": 0.1}, 1)
    told = {record.getMessage() for record in caplog.records}
    assert told == {"log.tensorboard: not told ([Errno 28] No space left on device)"}


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("failed", 1)])
def test_the_run_at_wandb_is_ended(status, code):
    wandb = create_autospec(WandbLogger, instance=True)
    close_loggers([wandb], status)
    wandb.finalize.assert_called_once_with(status)
    wandb.experiment.finish.assert_called_once_with(exit_code=code)


@pytest.mark.slow
def test_wandb_itself_takes_a_run_offline(run, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    ids = {}
    config = configure(tensorboard=False, wandb="roofs")
    for step in (1, 2):
        with open_loggers(config, run, ids, FACTS) as loggers:
            log_figures(loggers, {"val/mean_iou": 0.5}, step)
            log_picture(loggers, "samples", PIXELS, step)
    folders = [path for path in (run / "wandb").iterdir() if path.name.startswith("offline-run")]
    assert len(folders) == 2 and all(path.name.endswith(ids["wandb"]) for path in folders)
    assert all(list(path.rglob("samples_*.png")) for path in folders)


@pytest.mark.slow
def test_mlflow_itself_takes_a_run(run, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setitem(os.environ, "MLFLOW_ALLOW_FILE_STORE", "true")
    uri, ids = f"file:{run.parent / 'mlruns'}", {}
    for step in (1, 2):
        with open_loggers(configure(mlflow=uri), run, ids, FACTS) as loggers:
            log_figures(loggers, {"val/iou/low veg": 0.25 * step}, step)
            log_picture(loggers, "samples", PIXELS, step)
    found = mlflow.MlflowClient(uri).get_run(ids["mlflow"])
    assert found.info.run_name == "run-7" and found.info.status == "FINISHED"
    assert found.data.params["model.arch"] == "unet"
    assert found.data.metrics["val/iou/low veg"] == 0.5
