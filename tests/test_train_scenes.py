"""Training that judges itself on whole scenes: the number users will get."""

import csv
import json
import os
import signal

import numpy as np
import pytest
import rasterio
from affine import Affine
from torch_threads import one_thread

import geoseg
from geoseg.engine.options import PredictOptions
from geoseg.errors import BundleError, ConfigError, LabelError, SceneError
from geoseg.geo.comparing import Comparer
from geoseg.geo.raster import SceneOptions
from geoseg.nn.config import parse_config
from geoseg.nn.task import SegmentationTask
from geoseg.predict import predict
from geoseg.tile import TileOptions
from geoseg.train import train

SIDE = 96
LEGEND = """
[[classes]]
value = 0
name = "field"
color = "#e0c080"
[[classes]]
value = 1
name = "roof"
color = "#c04040"
[[classes]]
value = 7
name = "water"
color = "#4060c0"
"""


NUMBERS = {"backend": "torch", "precision": "fp32", "device": "cpu"}
"""Those of the training."""

WINDOWS = {"window": 24, "stride": 7, "blend": "hann"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


def write(path, data, **more):
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    profile = {"driver": "GTiff", "dtype": data.dtype, **shape, **place, **more}
    with rasterio.open(path, "w", **profile) as file:
        file.write(data)
        if data.shape[0] == 2:
            file.descriptions = ("red", "nir")


def make_land(folder, stem, seed, shape):
    """A scene of two noisy bands with a hole, and labels with an unknown corner."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    classes = ((np.sin(rows / 5 + seed) + np.cos(cols / 7) > 0.6) * 1).astype(np.uint8)
    classes[np.sin(rows / 9 + 1) * np.sin(cols / 8) < -0.5] = 7
    means = np.array([[1000, 3000] + 5 * [0] + [2000], [4000, 2000] + 5 * [0] + [500]])
    image = (means[:, classes] + rng.normal(0, 900, (2, *shape))).clip(1).astype(np.uint16)
    image[:, 30:37, 11:40] = 0
    classes[:10, :10] = 255
    write(folder / f"{stem}.tif", image, nodata=0)
    write(folder / f"{stem}_labels.tif", classes[None], nodata=255)


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    folder = tmp_path_factory.mktemp("land")
    make_land(folder, "scene", 0, (SIDE, SIDE))
    make_land(folder, "north", 1, (75, 53))
    make_land(folder, "south", 2, (41, 90))
    (folder / "legend.toml").write_text(LEGEND)
    geoseg.tile(
        [str(folder / "scene.tif")], str(folder / "scene_labels.tif"), folder / "tiles",
        TileOptions(size=16, split=(0.75, 0.25, 0)), legend=folder / "legend.toml",
    )  # fmt: skip
    return folder


@pytest.fixture
def configure(land):
    def _configure(**tables):
        base = {
            "data": {"tiles": [str(land / "tiles")], "crop": 16},
            "model": {"arch": "linear"},
            "optimizer": {"lr": 0.05},
            "train": {"epochs": 3, "device": "cpu", "precision": "fp32", "workers": 0},
            "validate": {
                "scenes": [str(land / "north.tif"), str(land / "south.tif")],
                "labels": str(land / "{stem}_labels.tif"),
            },
        }
        for name, table in tables.items():
            base[name] = {**base.get(name, {}), **table}
        return parse_config(base)

    return _configure


def read_metrics(run):
    with (run / "metrics.csv").open() as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def learnt(run):
    """The rows without what the clock says."""
    timing = {"seconds", "time/data", "time/step", "samples_per_second"}
    return [
        {key: value for key, value in row.items() if key not in timing} for row in read_metrics(run)
    ]


def judge(bundle, land, folder, **options):
    """What `geoseg predict` and `geoseg evaluate` find."""
    scenes = [land / "north.tif", land / "south.tif"]
    predict(scenes, bundle, folder / "maps", PredictOptions(**NUMBERS, **options))
    report = geoseg.evaluate(
        [folder / "maps" / "north.tif", folder / "maps" / "south.tif"],
        land / "{stem}_labels.tif",
    )
    return report.to_dict()


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ({}, {"scene": SceneOptions()}),
        (
            {"window": 24, "stride": 7, "blend": "hann"},
            {"window": 24, "stride": 7, "blend": "hann"},
        ),
        ({"resolution": 0.7}, {"scene": SceneOptions(resolution=0.7)}),
    ],
)
def test_figures_are_those_of_predict_and_evaluate(configure, land, tmp_path, table, options):
    config = configure(
        validate={
            "scenes": [str(land / "north.tif"), str(land / "south.tif")],
            "labels": str(land / "{stem}_labels.tif"),
            **table,
        },
        train={"epochs": 3, "monitor": "max val/scene/mean_iou"},
    )
    result = train(config, tmp_path / "run")
    expected = judge(result.bundle, land, tmp_path, **options)
    found = result.metrics
    assert found["val/scene/mean_iou"] == expected["mean_iou"]
    assert found["val/scene/pixel_accuracy"] == expected["pixel_accuracy"]
    for row in expected["classes"]:
        assert found[f"val/scene/iou/{row['name']}"] == row["iou"]
    assert 0.1 < found["val/scene/mean_iou"] < 1
    report = json.loads((tmp_path / "run" / "report_scenes.json").read_text())
    own = {"scenes", "settings"}
    same = [key for key in expected if key not in own]
    assert {key: report[key] for key in same} == {key: expected[key] for key in same}
    assert report.keys() == expected.keys()
    for one, other in zip(report["scenes"], expected["scenes"], strict=True):
        # What is validated while training lies in no file: it has neither a name nor tags.
        unlike = {"prediction": "", "tags": {}}
        assert {**one, **unlike} == {**other, **unlike}
    rows = read_metrics(tmp_path / "run")
    assert max(row["val/scene/mean_iou"] for row in rows) == found["val/scene/mean_iou"]


@pytest.mark.parametrize(
    "tables",
    [
        {"train": {"average": "ema", "average_decay": 0.8}},
        {"loss": {"terms": [{"name": "binary_cross_entropy"}]}},
        {"model": {"arch": "unet", "encoder": "resnet18"}, "optimizer": {"lr": 0.001}},
        {"data": {"crop_mode": "resize", "crop": 24}},
    ],
)
def test_figures_are_those_of_the_bundle_however_it_came(configure, land, tmp_path, tables):
    """Averaged weights, sigmoids, statistics of normalisations: all are as in the file.

    Who has learnt whole images sees scenes whole, too.
    """
    train_table = {"epochs": 2, "monitor": "max val/scene/pixel_accuracy"}
    tables = {**tables, "train": {**train_table, **tables.get("train", {})}}
    if "model" in tables:
        tables["data"] = {"crop": 32}
    result = train(configure(**tables), tmp_path / "run")
    expected = judge(result.bundle, land, tmp_path)
    assert result.metrics["val/scene/pixel_accuracy"] == expected["pixel_accuracy"]
    assert result.metrics["val/scene/mean_iou"] == expected["mean_iou"]


def test_the_network_learns_the_same_beside_it(configure, tmp_path):
    alone = train(configure(validate={"scenes": [], "labels": ""}), tmp_path / "alone")
    watched = train(configure(), tmp_path / "watched")
    for one, other in zip(learnt(alone.run), learnt(watched.run), strict=True):
        assert {k: v for k, v in other.items() if not k.startswith("val/scene/")} == one
        assert len(other) == len(one) + 5
    assert not (alone.run / "report_scenes.json").exists()
    assert (watched.run / "report_scenes.json").exists()


def test_validation_comes_as_often_as_told_and_with_the_last_epoch(configure, land, tmp_path):
    config = configure(
        train={"epochs": 6, "monitor": "max val/mean_iou"},
        validate={
            "every": 2, "scene_every": 2, "scenes": [str(land / "north.tif")],
            "labels": str(land / "north_labels.tif"),
        },
    )  # fmt: skip
    result = train(config, tmp_path / "run")
    rows = read_metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows if "val/mean_iou" in row] == [2, 4, 6]
    assert [row["epoch"] for row in rows if "val/scene/mean_iou" in row] == [2, 6]
    assert all("train/loss" in row for row in rows)
    # The report of whole scenes is of the best epoch, also if that had none.
    found = json.loads((tmp_path / "run" / "report_scenes.json").read_text())
    assert found["settings"]["epoch"] == result.metrics["epoch"]
    judge(result.bundle, land, tmp_path)
    north = [tmp_path / "maps" / "north.tif"]
    expected = geoseg.evaluate(north, land / "north_labels.tif").to_dict()
    assert found["confusion"] == expected["confusion"]


@pytest.mark.parametrize("budget", [{"steps": 7}, {"epochs": 3}])
def test_the_last_epoch_validates_however_training_ends(configure, tmp_path, budget):
    config = configure(
        train={"epochs": None, **budget},
        validate={"every": 50, "scenes": [], "labels": ""},
    )
    train(config, tmp_path / "run")
    rows = read_metrics(tmp_path / "run")
    assert ["val/mean_iou" in row for row in rows] == [False] * (len(rows) - 1) + [True]


def test_the_best_epoch_is_one_that_was_validated(configure, tmp_path):
    """The rate falls with each epoch, and all of them tell it."""
    config = configure(
        train={"epochs": 5, "monitor": "max lr"},
        validate={"every": 3, "scenes": [], "labels": ""},
    )
    result = train(config, tmp_path / "run")
    rates = [row["lr"] for row in read_metrics(result.run)]
    assert rates == sorted(rates, reverse=True)  # the highest is that of the first
    assert result.metrics["epoch"] == 3
    report = json.loads((result.run / "report.json").read_text())
    assert report["mean_iou"] == result.metrics["val/mean_iou"]


def test_early_stop_counts_validated_epochs(configure, tmp_path):
    config = configure(
        train={"epochs": 40, "early_stop": 2, "monitor": "min lr_no"},
        validate={"every": 3, "scenes": [], "labels": ""},
    )
    with pytest.raises(ConfigError, match="lr_no is no figure"):
        train(config, tmp_path / "run")
    config = configure(
        train={"epochs": 40, "early_stop": 2, "monitor": "min val/mean_accuracy"},
        optimizer={"lr": 0.02},
        schedule={"name": "constant"},
        validate={"every": 3, "scenes": [], "labels": ""},
    )
    train(config, tmp_path / "stopped")
    rows = read_metrics(tmp_path / "stopped")
    judged = [row for row in rows if "val/mean_accuracy" in row]
    figures = [row["val/mean_accuracy"] for row in judged]
    assert figures.index(min(figures)) == len(judged) - 3
    assert len(rows) == 3 * len(judged) < 40


def test_a_resumed_run_goes_on_with_whole_scenes(configure, tmp_path):
    config = configure(train={"epochs": 4}, validate={"scene_every": 2})
    whole = train(config, tmp_path / "whole")
    first = configure(train={"epochs": 4}, validate={"scene_every": 2})
    # As if it had been stopped: the checkpoint of two epochs alone.
    short = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 2})})
    train(short, tmp_path / "resumed")
    text = (tmp_path / "whole" / "config.toml").read_text()
    (tmp_path / "resumed" / "config.toml").write_text(text)
    resumed = train(first, tmp_path / "resumed", resume=True)
    rows = read_metrics(resumed.run)
    assert len(rows) == 4
    assert next(row["epoch"] for row in rows if "val/scene/mean_iou" in row) == 1
    assert "val/scene/mean_iou" in rows[-1]
    assert whole.metrics.keys() == resumed.metrics.keys()


@pytest.mark.parametrize(
    ("table", "error", "told"),
    [
        ({"scenes": ["nowhere.tif"]}, SceneError, "nowhere.tif"),
        ({"labels": "nowhere.tif"}, (LabelError, SceneError), "nowhere.tif"),
        ({"bands": [1]}, BundleError, "1 band"),
        ({"scale": 1e6}, None, "multiplied by"),
    ],
)
def test_wrong_scenes_are_told_before_any_work(configure, tmp_path, caplog, table, error, told):
    config = configure(validate=table, train={"epochs": 1})
    if error is None:
        train(config, tmp_path / "run")
        assert told in caplog.text
        return
    with pytest.raises(error, match=told) as caught:
        train(config, tmp_path / "run")
    assert "--" not in str(caught.value)
    assert not (tmp_path / "run" / "config.toml").exists()


def test_labels_elsewhere_are_told(configure, land, tmp_path):
    away = Affine(2, 0, 9, 0, -2, 9)
    write(land / "far_labels.tif", np.zeros((1, 8, 8), np.uint8), transform=away)
    config = configure(
        validate={"scenes": [str(land / "north.tif")], "labels": str(land / "far_labels.tif")}
    )
    with pytest.raises(LabelError, match="does not touch"):
        train(config, tmp_path / "run")


def test_scenes_that_are_learnt_are_warned_of(configure, land, tmp_path, caplog):
    config = configure(
        train={"epochs": 1},
        validate={"scenes": [str(land / "scene.tif")], "labels": str(land / "scene_labels.tif")},
    )
    train(config, tmp_path / "run")
    assert "scene.tif: is trained on too" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_processes")
def test_two_processes_share_the_scenes_and_tell_the_same(configure, land, tmp_path):
    """The bundle of two processes, judged in one, has the figures that they told."""
    make_land(land, "east", 3, (33, 60))
    scenes = [str(land / f"{stem}.tif") for stem in ("north", "south", "east")]
    labels = str(land / "{stem}_labels.tif")
    config = configure(
        train={"epochs": 2, "devices": 2, "batch_size": 2, "monitor": "max val/scene/mean_iou"},
        validate={"scenes": scenes, "labels": labels},
    )
    result = train(config, tmp_path / "run")
    predict(scenes, result.bundle, tmp_path / "maps", PredictOptions(**NUMBERS))
    maps = [tmp_path / "maps" / f"{stem}.tif" for stem in ("north", "south", "east")]
    expected = geoseg.evaluate(maps, labels).to_dict()
    assert result.metrics["val/scene/mean_iou"] == expected["mean_iou"]
    report = json.loads((tmp_path / "run" / "report_scenes.json").read_text())
    assert report["confusion"] == expected["confusion"]
    assert [one["pixels"] for one in report["scenes"]] == [
        one["pixels"] for one in expected["scenes"]
    ]


def test_a_signal_ends_the_prediction_of_a_scene(configure, tmp_path, monkeypatch):
    """What comes of the run after --resume is what comes of one that was never stopped."""
    config = configure(train={"epochs": 3})
    whole = train(config, tmp_path / "whole")
    count, calls = Comparer.count, []

    def interrupt(self, raster):
        calls.append(1)
        if len(calls) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        count(self, raster)

    monkeypatch.setattr(Comparer, "count", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped")
    assert len(calls) == 12
    note = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert note["status"] == "stopped"
    resumed = train(config, tmp_path / "stopped", resume=True)
    assert learnt(resumed.run) == learnt(whole.run)
    note = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert note["status"] == "finished" and len(note["starts"]) == 2


@pytest.mark.parametrize("batch", [3, 5, 6])
def test_a_stop_in_epochs_that_are_not_validated(configure, tmp_path, monkeypatch, batch):
    """The last batch of an epoch is followed by validation in some epochs, in others not."""
    config = configure(train={"epochs": 4}, validate={"every": 2, "scenes": [], "labels": ""})
    whole = train(config, tmp_path / "whole")
    step, calls = SegmentationTask.training_step, []

    def interrupt(self, *given):
        calls.append(1)
        if len(calls) == batch:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *given)

    monkeypatch.setattr(SegmentationTask, "training_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped")
    resumed = train(config, tmp_path / "stopped", resume=True)
    assert len(calls) == 12
    assert learnt(resumed.run) == learnt(whole.run)
