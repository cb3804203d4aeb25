import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch.nn import functional

from geoseg.nn.decoders.refinenet import (
    ChainedResidualPooling,
    RefineBlock,
    RefineNetOptions,
    ResidualConvUnit,
)

CONV_256, CONV_512 = 256 * 256 * 9, 512 * 512 * 9


@pytest.fixture(scope="module")
def resnet101():
    return bare_network("refinenet", "resnet101", 21)


def test_figures_of_the_reference(resnet101):
    """118.052 M and 262.9 G of the usual PyTorch port; the paper has 118 M, 263 G."""
    assert parameters(resnet101) == pytest.approx(118.052, rel=1e-4)
    assert gmacs(resnet101, 512) == pytest.approx(262.9, rel=0.03)


def test_options_take_whole_convolutions_away(resnet101):
    paper = bare_network("refinenet", "resnet101", 21, pooling_stages=2)
    saved = 2 * (CONV_512 + 3 * CONV_256)
    assert parameters(resnet101) - parameters(paper) == pytest.approx(1e-6 * saved)
    lean = bare_network("refinenet", "resnet101", 21, output_units=1)
    biases = 2 * (512 + 3 * 256)
    saved = 4 * (CONV_512 + 3 * CONV_256) + biases
    assert parameters(resnet101) - parameters(lean) == pytest.approx(1e-6 * saved)


def test_logits_are_of_stride_4(resnet101):
    logits = resnet101(torch.zeros(2, 3, 64, 96, device="meta"))
    assert logits.shape == (2, 21, 16, 24)


def test_a_unit_is_an_identity_beside_its_convolutions():
    unit = ResidualConvUnit(3)
    features = torch.randn(2, 3, 5, 6)
    kept = features.clone()
    inner = functional.conv2d(features.clamp(min=0), unit.first.weight, unit.first.bias, padding=1)
    outer = functional.conv2d(inner.clamp(min=0), unit.second.weight, padding=1)
    torch.testing.assert_close(unit(features), features + outer)
    assert torch.equal(features, kept)


@pytest.mark.parametrize("stages", [2, 4])
def test_each_pooling_of_the_chain_begins_at_the_one_before(stages):
    """With identities for convolutions, k chained poolings over 5 cells are one over 4 k + 1."""
    chain = ChainedResidualPooling(2, stages)
    for convolution in chain.convolutions:
        torch.nn.init.dirac_(convolution.weight)
    features = torch.randn(1, 2, 24, 21)
    ahead = features.clamp(min=0)
    expected = ahead + sum(
        functional.max_pool2d(ahead, 4 * k + 1, stride=1, padding=2 * k)
        for k in range(1, stages + 1)
    )
    torch.testing.assert_close(chain(features), expected)


def test_a_block_adds_the_coarser_features_at_the_size_of_the_finer():
    block = RefineBlock(4, 6, RefineNetOptions())
    for part in (*block.units, *block.output):
        torch.nn.init.zeros_(part.second.weight)
    for convolution in block.chain.convolutions:
        torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.dirac_(block.project.weight)
    torch.nn.init.dirac_(block.project_coarse.weight)
    fine, coarse = torch.randn(1, 4, 8, 6), torch.full((1, 6, 4, 3), 2.0)
    torch.testing.assert_close(block(fine, coarse), (fine + 2).clamp(min=0))
