"""The job `train`: what a run leaves behind, how it is resumed, what it refuses."""

import csv
import json
import logging
import os
import pickle
import signal
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix
from small_land import configure_land, make_land
from small_networks import ENCODER, OPTIONS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch_threads import one_thread

import geoseg
from geoseg.errors import ConfigError, OutputError, TileSetError, WorkError
from geoseg.geo.tileset import TileSet
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.config import load_config, parse_config
from geoseg.nn.keeper import Keeper
from geoseg.nn.pictures import Pictures
from geoseg.nn.pixel_losses import PixelLoss
from geoseg.progress import Progress
from geoseg.train import train


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    """A scene of two noisy bands, its labels with an unknown corner, and a tile set of it."""
    return make_land(tmp_path_factory.mktemp("land"))


@pytest.fixture
def configure(land):
    return partial(configure_land, land)


def read_metrics(run):
    with (run / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def without_times(row):
    return {
        key: value
        for key, value in row.items()
        if not key.startswith("time/") and key not in {"seconds", "samples_per_second"}
    }


def weights(bundle_path):
    return ModelBundle.open(bundle_path).state


# --- what a run makes ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(land, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    before = Path.cwd()
    os.chdir(folder)
    try:
        config = parse_config({
            "name": "roofs",
            "data": {"tiles": [str(land / "tiles")], "crop": 16},
            "model": {"arch": "linear"},
            "optimizer": {"lr": 0.05},
            "train": {"epochs": 12, "device": "cpu", "precision": "fp32", "workers": 0},
        })  # fmt: skip
        result = train(config)
    finally:
        os.chdir(before)
    return folder, config, result


def test_the_run_folder_holds_what_is_promised_and_nothing_else(finished):
    folder, _, result = finished
    assert result.run == Path("runs/roofs")
    run = folder / result.run
    names = {p.name for p in run.iterdir()}
    assert names == {
        "config.toml", "model.safetensors", "metrics.csv", "curves.png", "confusion.png",
        "samples.png", "report.json", "run.json", "run.log", "checkpoints", "tensorboard",
    }  # fmt: skip
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert all("events" in p.name for p in (run / "tensorboard").iterdir())
    assert [p.name for p in folder.iterdir()] == ["runs"]


def test_the_loss_falls_and_the_majority_is_beaten(finished, land):
    folder, _, result = finished
    rows = read_metrics(folder / result.run)
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["train/loss"] < 0.6 * rows[0]["train/loss"]
    card = json.loads((land / "tiles" / "tileset.json").read_text())
    pixels = np.array(list(card["class_counts"]["val"].values()))
    majority = pixels.max() / pixels.sum()
    assert result.metrics["val/pixel_accuracy"] > majority + 0.1
    assert result.metrics["val/mean_iou"] > majority / 3 + 0.2
    assert result.metrics["val/mean_iou"] == max(row["val/mean_iou"] for row in rows)
    assert rows[0]["lr"] == pytest.approx(0.05 * (1 + np.cos(np.pi / 12)) / 2)


def test_the_card_tells_all(finished, land):
    folder, config, result = finished
    bundle = ModelBundle.open(folder / result.bundle)
    card = bundle.card
    assert bundle.legend.names == ("field", "roof", "water")
    assert (card.bands, card.dtype) == (("red", "nir"), "uint16")
    assert (card.window, card.stride) == (16, 8)
    assert card.resolution == pytest.approx(0.5, rel=1e-3)
    stats = json.loads((land / "tiles" / "tileset.json").read_text())["stats"]
    assert card.scaling.mean == pytest.approx(stats["mean"])
    assert card.scaling.std == pytest.approx(stats["std"])
    told = card.provenance
    assert (told["name"], told["seed"]) == ("roofs", 42)
    assert told["config"] == config.model_dump(mode="json")
    assert told["metrics"]["val/mean_iou"] == pytest.approx(result.metrics["val/mean_iou"])
    assert told["versions"]["geoseg"] == geoseg.__version__
    assert len(told["data"]["fingerprint"]) == 64


def test_the_bundle_has_the_weights_of_the_best_epoch(finished, land):
    folder, _, result = finished
    bundle = ModelBundle.open(folder / result.bundle)
    network, hits, seen = bundle.build(), 0, 0
    tileset = geoseg.TileSet.open(land / "tiles")
    for tile in tileset.split("val"):
        data, mask, _ = tileset.read_tile(tile)
        image = torch.tensor(data.astype(np.float32))[None]
        with torch.no_grad():
            predicted = network(bundle.card.scaling.apply(image)).argmax(dim=1)[0].numpy()
        hits += ((predicted == mask) & (mask != 255)).sum()
        seen += (mask != 255).sum()
    assert hits / seen == pytest.approx(result.metrics["val/pixel_accuracy"], abs=1e-3)


def test_the_report_is_of_the_best_epoch_and_of_each_scene(finished, land):
    folder, _, result = finished
    bundle = ModelBundle.open(folder / result.bundle)
    network, legend = bundle.build(), bundle.legend
    references, predictions = [], []
    tileset = geoseg.TileSet.open(land / "tiles")
    for tile in tileset.split("val"):
        data, mask, valid = tileset.read_tile(tile)
        with torch.no_grad():
            image = torch.tensor(data.astype(np.float32))[None]
            predicted = network(bundle.card.scaling.apply(image)).argmax(dim=1)[0].numpy()
        counted = valid & (mask != 255)
        references.append(mask[counted])
        predictions.append(predicted[counted])
    expected = confusion_matrix(np.concatenate(references), np.concatenate(predictions))
    report = json.loads((folder / result.run / "report.json").read_text())
    assert np.abs(np.array(report["confusion"]) - expected).sum() <= 2  # other batches, other sums
    assert report["mean_iou"] == pytest.approx(result.metrics["val/mean_iou"])
    assert report["kappa"] == pytest.approx(result.metrics["val/kappa"])
    (scene,) = report["scenes"]
    assert scene["prediction"] == str(land / "scene.tif")
    assert scene["labels"] == str(land / "tiles")
    assert scene["confusion"] == report["confusion"]
    assert report["pixels"]["counted"] == expected.sum()
    assert [row["name"] for row in report["classes"]] == list(legend.names)
    assert report["settings"]["epoch"] == result.metrics["epoch"]
    assert {"boundary", "objects", "area", "trivial"} <= set(report)


def test_the_run_is_written_down(finished):
    folder, config, result = finished
    found = json.loads((folder / result.run / "run.json").read_text())
    assert found["status"] == "finished" and len(found["starts"]) == 1
    assert found["config"] == config.model_dump(mode="json")
    assert found["best"]["val/mean_iou"] == result.metrics["val/mean_iou"]
    assert {"all", "validation", "checkpoints"} <= set(found["starts"][0]["timings"])
    lines = (folder / result.run / "run.log").read_text().splitlines()
    assert sum("INFO epoch " in line for line in lines) == 12
    assert any("samples of 16 x 16 pixels" in line for line in lines)  # from before the folder


def test_pictures_come_while_it_learns_and_change_nothing(configure, tmp_path, monkeypatch):
    quiet = train(configure(), tmp_path / "quiet")
    monkeypatch.setattr(Pictures, "drawing_share", 1e9)
    seen, make = [], Pictures._make

    def watch(self, trainer, module, folder):
        make(self, trainer, module, folder)
        seen.append({path.name: path.stat().st_mtime_ns for path in self._run.glob("*.png")})

    monkeypatch.setattr(Pictures, "_make", watch)
    drawn = train(configure(), tmp_path / "drawn")
    assert len(seen) == 4 and all("curves.png" in names for names in seen)
    assert set(seen[0]) == {"curves.png", "confusion.png", "samples.png"}
    first, second = weights(quiet.bundle), weights(drawn.bundle)
    assert all(torch.equal(first[key], second[key]) for key in first)
    events = EventAccumulator(str(drawn.run / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    steps = [int(row["step"]) for row in read_metrics(drawn.run)]
    assert [image.step for image in events.Images("samples")] == steps
    assert [image.step for image in events.Images("best/confusion")] == [drawn.metrics["step"]]
    timings = json.loads((drawn.run / "run.json").read_text())["starts"][0]["timings"]
    assert timings["pictures"] > 0


def test_the_resolved_config_trains_the_same_again(finished, tmp_path):
    folder, config, result = finished
    again = load_config(folder / result.run / "config.toml")
    assert again == config
    repeated = train(again, tmp_path / "again")
    first, second = weights(folder / result.bundle), weights(repeated.bundle)
    assert all(first[key].equal(second[key]) for key in first)


@pytest.mark.parametrize("name", ["curves.png", "confusion.png", "samples.png"])
def test_pictures_are_drawn(finished, name):
    folder, _, result = finished
    with Image.open(folder / result.run / name) as picture:
        assert min(picture.size) > 200
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 5


def test_the_config_file_is_toml_with_absolute_paths(finished, land):
    folder, _, result = finished
    tables = tomllib.loads((folder / result.run / "config.toml").read_text())
    assert tables["data"]["tiles"] == [str(land / "tiles")]


def test_nothing_is_said_by_others(configure, tmp_path, capfd):
    train(configure(train={"epochs": 1}), tmp_path / "run")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# --- budgets ---------------------------------------------------------------------------------


def test_steps_end_training_within_an_epoch_and_validate(configure, tmp_path):
    config = configure(train={"epochs": None, "steps": 5, "batch_size": 8})
    result = train(config, tmp_path / "run")
    rows = read_metrics(result.run)
    assert [row["step"] for row in rows] == [3, 5]
    assert all(np.isfinite(row["val/mean_iou"]) for row in rows)
    assert rows[-1]["lr"] == pytest.approx(0)


def test_minutes_end_training(configure, tmp_path):
    config = configure(train={"epochs": None, "minutes": 0.02}, schedule={"name": "poly"})
    result = train(config, tmp_path / "run")
    rows = read_metrics(result.run)
    assert 1.2 <= rows[-1]["seconds"] < 60
    assert rows[-1]["lr"] < 0.05
    train(config, result.run, resume=True)  # its time is spent
    assert read_metrics(result.run) == rows


def test_early_stop_ends_what_gets_no_better(configure, tmp_path):
    config = configure(train={"epochs": 50, "early_stop": 2}, optimizer={"lr": 1e-12})
    result = train(config, tmp_path / "run")
    assert len(read_metrics(result.run)) == 3
    assert result.metrics["epoch"] == 1


def test_samples_set_the_length_of_an_epoch(configure, tmp_path):
    config = configure(data={"samples": 64}, train={"epochs": 1, "batch_size": 8})
    assert read_metrics(train(config, tmp_path / "run").run)[0]["step"] == 8


def test_another_figure_can_be_monitored(configure, tmp_path):
    config = configure(train={"monitor": "min val/loss"})
    result = train(config, tmp_path / "run")
    assert result.metrics["val/loss"] == min(row["val/loss"] for row in read_metrics(result.run))


def test_an_unknown_figure_lists_the_known(configure, tmp_path):
    config = configure(train={"monitor": "max val/miou"})
    with pytest.raises(ConfigError, match=r"train\.monitor.*val/mean_iou"):
        train(config, tmp_path / "run")


def test_a_dry_run_shows_samples_and_keeps_no_run_from_its_folder(configure, tmp_path):
    run = tmp_path / "run"
    result = train(configure(train={"epochs": 1}), run, dry_run=True)
    assert result.bundle is None and result.metrics == {}
    assert {path.name for path in run.iterdir()} == {"dry_run.png", "dry_run.json"}
    assert result.figures == json.loads((run / "dry_run.json").read_text())
    with Image.open(run / "dry_run.png") as picture:
        assert min(picture.size) > 300
    train(configure(train={"epochs": 1}), run, dry_run=True)  # once more
    assert train(configure(train={"epochs": 1}), run).bundle.is_file()
    assert (run / "dry_run.png").is_file()


def test_a_dry_run_takes_nothing_from_a_run(configure, tmp_path):
    config = configure(train={"epochs": 1})
    kept = train(config, tmp_path / "run").bundle.read_bytes()
    with pytest.raises(OutputError, match="not empty"):
        train(config, tmp_path / "run", dry_run=True)
    train(config, tmp_path / "run", overwrite=True, dry_run=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == kept
    assert train(config, tmp_path / "run", resume=True).bundle.read_bytes()


def test_a_folder_with_more_than_a_dry_run_is_refused(configure, tmp_path):
    run = tmp_path / "run"
    train(configure(), run, dry_run=True)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        train(configure(), run)


def test_a_dry_run_with_a_wrong_augmentation_is_refused(configure):
    with pytest.raises(ConfigError, match="elastic_spacing"):
        configure(augment={"elastic": 30})


# --- resuming --------------------------------------------------------------------------------


class KillAt(Progress):
    """Sends a signal to this process when a step is done."""

    def __init__(self, step, number):
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


@pytest.mark.parametrize(
    ("arch", "number", "ended"),
    [
        ("linear", signal.SIGTERM, SystemExit),
        ("linear", signal.SIGINT, KeyboardInterrupt),
        ("pspnet", signal.SIGTERM, SystemExit),  # has batch norm and dropout
    ],
)
def test_a_resumed_run_ends_with_the_same_weights(
    configure, tmp_path, monkeypatch, arch, number, ended
):
    """R1: n epochs == k epochs, killed in the middle of the next, resumed to n; bit for bit."""
    monkeypatch.setattr(Keeper, "writing_share", np.inf)
    model = {"arch": arch}
    if arch == "pspnet":
        model |= {"encoder": ENCODER, "options": OPTIONS[arch]}
    config = configure(model=model, optimizer={"lr": 1e-3}, train={"epochs": 3, "batch_size": 8})
    whole = train(config, tmp_path / "whole")
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ended) as caught:
        train(config, tmp_path / "cut", progress=KillAt(5, number))
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    if ended is SystemExit:
        assert caught.value.code == 143
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    assert len(read_metrics(tmp_path / "cut")) == 1
    resumed = train(config, tmp_path / "cut", resume=True)
    first, second = weights(whole.bundle), weights(resumed.bundle)
    assert all(first[key].equal(second[key]) for key in first)
    last = [
        torch.load(r.run / "checkpoints/last.ckpt", weights_only=True) for r in (whole, resumed)
    ]
    for key, tensor in last[0]["state_dict"].items():
        assert tensor.equal(last[1]["state_dict"][key]), key
    for one, other in zip(read_metrics(whole.run), read_metrics(resumed.run), strict=True):
        assert without_times(one) == without_times(other)


def test_a_finished_run_is_resumed_to_the_same_end(configure, tmp_path):
    config = configure(train={"epochs": 2})
    first = train(config, tmp_path / "run")
    before = weights(first.bundle)
    again = train(config, tmp_path / "run", resume=True)
    assert all(before[key].equal(tensor) for key, tensor in weights(again.bundle).items())
    assert len(read_metrics(tmp_path / "run")) == 2


def test_resuming_another_config_lists_what_differs(configure, tmp_path):
    train(configure(train={"epochs": 1}), tmp_path / "run")
    other = configure(train={"epochs": 2, "workers": 1}, optimizer={"lr": 0.1})
    with pytest.raises(ConfigError) as caught:
        train(other, tmp_path / "run", resume=True)
    told = str(caught.value)
    assert "optimizer.lr was 0.05, is 0.1" in told
    assert "train.epochs was 1, is 2" in told
    assert "workers" not in told


def test_resuming_on_other_data_is_refused(configure, land, tmp_path):
    train(configure(train={"epochs": 1}), tmp_path / "run")
    listing = land / "tiles" / "train.txt"
    text = listing.read_text()
    try:
        listing.write_text("\n".join(text.split()[:-1]))
        with pytest.raises(ConfigError, match="data are not those"):
            train(configure(train={"epochs": 1}), tmp_path / "run", resume=True)
    finally:
        listing.write_text(text)


def test_resuming_nothing_is_refused(configure, tmp_path):
    with pytest.raises(OutputError, match="no run that can be resumed"):
        train(configure(), tmp_path / "run", resume=True)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("content", ["cut", "empty", "pickle", "garbled"])
def test_a_bad_checkpoint_is_refused(configure, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    config = configure(train={"epochs": 1})
    last = train(config, tmp_path / "run").run / "checkpoints" / "last.ckpt"
    if content == "pickle":
        last.write_bytes(pickle.dumps(Bomb()))
    elif content == "garbled":
        torch.save({"state_dict": {}, "callbacks": []}, last)
    else:
        last.write_bytes(last.read_bytes()[:1000] if content == "cut" else b"")
    with pytest.raises(ConfigError, match=r"last\.ckpt: (is no checkpoint|lacks or garbles)"):
        train(config, tmp_path / "run", resume=True)
    assert not (tmp_path / "exploded").exists()


# --- what is refused -------------------------------------------------------------------------


def test_a_run_is_not_overwritten_unless_asked(configure, tmp_path):
    run = tmp_path / "run"
    train(configure(train={"epochs": 2}), run)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="--resume"):
        train(configure(train={"epochs": 1}), run)
    train(configure(train={"epochs": 1}), run, overwrite=True)
    assert len(read_metrics(run)) == 1
    assert (run / "notes.txt").exists()


def test_a_loss_that_is_no_number_ends_the_run(configure, tmp_path):
    with pytest.raises(WorkError, match=r"step \d+: the loss is (nan|inf)"):
        train(configure(optimizer={"lr": 1e38, "name": "sgd"}), tmp_path / "run")


def test_a_damaged_tile_is_named(configure, land, tmp_path):
    tileset = geoseg.TileSet.open(land / "tiles")
    image = tileset.split("train")[3].image
    content = image.read_bytes()
    try:
        image.write_bytes(content[:100])
        with pytest.raises(TileSetError, match=image.name):
            train(configure(), tmp_path / "run")
    finally:
        image.write_bytes(content)


def test_a_missing_tile_set_leaves_nothing_behind(configure, tmp_path):
    with pytest.raises(TileSetError):
        train(configure(data={"tiles": [str(tmp_path / "none")]}), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_class_weights_must_fit_the_legend(configure, tmp_path):
    config = configure(loss={"class_weights": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="2 weights for 3 classes"):
        train(config, tmp_path / "run")


def test_class_weights_come_from_the_pixels_of_the_training_tiles(
    configure, land, tmp_path, caplog, monkeypatch
):
    tileset = TileSet.open(land / "tiles")
    masks = [tileset.read_tile(tile)[1] for tile in tileset.split("train")]
    pixels = np.bincount(np.concatenate(masks, axis=None), minlength=256)[:3]
    expected = (1 / pixels) / (1 / pixels).mean()
    seen = []
    monkeypatch.setattr(
        PixelLoss,
        "weigh",
        lambda self, weight, *_: seen.append(self.class_weights.tolist()) or weight,
    )
    with caplog.at_level(logging.INFO):
        train(
            configure(loss={"class_weights": "inverse"}, train={"epochs": None, "steps": 1}),
            tmp_path / "run",
        )
    told = ", ".join(f"{n} {w:.4g}" for n, w in zip(tileset.legend.names, expected, strict=True))
    assert f"class weights: {told}" in caplog.text
    np.testing.assert_allclose(seen[0], expected, rtol=1e-6)


def test_a_sigmoid_for_each_class_reaches_bundle_and_map(configure, land, tmp_path):
    terms = [{"name": "binary_cross_entropy"}, {"name": "dice"}]
    result = train(configure(loss={"terms": terms}, train={"epochs": 12}), tmp_path / "run")
    assert result.metrics["val/mean_iou"] > 0.4
    bundle = ModelBundle.open(result.bundle)
    assert bundle.card.activation == "sigmoid"
    options = geoseg.PredictOptions(
        device="cpu", precision="fp32", probabilities=tmp_path / "p.tif", prob_dtype="float32"
    )
    geoseg.predict(str(land / "scene.tif"), result.bundle, tmp_path / "c.tif", options)
    with rasterio.open(land / "scene.tif") as file:
        image = file.read().astype(np.float64)
    scaling, state = bundle.card.scaling, bundle.state
    mean, std = (np.array(v)[:, None, None] for v in (scaling.mean, scaling.std))
    weight = state["network.weight"].double().numpy()[:, :, 0, 0]
    logits = np.tensordot(weight, (image - mean) / std, 1)
    logits += state["network.bias"].double().numpy()[:, None, None]
    with rasterio.open(tmp_path / "p.tif") as file:
        np.testing.assert_allclose(file.read(), 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_an_unknown_encoder_is_told_before_anything_is_written(configure, tmp_path):
    with pytest.raises(ConfigError, match="resnet"):
        train(configure(model={"arch": "unet", "encoder": "resnet19"}), tmp_path / "run")
    assert not list(tmp_path.iterdir())


# --- starting from a bundle, and from scenes -------------------------------------------------


def test_fine_tuning_starts_from_the_weights_of_a_bundle(configure, finished, tmp_path):
    folder, _, result = finished
    bundle = folder / result.bundle
    tiny = {"weights": str(bundle)}
    tuned = train(
        configure(model=tiny, train={"epochs": 1}, optimizer={"lr": 1e-9}), tmp_path / "run"
    )
    before = weights(bundle)
    for key, tensor in weights(tuned.bundle).items():
        assert torch.allclose(tensor, before[key], atol=1e-6)
    assert tuned.metrics["val/mean_iou"] == pytest.approx(result.metrics["val/mean_iou"], abs=1e-3)


def test_a_bundle_of_another_network_is_refused(configure, finished, tmp_path):
    folder, _, result = finished
    config = configure(model={"arch": "unet", "weights": str(folder / result.bundle)})
    with pytest.raises(ConfigError, match="arch 'linear' there, 'unet' here"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize("sampling", ["uniform", "balanced", "rare", "hard"])
def test_scenes_train_without_tiles(land, tmp_path, sampling):
    config = parse_config({
        "data": {
            "scenes": [str(land / "scene.tif")], "labels": str(land / "labels.tif"),
            "legend": str(land / "legend.toml"), "crop": 16, "sampling": sampling, "samples": 48,
        },
        "model": {"arch": "linear"},
        "optimizer": {"lr": 0.05},
        "train": {"epochs": 8, "device": "cpu", "precision": "fp32", "workers": 0},
    })  # fmt: skip
    result = train(config, tmp_path / "run")
    assert result.metrics["val/mean_iou"] > 0.6
    assert ModelBundle.open(result.bundle).card.window == 16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains(configure, tmp_path, precision):
    config = configure(train={"device": "cuda", "precision": precision, "epochs": 12})
    assert train(config, tmp_path / "run").metrics["val/mean_iou"] > 0.5
