import itertools

import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch.nn import functional

from geoseg.nn.networks.regseg import DBlock, DilatedConv, SqueezeExcitation

PAPER = [(1,), (1, 2), (1, 4), (1, 4), (1, 4), (1, 4), *[(1, 14)] * 7]
"""Of RolandGao/RegSeg: the dilations of the blocks at 1/16 after the one that shrinks to it."""


@pytest.mark.parametrize(
    ("arch", "millions", "macs"), [("regseg", 3.335, 38.35), ("regseg_large", 6.132, 86.46)]
)
def test_figures_are_those_of_the_authors_code(arch, millions, macs):
    """Of exp48_decoder26 and exp53_decoder29 of RolandGao/RegSeg; the paper tells 3.34 M."""
    network = bare_network(arch)
    assert parameters(network) == pytest.approx(millions, rel=1e-3)
    assert gmacs(network, 1024, 2048) == pytest.approx(macs, rel=1e-3)


def dilated_conv(block):
    (found,) = (layer for layer in block.layers if isinstance(layer, DilatedConv))
    return found


@pytest.mark.parametrize(("arch", "group"), [("regseg", 16), ("regseg_large", 24)])
def test_dilations_are_those_of_the_paper(arch, group):
    network = bare_network(arch)
    blocks = [*network.stage4, *network.stage8, *network.stage16]
    found = [tuple(c.dilation[0] for c in dilated_conv(block).convs) for block in blocks]
    plain = len(blocks) - len(PAPER)
    assert found == [(1,)] * plain + PAPER
    strides = [dilated_conv(block).convs[0].stride[0] for block in blocks]
    places = (0, len(network.stage4), len(network.stage4) + len(network.stage8))
    assert [place for place, stride in enumerate(strides) if stride == 2] == list(places)
    convs = [conv for block in blocks for conv in dilated_conv(block).convs]
    assert {conv.in_channels // conv.groups for conv in convs} == {group}


def test_the_field_of_view_grows_as_the_dilations_say():
    """The cells that one cell sees, block after block: the sums of one step of each block."""
    blocks = bare_network("regseg").stage16[1:].to_empty(device="cpu").double()
    centre = 130
    features = torch.ones(1, 256, 1, 2 * centre + 1, dtype=torch.double, requires_grad=True)
    level, levels = features, []
    for block in blocks:
        make_positive(block)
        level = block(level)
        levels.append(level)
    reached = {0}
    for level, dilations in zip(levels, PAPER, strict=True):
        steps = {0, *dilations, *(-d for d in dilations)}
        reached = {place + step for place, step in itertools.product(reached, steps)}
        (grad,) = torch.autograd.grad(level[..., 0, centre].sum(), features, retain_graph=True)
        seen = (grad[0, :, 0].abs().sum(dim=0) > 0).nonzero().flatten() - centre
        assert set(seen.tolist()) == reached
    assert max(reached) == 1 + 2 + 4 * 4 + 7 * 14


def make_positive(block):
    """No weight cancels another, and the squeeze, which sees all cells, tells nothing."""
    for name, parameter in block.named_parameters():
        with torch.no_grad():
            parameter.fill_(0.0 if name.endswith("bias") else 0.01)
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, SqueezeExcitation):
            torch.nn.init.zeros_(module.weights[3].weight)


def test_each_share_of_the_channels_has_its_dilation():
    conv = DilatedConv(8, (1, 3), 2)
    features = torch.randn(1, 8, 9, 9)
    one, other = (c.weight for c in conv.convs)
    expected = torch.cat(
        [
            functional.conv2d(features[:, :4], one, padding=1, groups=2),
            functional.conv2d(features[:, 4:], other, padding=3, dilation=3, groups=2),
        ],
        dim=1,
    )
    torch.testing.assert_close(conv(features), expected)


def test_a_shrinking_block_has_a_mean_on_its_way_around():
    block = DBlock(4, 8, 2, stride=2).eval()
    torch.nn.init.zeros_(block.layers[-1].weight)  # the last norm: the layers tell nothing
    features = torch.randn(1, 4, 6, 6)
    mean = features.unflatten(3, (3, 2)).unflatten(2, (3, 2)).mean(dim=(3, 5))
    _, conv, norm = block.shortcut
    torch.testing.assert_close(block(features), norm(conv(mean)).relu())


def test_the_squeeze_is_a_quarter_of_the_blocks_input():
    blocks = bare_network("regseg").stage16
    squeezes = [next(m for m in b.layers if isinstance(m, SqueezeExcitation)) for b in blocks]
    assert [s.weights[1].out_channels for s in squeezes] == [32] + [64] * 13
