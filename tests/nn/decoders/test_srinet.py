import pytest
import torch
from network_figures import bare_network, build, parameters
from torch import nn

from geoseg.nn.decoders.srinet import SpatialResidualInception


# Measured of the author's code, with 2 classes. It takes the levels inside the last block of a
# stage, where they are narrower: 36,864 weights fewer for ResNet.
@pytest.mark.parametrize(
    ("encoder", "millions"),
    [("tu-resnetv2_50", 30.33), ("tu-resnetv2_101", 49.36), ("tu-xception65", 44.63)],
)
def test_counts(encoder, millions):
    network = bare_network("srinet", encoder, 2)
    assert parameters(network) == pytest.approx(millions, rel=0.01)


def test_the_module_looks_along_crosses_of_four_dilations():
    module = SpatialResidualInception(8, 8)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()  # nothing cancels
    features = torch.ones(1, 8, 21, 21, requires_grad=True)
    module(features)[0, 0, 10, 10].backward()
    reached = {(r - 10, c - 10) for _, r, c in features.grad[0].nonzero().tolist()}
    expected = {(row, column) for d in (1, 2, 5, 7) for row in (-d, 0, d) for column in (-d, 0, d)}
    assert reached == expected


def test_the_module_is_a_residual():
    module = SpatialResidualInception(6, 8)
    nn.init.zeros_(module.fuse.weight)
    features = torch.randn(2, 6, 5, 7)
    reduced = torch.einsum("oi,nihw->nohw", module.reduce.weight[..., 0, 0], features.relu())
    expected = torch.einsum("oi,nihw->nohw", module.shortcut.weight[..., 0, 0], reduced).relu()
    torch.testing.assert_close(module(features), expected)


def test_the_module_keeps_the_spread_of_its_input():
    module = SpatialResidualInception(64, 64)
    with torch.no_grad():
        spread = module(torch.randn(1, 64, 40, 40)).square().mean().sqrt().item()
    assert 0.3 < spread < 3


@pytest.mark.parametrize(("stride", "side"), [(16, 4), (32, 2)])
def test_levels_are_joined_from_coarse_to_fine(stride, side):
    network = build("srinet", encoder="resnet18", encoder_output_stride=stride).eval()
    sizes = []
    for module in (network.context5, network.context3, network.context2):
        module.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[1:]))
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, 2, 16, 16)
    assert sizes == [(512, side, side), (320, 8, 8), (320, 16, 16)]


def test_the_head_may_run_at_full_size():
    small = build("srinet", encoder="resnet18", decoder_channels=16).eval()
    full = build("srinet", encoder="resnet18", decoder_channels=16, full_size_head=True).eval()
    full.load_state_dict(small.state_dict())
    with torch.no_grad():
        assert full(torch.randn(1, 3, 64, 64)).shape == (1, 2, 64, 64)
