import pytest
import torch
from network_figures import bare_network, build, gmacs, parameters
from torch import nn


def test_counts():
    # 8.224 M is the paper's layout with biases everywhere and normalised shortcuts; by hand, the
    # 15 convolutions of its table have 7,780,096 weights (its 7.8 M), the shortcuts 430,272, the
    # normalisations 6,400 and the last bias 1.
    network = bare_network("resunet", classes=1)
    assert parameters(network) == pytest.approx(8.224, rel=0.01)
    assert parameters(network) == pytest.approx(7.780096 + 0.430272 + 0.0064 + 1e-6, abs=1e-7)
    assert gmacs(network, 512) == pytest.approx(180.9, rel=0.03)


def test_strides_instead_of_pooling():
    network = build("resunet", width=4)
    kinds = {type(module) for module in network.modules()}
    assert not kinds & {nn.MaxPool2d, nn.AvgPool2d, nn.ConvTranspose2d}
    sizes = []
    for unit in (*network.down, *network.merge):
        unit.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    network(torch.randn(2, 3, 32, 64))
    down = [(4, 32, 64), (8, 16, 32), (16, 8, 16), (32, 4, 8)]
    assert sizes == [*down, *down[-2::-1]]


def test_a_unit_without_a_body_is_its_shortcut():
    unit = build("resunet", width=4).down[1].eval()
    nn.init.zeros_(unit.body[-1].weight)
    features = torch.randn(2, 4, 8, 8)
    expected = torch.einsum(
        "oi,nihw->nohw", unit.shortcut.weight[..., 0, 0], features[..., ::2, ::2]
    )
    torch.testing.assert_close(unit(features), expected)


def test_normalisation_and_relu_come_before_the_convolutions():
    units = build("resunet", width=4)
    order = [type(module).__name__ for module in units.down[1].body]
    assert order == ["BatchNorm2d", "ReLU", "Conv2d"] * 2
    first = [type(module).__name__ for module in units.down[0].body]
    assert first == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]


def test_what_comes_from_below_is_put_beside_the_skip():
    network = build("resunet", width=4).eval()
    seen, outputs = [], []
    for unit in network.merge:
        unit.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for unit in network.down:
        unit.register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.no_grad():
        network(torch.randn(1, 3, 16, 16))
    *skips, bridge = outputs
    for merged, skip in zip(seen, reversed(skips), strict=True):
        assert torch.equal(merged[:, -skip.shape[1] :], skip)
    up = nn.functional.interpolate(bridge, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(seen[0][:, : bridge.shape[1]], up)
