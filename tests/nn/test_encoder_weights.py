"""Weights of others in an encoder: each where it belongs, band by band, or none at all."""

import pytest
import timm
import torch
from foreign_weights import shaken, spec_of

from geoseg.errors import ConfigError
from geoseg.nn.encoder_weights import EncoderWeights, load_encoder, select_bands
from geoseg.nn.models import build_model

SENTINEL2 = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "_orig_mod."])
def test_every_weight_of_a_resnet(encoder, prefix):
    state = shaken(timm.create_model("resnet18"))
    network = build_model(spec_of(encoder))
    source = EncoderWeights(name="a", state={prefix + key: v for key, v in state.items()})
    assert load_encoder(network, source, ("", "", "")) == (0, 1, 2)
    own = network.encoder.state_dict()
    assert {key.removeprefix("model.") for key in own} == set(state) - {"fc.weight", "fc.bias"}
    for key, value in own.items():
        assert value.equal(state[key.removeprefix("model.")]), key


def test_every_weight_of_a_transformer():
    theirs = timm.create_model("vit_tiny_patch16_224", in_chans=13, num_classes=0)
    state = shaken(theirs)
    network = build_model(spec_of("vit_tiny_patch16_224", 4, arch="fpn"))
    source = EncoderWeights(name="a", state=state, bands=SENTINEL2, sensor="sentinel2")
    columns = load_encoder(network, source, ("red", "green", "blue", "nir"))
    assert columns == (3, 2, 1, 7)
    own = {
        key.removeprefix("model."): value
        for key, value in network.encoder.state_dict().items()
        if key.startswith("model.")
    }
    kernels = own.pop("patch_embed.proj.weight")
    assert kernels.equal(state["patch_embed.proj.weight"][:, [3, 2, 1, 7]])
    assert set(own) <= set(state)
    assert all(value.equal(state[key]) for key, value in own.items())
    assert len(own) >= len(state) - 3  # the last normalisation may be left out


def test_dilated_encoders_take_the_same_weights():
    state = shaken(timm.create_model("resnet18"))
    network = build_model(spec_of("resnet18", arch="deeplabv3plus"))
    load_encoder(network, EncoderWeights(name="a", state=state), ("", "", ""))
    own = network.encoder.state_dict()
    assert own["layer4.1.conv2.weight"].equal(state["layer4.1.conv2.weight"])


def test_kernels_of_chosen_bands_and_the_mean_of_the_rest():
    kernels = torch.arange(2 * 3 * 4.0).reshape(2, 3, 2, 2)
    found = select_bands(kernels, (2, None, 0))
    assert found.shape == (2, 3, 2, 2)
    assert found[:, 0].equal(kernels[:, 2])
    assert found[:, 1].equal((kernels[:, 0] + kernels[:, 1] + kernels[:, 2]) / 3)
    assert found[:, 2].equal(kernels[:, 0])


@pytest.mark.parametrize(
    ("encoder", "problem"),
    [
        ("resnet34", "120 of 216 weights fit, 80 are missing"),
        ("resnet50", "are of another shape, such as layer1.0.conv1.weight"),
        ("vgg11", "0 of 16 weights fit"),
    ],
)
def test_weights_of_another_encoder_are_refused(encoder, problem):
    network = build_model(spec_of(encoder))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = shaken(timm.create_model("resnet18"))
    source = EncoderWeights(name="theirs", state=state, encoder="resnet18")
    with pytest.raises(ConfigError, match=problem) as caught:
        load_encoder(network, source, ("", "", ""))
    assert "is for encoder resnet18, not" in str(caught.value)
    assert caught.value.cure == 'Set encoder = "resnet18"'
    assert all(before[key].equal(value) for key, value in network.state_dict().items())
