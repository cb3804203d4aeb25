"""Counts against figures that were published or counted by hand."""

import pytest
import torch
from torch import nn

from geoseg.errors import ConfigError
from geoseg.nn import counting
from geoseg.nn.counting import count_encoder, count_model, count_parameters
from geoseg.nn.models import ModelSpec

M, G = 1e6, 1e9


def spec_of(arch, encoder="none", *, classes=19, bands=3, **options):
    return ModelSpec(
        arch=arch, encoder=encoder, in_channels=bands, classes=classes, options=options
    )


def test_linear_by_hand():
    cost = count_model(spec_of("linear", classes=5, bands=4), size=10)
    assert cost.parameters == 4 * 5 + 5
    assert cost.macs == 10 * 10 * 4 * 5


# Counted by others on the networks of segmentation-models-pytorch: 19 classes, 512 x 512.
@pytest.mark.parametrize(
    ("spec", "parameters", "macs"),
    [
        (spec_of("unet", "resnet34"), 24.439 * M, 31.9 * G),
        (spec_of("unet", "resnet50"), 32.524 * M, 43.2 * G),
        (spec_of("unetplusplus", "resnet34"), 26.081 * M, 74.2 * G),
        (spec_of("linknet", "resnet34"), 21.773 * M, 20.3 * G),
        (spec_of("fpn", "resnet50"), 26.118 * M, 31.2 * G),
        (spec_of("pan", "resnet34"), 21.481 * M, 29.9 * G),
        (spec_of("manet", "resnet34"), 31.786 * M, 34.0 * G),
        (spec_of("deeplabv3", "resnet50", encoder_output_stride=8), 39.638 * M, 163.6 * G),
        (spec_of("deeplabv3plus", "resnet50"), 26.682 * M, 36.6 * G),
        (spec_of("segformer", "mit_b0"), 3.719 * M, 7.84 * G),
    ],
    ids=lambda value: value.arch if isinstance(value, ModelSpec) else "",
)
def test_networks_cost_what_was_published(spec, parameters, macs):
    cost = count_model(spec)
    assert cost.parameters == pytest.approx(parameters, rel=0.01)
    assert cost.macs == pytest.approx(macs, rel=0.03)


# Trunks as listed by timm without their classifiers.
@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("resnet18", 11.18 * M), ("tu-resnetv2_50", 23.50 * M), ("densenet121", 6.95 * M)],
)
def test_encoders_have_the_parameters_of_their_trunks(encoder, parameters):
    assert count_encoder(encoder) == pytest.approx(parameters, rel=0.01)


def test_nothing_is_computed(monkeypatch):
    convolved = []
    forward = nn.Conv2d.forward

    def spy(self, image):
        convolved.append(image.device.type)
        return forward(self, image)

    monkeypatch.setattr(nn.Conv2d, "forward", spy)
    count_model(spec_of("unet", "resnet18"), size=64)
    assert set(convolved) == {"meta"}


def test_what_cannot_be_built_on_the_meta_device_is_counted_with_numbers(monkeypatch):
    expected = count_model(spec_of("linear"), size=32)
    build = counting.build_model

    def no_meta(spec):
        if torch.get_default_device().type == "meta":
            raise NotImplementedError("aten::nonzero")
        return build(spec)

    monkeypatch.setattr(counting, "build_model", no_meta)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert count_model(spec_of("linear"), size=32) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 2)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)) == 3 * 2 + 2


def test_what_is_unknown_is_refused():
    with pytest.raises(ConfigError, match="no architecture"):
        count_model(spec_of("nothing"))
    with pytest.raises(ConfigError, match="is no encoder"):
        count_encoder("nothing")
