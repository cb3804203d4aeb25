import pytest
import torch
from network_figures import bare_network, build, gmacs, parameters
from torch import nn


def test_counts():
    # GeorgeSeif's MobileUNet-Skip has biases before its normalisations: by hand 8,838,291 weights
    # and biases of the head, 34,816 of the normalisations and 17,408 such biases.
    network = bare_network("mobile_unet")
    assert parameters(network) == pytest.approx(8.891, rel=0.01)
    assert parameters(network) == pytest.approx(8.838291 + 0.034816, abs=1e-6)
    assert gmacs(network, 512) == pytest.approx(30.5, rel=0.03)


def test_skips_have_no_parameters_and_are_added():
    with_skips = build("mobile_unet").eval()
    without = build("mobile_unet", skip=False).eval()
    without.load_state_dict(with_skips.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(with_skips(image), without(image))
    pooled, raised, entered = [], [], []
    for blocks in with_skips.down:
        blocks.register_forward_hook(
            lambda _, __, output: pooled.append(nn.functional.max_pool2d(output, 2))
        )
    for level in with_skips.up:
        level.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
        level.register_forward_hook(lambda _, __, output: raised.append(output))
    with torch.no_grad():
        with_skips(image)
    assert torch.equal(entered[0], pooled[4])
    for below, skip, sum_ in zip(raised[:4], pooled[3::-1], entered[1:], strict=True):
        assert torch.equal(below + skip, sum_)


def test_all_but_the_rims_are_separable():
    network = build("mobile_unet")
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    wide = [m for m in convolutions if m.kernel_size != (1, 1)]
    assert len(wide) == (1 + 2 + 3 + 3 + 3) + (3 + 3 + 3 + 2 + 2)  # level by level
    assert all(m.groups == m.in_channels == m.out_channels for m in wide)
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in network.modules()) == 5
