import pytest
import timm
import torch

from geoseg.nn.encoders.resnetv2 import ResNetV2Encoder

LAYERS = (1, 2, 2, 2)


def test_levels_are_those_of_timm():
    encoder = ResNetV2Encoder((3, 4, 6, 3)).eval()
    reference = timm.create_model("resnetv2_50", num_classes=0).eval()
    reference.load_state_dict(encoder.model.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = reference.forward_intermediates(image, norm=True, intermediates_only=True)
        levels = encoder(image)
    assert torch.equal(levels[0], image)
    assert all(map(torch.equal, levels[1:], expected))


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("separable", [False, True])
def test_every_second_cell_of_a_dilated_level_is_one_of_the_plain_level(stride, separable):
    plain = ResNetV2Encoder(LAYERS, separable=separable).eval()
    dilated = ResNetV2Encoder(LAYERS, separable=separable, output_stride=stride).eval()
    dilated.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for coarse, fine in zip(plain(image), dilated(image), strict=True):
            step = fine.shape[-1] // coarse.shape[-1]
            torch.testing.assert_close(fine[..., ::step, ::step], coarse, rtol=1e-4, atol=1e-4)
        assert step == 32 // stride


def test_separable_bottlenecks_have_a_factor_per_channel_and_a_wide_kernel():
    block = ResNetV2Encoder(LAYERS, separable=True).model.stages[1].blocks[0]
    factors, mixing = block.conv1
    assert factors.groups == factors.in_channels == 256 and factors.kernel_size == (1, 1)
    assert mixing.kernel_size == (1, 1) and block.conv3.kernel_size == (1, 1)
    assert block.conv2.kernel_size == (5, 5) and block.conv2.stride == (2, 2)
    features = torch.randn(2, 256, 5, 6)
    torch.testing.assert_close(factors(features), features)  # as it begins
