import pytest
import torch
from torch import nn

from geoseg.nn.encoders.xception39 import Xception39Encoder


def test_stages_are_those_of_its_authors():
    # TorchSeg: furnace/base_model/xception.py, blocks (4, 8, 4) of width (16, 32, 64), times 4.
    encoder = Xception39Encoder()
    assert [len(stage) for stage in encoder.stages] == [4, 8, 4]
    assert encoder.out_channels == [3, 8, 8, 64, 128, 256]
    depthwise = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 3 * (4 + 8 + 4) + 3  # three a block, one a shortcut of a stage
    assert all(m.kernel_size == (3, 3) and m.groups == m.out_channels for m in depthwise)


@pytest.mark.parametrize("stride", [8, 16])
def test_every_second_cell_of_a_dilated_level_is_one_of_the_plain_level(stride):
    plain = Xception39Encoder().eval()
    dilated = Xception39Encoder(output_stride=stride).eval()
    dilated.load_state_dict(plain.state_dict())
    dilated.make_dilated(stride)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for coarse, fine in zip(plain(image), dilated(image), strict=True):
            step = fine.shape[-1] // coarse.shape[-1]
            torch.testing.assert_close(fine[..., ::step, ::step], coarse, rtol=1e-4, atol=1e-5)
        assert step == 32 // stride


def test_a_bottleneck_adds_its_shortcut_before_it_is_activated():
    block = Xception39Encoder().stages[0].eval()[1]
    features = torch.randn(1, 64, 6, 7)
    with torch.no_grad():
        torch.testing.assert_close(
            block(features), (features + block.residual(features)).clamp(min=0)
        )
