import pytest
import torch
from network_figures import bare_network, build, gmacs, parameters
from torch import nn


# milesial's Pytorch-UNet has 31,037,633 parameters for 3 bands and 1 class; ZijunDeng's 31.045 M
# for 19 classes has biases before its normalisation, 5,888 more. MACs by hand, in 10^9: the two
# or four convolutions of each level 39.124, 43.487, 43.487, 43.487, 14.496; up-convolutions 8.590.
@pytest.mark.parametrize(
    ("classes", "millions", "macs"), [(1, 31.037633, 192.67), (19, 31.045, 192.97)]
)
def test_counts(classes, millions, macs):
    network = bare_network("unet_classic", classes=classes)
    assert parameters(network) == pytest.approx(millions, rel=0.01)
    assert gmacs(network, 512) == pytest.approx(macs, rel=0.03)
    assert parameters(bare_network("unet_classic", classes=1)) == pytest.approx(31.037633, abs=1e-6)


def test_convolutions_without_padding_cost_what_is_known_of_another():
    # ZijunDeng's loses two pixels at each convolution: 112.4 * 10^9 at 512 x 512, 19 classes.
    down = [510, 508, 252, 250, 123, 121, 58, 56, 26, 24]
    merge = [46, 44, 86, 84, 166, 164, 326, 324]
    network = bare_network("unet_classic")
    convolutions = [m for part in (network.down, network.merge) for m in part.modules()]
    convolutions = [m for m in convolutions if isinstance(m, nn.Conv2d)]
    cost = sum(
        conv.weight.numel() * side**2 for conv, side in zip(convolutions, down + merge, strict=True)
    )
    cost += sum(
        up.weight.numel() * side**2 for up, side in zip(network.up, [24, 44, 84, 164], strict=True)
    )
    cost += network.head.weight.numel() * 324**2
    assert cost / 1e9 == pytest.approx(112.4, rel=0.001)


def test_the_paper_has_no_normalisation():
    # By hand: 31,037,633 less the 2 * 5888 of the normalisation, plus 5888 biases.
    bare = bare_network("unet_classic", classes=1, normalization="none")
    assert parameters(bare) == pytest.approx(31.031745)
    network = build("unet_classic", bands=2, width=4, normalization="none")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    weight = build("unet_classic", width=32, normalization="none").down[2][0].weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


def test_each_level_passes_a_skip_of_its_own_size():
    network = build("unet_classic", width=4).eval()
    seen = []
    for merge in network.merge:
        merge.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    skips = []
    for down in network.down:
        down.register_forward_hook(lambda _, __, output: skips.append(output))
    with torch.no_grad():
        logits = network(torch.randn(1, 3, 32, 48))
    assert logits.shape == (1, 2, 32, 48)
    for merged, skip in zip(seen, reversed(skips[:4]), strict=True):
        assert merged.shape[1] == 2 * skip.shape[1]
        assert torch.equal(merged[:, : skip.shape[1]], skip)  # the half that is not from below


def test_a_pixel_sees_as_far_as_the_paper_says():
    # 140 pixels down to the bottom: 1 + 4 * (1 + 2 + 4 + 8 + 16) + 1 + 2 + 4 + 8; the way back
    # adds 4 * (1 + 2 + 4 + 8) and the blocks of 16 in which the bottom is spread.
    network = build("unet_classic", width=2, normalization="none", dropout=0.0).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)  # all positive, so that nothing cancels
    image = torch.ones(1, 3, 256, 16, dtype=torch.float64, requires_grad=True)
    network(image)[0, 0, 128, 8].backward()
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert 140 < len(rows) <= 140 + 60 + 16


def test_dropout_is_for_training_only():
    network = build("unet_classic", width=4)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        network(image)
        network.eval()
        assert torch.equal(network(image), network(image))
        network.dropout.train()
        assert not torch.equal(network(image), network(image))
