import pytest
import torch
from network_figures import bare_network, build, gmacs, levels_used, parameters

from geoseg.nn.models import ModelSpec, build_model


@pytest.mark.parametrize(
    ("encoder", "millions", "milliards"),
    [("tu-resnet50s", 30.000, 141.0), ("tu-resnet101s", 48.993, 218.6)],
)
def test_figures_of_its_source(encoder, millions, milliards):
    """Its ResNet begins with three 3x3 convolutions and keeps stride 8."""
    network = bare_network("unet_resnet", encoder, output_stride=8)
    assert parameters(network) == pytest.approx(millions, rel=1e-4)
    assert gmacs(network, 512) == pytest.approx(milliards, rel=0.03)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_logits_are_of_stride_1(output_stride):
    network = bare_network("unet_resnet", "resnet18", 4, output_stride=output_stride)
    assert network(torch.zeros(1, 3, 64, 96, device="meta")).shape == (1, 4, 64, 96)


def test_the_decoder_is_not_linear():
    """Its source forgot the activations: there, doubled levels give doubled differences."""
    spec = ModelSpec(arch="unet_resnet", encoder="resnet18", in_channels=3, classes=2)
    network = build_model(spec).network.eval()
    levels = network.encoder(torch.randn(1, 3, 64, 64))
    network.encoder = torch.nn.Identity()
    with torch.no_grad():
        zero, once, minus = (network([share * level for level in levels]) for share in (0, 1, -1))
    assert ((once - zero) + (minus - zero)).abs().max() > 1e-3 * once.std()


def test_every_level_reaches_the_logits():
    network = build("unet_resnet", encoder="resnet18").eval()
    assert levels_used(network, torch.randn(1, 3, 64, 64)) == [2, 3, 4, 5]
