"""Networks by name."""

import re
from pathlib import Path

import pytest
import timm
import torch

import geoseg
from geoseg.errors import ConfigError
from geoseg.models import (
    default_encoder,
    describe_encoder,
    describe_model,
    get_model,
    list_encoders,
    list_models,
)
from geoseg.nn.architectures import ARCHITECTURES


def test_the_face_reaches_the_module():
    assert geoseg.models.list_models is list_models


def test_lists_are_sorted_and_filtered():
    assert list_models() == sorted(ARCHITECTURES)
    assert {"deeplabv3", "deeplabv3plus"} <= set(list_models("DEEPLAB"))
    assert list_models("deeplabv?") == ["deeplabv3"]
    assert list_models("[lf]*n*") and all(name[0] in "lf" for name in list_models("[lf]*n*"))
    assert list_models("no such") == []
    assert list_encoders("resnet18") > ["resnet18"]
    assert set(list_encoders("resnet18*")) == {"resnet18"}


def test_a_model_is_built_as_asked():
    network = get_model("fpn", encoder="mobilenet_v2", in_channels=4, classes=6).eval()
    assert (network.spec.arch, network.spec.encoder) == ("fpn", "mobilenet_v2")
    with torch.no_grad():
        assert network(torch.zeros(1, 4, 40, 33)).shape == (1, 6, 40, 33)


def test_options_may_be_tuples():
    options = {"encoder_depth": 3, "decoder_channels": (32, 16, 16)}
    network = get_model("unet", encoder="resnet18", classes=2, **options)
    assert network.spec.options == {"encoder_depth": 3, "decoder_channels": [32, 16, 16]}


def test_the_encoder_is_that_of_the_paper_where_none_is_named():
    assert get_model("linear", classes=2).spec.encoder == "none"
    with torch.device("meta"):
        assert get_model("FPN", classes=2).spec.encoder == default_encoder("fpn") == "resnet50"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("unett", {}, "Did you mean 'unet'"),
        ("unet", {"encoder": "resnet19"}, "no encoder"),
        ("unet", {"encoder": "resnet18", "depth": 3}, "options of unet"),
    ],
)
def test_what_does_not_exist_is_refused(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        get_model(name, classes=2, **arguments)


@pytest.mark.parametrize("name", list_models())
def test_every_architecture_is_described(name):
    described = describe_model(name)
    assert described.name == name
    assert described.parameters >= 3 * 2 and described.macs >= 512 * 512 * 3 * 2
    source = ("arXiv", "doi", "github.com", "1x1 convolution", "CVPR", "ECCV")
    assert any(word in described.summary for word in source), described.summary
    assert "\n" not in described.summary


def test_encoders_are_described():
    trunk = timm.create_model("resnet18", num_classes=0)
    expected = sum(parameter.numel() for parameter in trunk.parameters())
    assert describe_encoder("resnet18").parameters == expected
    assert describe_encoder("tu-crossvit_tiny_240").parameters is None


@pytest.mark.parametrize("name", list_models())
def test_the_page_tells_of_every_architecture_and_option(name):
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([\w]+)[ `]", page))
    assert {name, *ARCHITECTURES[name].options.model_fields} <= told


def test_a_model_may_begin_with_the_weights_of_a_file(tmp_path):
    encoder = timm.create_model("resnet18", in_chans=4, num_classes=0)
    torch.save(encoder.state_dict(), tmp_path / "encoder.pth")
    weights = str(tmp_path / "encoder.pth")
    network = get_model("unet", encoder="resnet18", in_channels=4, classes=2, weights=weights)
    assert torch.equal(network.encoder.conv1.weight, encoder.conv1.weight)
    with pytest.raises(ConfigError, match="does not fit encoder resnet34"):
        get_model("unet", encoder="resnet34", in_channels=4, classes=2, weights=weights)
