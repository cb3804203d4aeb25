"""What a run begins with: weights, and the scaling that belongs to them."""

import logging

import numpy as np
import pytest
import rasterio
import timm
import torch
from affine import Affine
from foreign_weights import keep_download

import geoseg
from geoseg.errors import ConfigError
from geoseg.geo.legend import Legend
from geoseg.nn import weights as weights_module
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.config import dump_config, load_config, parse_config
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.setup import prepare
from geoseg.nn.torchgeo_weights import find_weights
from geoseg.nn.weights import start_network
from geoseg.tile import TileOptions

SIDE = 64
MOCO = "torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO"
BANDS = ("nir", "red", "green")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """A tile set of three bands with the reflectances of Sentinel-2, by the names of colours."""
    folder = tmp_path_factory.mktemp("land")
    rng = np.random.default_rng(0)
    classes = (np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 20 % 2).astype("uint8")
    means = np.array([[3000, 1500], [700, 1200], [900, 1000]])
    image = (means[:, classes] + rng.normal(0, 200, (3, SIDE, SIDE))).clip(1).astype("uint16")
    profile = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "crs": "EPSG:32632",
        "transform": Affine(10, 0, 5e5, 0, -10, 5e6),
    }  # fmt: skip
    with rasterio.open(folder / "s.tif", "w", count=3, dtype="uint16", **profile) as file:
        file.write(image)
        file.descriptions = BANDS
    with rasterio.open(folder / "l.tif", "w", count=1, dtype="uint8", **profile) as file:
        file.write(classes, 1)
    legend = folder / "legend.toml"
    legend.write_text(Legend.of_values((0, 1)).to_toml())
    geoseg.tile(
        [str(folder / "s.tif")], str(folder / "l.tif"), folder / "tiles",
        TileOptions(size=32, split=(0.5, 0.5, 0)), legend=legend,
    )  # fmt: skip
    return folder / "tiles"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What torch.hub has downloaded: Sentinel-2's weights, of a network made here."""
    folder = tmp_path_factory.mktemp("torch")
    torch.manual_seed(0)
    network = timm.create_model("resnet18", in_chans=13, num_classes=0)
    keep_download(folder, MOCO, network.state_dict())
    return folder


@pytest.fixture
def configure(tiles, hub, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(hub))

    def _configure(weights=MOCO, *, model=None, **data):
        return parse_config({
            "data": {"tiles": [str(tiles)], "crop": 32, **data},
            "model": {"weights": weights, **(model or {})},
            "train": {
                "steps": 1, "batch_size": 2, "device": "cpu", "precision": "fp32", "workers": 0,
            },
        })  # fmt: skip

    return _configure


def test_the_encoder_is_that_of_the_weights(configure):
    weights = "torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO"
    assert configure(weights).model.encoder == "resnet50"
    assert configure(weights, model={"encoder": "resnet18"}).model.encoder == "resnet18"
    assert configure("none").model.encoder == "resnet18"
    assert configure("torchgeo:Nothing.AT_ALL").model.encoder == "resnet18"


def test_the_scaling_of_the_weights_by_default(configure, caplog):
    with caplog.at_level(logging.INFO):
        setup = prepare(configure())
    assert (setup.scaling.kind, setup.scaling.divisor) == ("divide", 10_000)
    assert setup.scaling.mean == pytest.approx(setup.data.stats.mean)
    assert setup.train.form.fill == setup.val.form.fill == setup.scaling.mean
    low, high = min(setup.data.stats.p2) / 10_000, max(setup.data.stats.p98) / 10_000
    assert f"2 to 98 % of values become {low:.3g} to {high:.3g}" in caplog.text
    assert "nir <- B8, red <- B4, green <- B3" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ["standardize", "percentile", "none"])
def test_the_users_scaling_comes_first(configure, kind):
    setup = prepare(configure(scaling=kind))
    assert setup.scaling.kind == kind


def test_weights_without_a_scaling(configure):
    assert prepare(configure("none")).scaling.kind == "standardize"
    with pytest.raises(ConfigError, match=r"data\.scaling: the weights 'none' tell no scaling"):
        prepare(configure("none", scaling="weights"))


def test_a_scaling_for_other_units_is_doubted(configure, hub, caplog):
    """Landsat's weights want 8 bit; these reflectances reach 3000."""
    weights = "torchgeo:ResNet18_Weights.LANDSAT_TM_TOA_MOCO"
    network = timm.create_model("resnet18", in_chans=7, num_classes=0)
    keep_download(hub, weights, network.state_dict())
    setup = prepare(configure(weights))
    assert setup.scaling.divisor == 255
    assert "it was made for other units" in caplog.text


def test_missing_pixels_are_the_same_in_training_and_in_prediction(configure, hub):
    """By numbers per band of the weights' own, the mean is theirs and not the data's."""
    weights = "torchgeo:ResNet18_Weights.SENTINEL2_RGB_SECO"
    network = timm.create_model("resnet18", num_classes=0)
    keep_download(hub, weights, network.state_dict())
    setup = prepare(configure(weights))
    assert setup.scaling.kind == "standardize"
    assert setup.scaling.mean[1:] == pytest.approx(find_weights(weights).scaling[0][:2])
    assert setup.train.form.fill == setup.scaling.mean
    fill = torch.tensor(setup.train.form.fill)[None, :, None, None]
    assert setup.scaling.apply(fill).flatten().tolist() == setup.scaling.fill(3).tolist()


def test_the_bundle_of_a_run_has_bands_and_scaling_of_its_weights(configure, tmp_path):
    config = configure()
    result = geoseg.train(config, tmp_path / "run")
    card = ModelBundle.open(result.bundle).card
    assert card.bands == BANDS
    assert (card.scaling.kind, card.scaling.divisor) == ("divide", 10_000)
    written = load_config(tmp_path / "run" / "config.toml")
    assert (written.data.scaling, written.model.weights) == ("auto", MOCO)
    assert parse_config(config.model_dump(mode="json", exclude_none=True)) == written
    assert dump_config(written) == (tmp_path / "run" / "config.toml").read_text()


@pytest.mark.parametrize("weights", ["imagenet", "pretrained"])
def test_the_encoders_own_weights_are_asked_for(monkeypatch, weights):
    asked = []

    def record(spec, *, weights="none"):
        asked.append(weights)
        return build_model(spec)

    monkeypatch.setattr(weights_module, "build_model", record)
    spec = ModelSpec(arch="unet", encoder="resnet18", in_channels=3, classes=2)
    assert start_network(spec, weights).network.spec == spec
    assert asked == ["imagenet"]


def test_pretrained_is_a_word_and_no_path(tmp_path):
    (tmp_path / "train.toml").write_text('[data]\ntiles = ["t"]\n[model]\nweights = "pretrained"')
    assert load_config(tmp_path / "train.toml").model.weights == "pretrained"
