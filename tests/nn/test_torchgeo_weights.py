"""torchgeo's lists: what is found in them, and what its files may not do."""

import urllib.error

import pytest
import timm
import torch
from foreign_weights import Burglar

from geoseg.errors import ConfigError
from geoseg.nn.encoders.names import resolve_encoder
from geoseg.nn.torchgeo_weights import ENCODERS, encoder_of, find_weights

MOCO = "torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO"


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_class_has_an_encoder_that_is_there(kind):
    name = resolve_encoder(ENCODERS[kind])
    assert encoder_of(f"torchgeo:{kind}.ANY") == ENCODERS[kind]
    assert timm.is_model(name.removeprefix("tu-"))


def test_every_entry_tells_as_many_bands_as_it_takes():
    from geoseg.nn.torchgeo_weights import _members

    assert len(_members()) > 100
    for name in _members():
        found = find_weights(f"torchgeo:{name}")
        assert len(found.bands) == found.meta.get("in_chans", 0), name
        mean, std = found.scaling or ((0.0,), (1.0,))
        assert len(mean) == len(std)
        assert len(mean) in (1, len(found.bands)), name
        assert all(value > 0 for value in std)


@pytest.mark.parametrize(
    ("name", "sensor", "mean", "std"),
    [
        ("ResNet18_Weights.SENTINEL2_ALL_MOCO", "sentinel2", [0], [10_000]),
        ("ResNet50_Weights.LANDSAT_TM_TOA_MOCO", "landsat_tm", [0], [255]),
        ("Swin_V2_B_Weights.LANDSAT_SI_SATLAS", "landsat_oli", [4000], [16_320]),
        ("ResNet50_Weights.SENTINEL1_ALL_MOCO", "sentinel1", [-12.59, -20.26], [5.26, 5.91]),
        # (x / 255 - m) / s, ImageNet's m and s
        (
            "ResNet50_Weights.FMOW_RGB_GASSL",
            "rgb",
            [123.675, 116.28, 103.53],
            [58.395, 57.12, 57.375],
        ),
        ("Swin_T_Weights.CITYSCAPES_SEMSEG", "rgb", [123.675, 116.28, 103.53],
         [58.395, 57.12, 57.375]),
        ("Unet_Weights.SENTINEL2_3CLASS_FTW", "sentinel2", [0], [3000]),
    ],
)  # fmt: skip
def test_what_an_entry_tells_of_its_images(name, sensor, mean, std):
    found = find_weights(f"torchgeo:{name}")
    assert found.sensor == sensor
    assert found.scaling[0] == pytest.approx(mean)
    assert found.scaling[1] == pytest.approx(std)


def test_chained_normalizations_are_one():
    """SeCo's has three; the joined one does to any pixel what they do."""
    found = find_weights("torchgeo:ResNet18_Weights.SENTINEL2_RGB_SECO")
    pixels = torch.tensor([20.0, 60.0, 100.0])
    steps = [step for step in found.entry.transforms if type(step).__name__ == "Normalize"]
    expected = pixels[:, None, None].clone()
    for step in steps:
        expected = step(expected.clone())
    mean, std = (torch.tensor(values) for values in found.scaling)
    assert len(steps) == 3
    assert torch.allclose((pixels - mean) / std, expected.flatten(), rtol=1e-4)


def test_no_scaling_where_none_is_told():
    assert find_weights("torchgeo:DOFABase16_Weights.DOFA_MAE").scaling is None


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ResNet18_Weights.SENTINEL2_ALL_MOC", "ResNet18_Weights.SENTINEL2_ALL_MOCO"),
        ("ResNet18_Weights", "ResNet18_Weights."),
        ("Resnet18_Weights.SENTINEL2_ALL_MOCO", "ResNet18_Weights.SENTINEL2_ALL_MOCO"),
        ("", "Its classes are ResNet18_Weights"),
        ("CROMABase_Weights.CROMA_VIT", "attention of their own"),
        ("Aurora_Weights.ANY", "atmosphere"),
    ],
)
def test_names_that_are_none(name, part):
    with pytest.raises(ConfigError, match=f"torchgeo:{name}") as caught:
        find_weights(f"torchgeo:{name}")
    assert part in str(caught.value)


def test_a_file_that_is_there_is_read(downloaded):
    state = {"conv1.weight": torch.ones(1), "epoch": 3}
    downloaded(MOCO, state)
    assert find_weights(MOCO).state_dict() == {"conv1.weight": torch.ones(1)}


def test_a_file_that_runs_code_does_not(downloaded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    downloaded(MOCO, {"conv1.weight": Burglar()})
    with pytest.raises(ConfigError, match="more than tensors"):
        find_weights(MOCO).state_dict()
    assert not (tmp_path / "burgled").exists()


def test_without_a_connection_the_address_and_the_place_are_told(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    with pytest.raises(ConfigError, match="cannot be downloaded") as caught:
        find_weights(MOCO).state_dict()
    assert find_weights(MOCO).entry.url in str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)
