import pytest
import torch
from network_figures import bare_network, build, levels_used, parameters
from torch.nn import functional

from geoseg.nn.decoders.unet_res import ResidualBlock
from geoseg.nn.models import ModelSpec, build_model


def test_parameters_by_hand():
    """ResNet-18 without its classifier has 11.176512 M and levels of 64, 64, 128, 256, 512."""
    network = bare_network("unet_res", "resnet18", 6)
    expected = 11_176_512 + 2 * 16 + 16 * 6 + 6
    for entering, width in [
        (512 + 256, 256), (256 + 128, 128), (128 + 64, 64), (64 + 64, 32), (32, 16),
    ]:  # fmt: skip
        expected += 2 * entering + entering * width * 9 + 2 * width + width * width * 9
        expected += entering * width + 2 * width
    assert parameters(network) == pytest.approx(1e-6 * expected, rel=1e-9)


def test_a_block_normalises_before_it_convolves():
    block = ResidualBlock(4, 4).eval()
    features = torch.randn(2, 4, 5, 6)
    first, second = (block.residual[i] for i in (2, 5))
    scale = (1 + 1e-5) ** -0.5
    with torch.no_grad():
        inner = functional.conv2d((features * scale).clamp(min=0), first.weight, padding=1)
        outer = functional.conv2d((inner * scale).clamp(min=0), second.weight, padding=1)
        torch.testing.assert_close(block(features), features + outer)


def test_the_shortcut_is_projected_where_the_channels_change():
    block = ResidualBlock(6, 4).eval()
    torch.nn.init.zeros_(block.residual[-1].weight)
    features = torch.randn(2, 6, 5, 6)
    expected = functional.conv2d(features, block.shortcut[0].weight) * (1 + 1e-5) ** -0.5
    torch.testing.assert_close(block(features), expected)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-convnext_atto", "mit_b0"])
def test_logits_are_of_stride_1_with_a_level_of_stride_2_or_without(encoder):
    options = {"decoder_channels": [32, 16, 16, 8, 8]}
    spec = ModelSpec(arch="unet_res", encoder=encoder, in_channels=3, classes=2, options=options)
    network = build_model(spec).network.eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 96)).shape == (1, 2, 64, 96)


def test_every_level_reaches_the_logits():
    network = build("unet_res", encoder="resnet18").eval()
    assert levels_used(network, torch.randn(1, 3, 64, 64)) == [1, 2, 3, 4, 5]
