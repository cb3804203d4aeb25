from itertools import pairwise

import pytest
import torch
from network_exports import assert_exports_agree
from network_figures import bare_network, build, gmacs, parameters
from torch import nn


# meetps' network, measured, which has biases before its normalisations: 7,936 more.
@pytest.mark.parametrize(("size", "macs"), [((512, 512), 162.8), ((360, 640), 143.1)])
def test_counts(size, macs):
    network = bare_network("segnet")
    assert parameters(network) == pytest.approx(29.454, rel=0.01)
    assert parameters(network) == pytest.approx(29.453971 - 0.007936, abs=1e-6)
    assert gmacs(network, *size) == pytest.approx(macs, rel=0.03)


@pytest.mark.parametrize("size", [(64, 96), (45, 70), (127, 33)])
def test_maxima_come_back_to_where_they_were_through_all_stages(size):
    network = build("segnet", bands=2).eval()
    network.down = nn.ModuleList(nn.Identity() for _ in range(5))
    network.up = nn.ModuleList(nn.Identity() for _ in range(5))
    network.head = nn.Identity()
    image = torch.rand(3, 2, *size) + 1
    expected = torch.zeros_like(image)
    for row in range(0, size[0] - 31, 32):  # what is left at the end is in no window
        for column in range(0, size[1] - 31, 32):
            block = (..., slice(row, row + 32), slice(column, column + 32))
            highest = image[block].amax(dim=(2, 3), keepdim=True)
            expected[block] = torch.where(image[block] == highest, highest, 0.0)
    assert torch.equal(network(image), expected)


def test_the_decoder_is_the_mirror_image_of_vgg16():
    network = build("segnet", classes=7)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.kernel_size == (3, 3) and m.stride == (1, 1) for m in convolutions)
    widths = [(m.in_channels, m.out_channels) for m in convolutions]
    vgg16 = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert widths[:13] == list(pairwise(vgg16))
    back = [7, *vgg16[1:]][::-1]
    assert widths[13:] == list(pairwise(back))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 25 and network.head.bias is not None


def test_encoder_and_decoder_share_no_modules():
    network = build("segnet")
    assert not {id(m) for m in network.down.modules()} & {id(m) for m in network.up.modules()}
    assert len(list(network.parameters())) == 25 * 3 + 2


@pytest.mark.slow
def test_run_times_outside_of_torch_agree():
    assert_exports_agree(build("segnet").eval(), torch.randn(1, 3, 32, 64))
