"""How weights move, in whole runs: over several processes, and on from a bundle."""

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from small_land import LEGEND, configure_land, make_land
from torch_threads import one_thread

import geoseg
from geoseg.nn.bundle import ModelBundle
from geoseg.tile import TileOptions
from geoseg.train import train


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"), unknown=0)


@pytest.fixture(scope="module")
def other_land(land, tmp_path_factory):
    """The same ground: the bands turned, one more, two of the classes and a new one."""
    folder = tmp_path_factory.mktemp("other")
    with rasterio.open(land / "scene.tif") as scene, rasterio.open(land / "labels.tif") as labels:
        image, classes = scene.read(), labels.read(1)
    slope = np.random.default_rng(1).integers(0, 900, (1, *classes.shape)).astype("uint16")
    profile = {
        "driver": "GTiff", "height": classes.shape[0], "width": classes.shape[1],
        "crs": "EPSG:32632", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    }  # fmt: skip
    with rasterio.open(folder / "s.tif", "w", count=3, dtype="uint16", **profile) as file:
        file.write(np.concatenate([image[1:], slope, image[:1]]))
        file.descriptions = ("nir", "slope", "red")
    with rasterio.open(folder / "l.tif", "w", count=1, dtype="uint8", **profile) as file:
        file.write(np.array([2, 0, 1], "uint8")[classes], 1)  # field 2, roof 0, water 1
    legend = (
        LEGEND.replace('"field"', '"x"').replace('"water"', '"Field"').replace('"x"', '"roof "')
    )
    legend = legend.replace('name = "roof"', 'name = "lake"')
    (folder / "legend.toml").write_text(legend)
    geoseg.tile(
        [str(folder / "s.tif")], str(folder / "l.tif"), folder / "tiles",
        TileOptions(size=16, split=(0.75, 0.25, 0)), legend=folder / "legend.toml",
    )  # fmt: skip
    return folder


def test_fine_tuning_on_other_bands_and_classes(land, other_land, tmp_path):
    """A rate of almost nothing leaves what was carried over: fields and roofs are still found."""
    first = train(configure_land(land, train={"epochs": 12}), tmp_path / "first")
    tuned = train(
        configure_land(
            other_land, model={"weights": str(first.bundle)}, optimizer={"lr": 1e-9},
            train={"epochs": 1},
        ),
        tmp_path / "tuned",
    )  # fmt: skip
    old, new = ModelBundle.open(first.bundle), ModelBundle.open(tuned.bundle)
    assert new.legend.names == ("roof ", "lake", "Field")
    before, after = (each.state["network.weight"][..., 0, 0] for each in (old, new))
    assert torch.allclose(after[[2, 0]][:, [2, 0]], before[[0, 1]], atol=1e-6)
    assert torch.allclose(after[[2, 0], 1], before[[0, 1]].mean(dim=1), atol=1e-6)
    (scaled, of_old) = (new.card.scaling, old.card.scaling)
    assert (scaled.mean[0], scaled.mean[2]) == (of_old.mean[1], of_old.mean[0])
    assert scaled.std[1] == pytest.approx(new.card.stats["std"][1])


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_processes")
def test_two_processes_move_weights_as_one(land, tmp_path):
    """Frozen stages, clipping, one_cycle and the mean, over 2 processes with half the batch."""
    found = []
    for devices in (1, 2):
        config = configure_land(
            land, data={"samples": 16}, loss={"terms": [{"name": "cross_entropy"}]},
            model={"arch": "unet", "encoder": "resnet18", "options": {"encoder_depth": 3},
                   "freeze": "encoder", "freeze_norm": True,
                   "unfreeze": [{"epoch": 2, "modules": ["encoder.layer2"]}]},
            augment={"flip": 0, "rotate": 0, "scale": [1, 1], "brightness": 0, "contrast": 0},
            train={"epochs": 3, "batch_size": 8 // devices, "devices": devices, "average": "ema"},
            optimizer={"name": "sgd", "clip_norm": 0.5}, schedule={"name": "one_cycle"},
        )  # fmt: skip
        result = train(config, tmp_path / str(devices))
        found.append((ModelBundle.open(result.bundle).state, result.metrics))
    (one, figures), (two, others) = found
    assert all(torch.allclose(value, two[key], atol=1e-5) for key, value in one.items())
    for key in ("train/loss", "val/loss", "train/grad_norm", "lr"):
        assert figures[key] == pytest.approx(others[key], rel=1e-5)
