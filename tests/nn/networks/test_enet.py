import pytest
import torch
from network_exports import assert_exports_agree
from network_figures import bare_network, build, gmacs, parameters
from torch import nn


# davidtvs' network, measured. The .37 M of the paper is for bottlenecks that are a quarter of
# their output wide where height and width change, and for PReLUs with a slope per channel: by hand
# .3655 M.
@pytest.mark.parametrize(
    ("size", "macs"), [((360, 640), 1.77), ((512, 512), 2.02), ((1024, 2048), 16.15)]
)
def test_counts(size, macs):
    network = bare_network("enet")
    assert parameters(network) == pytest.approx(0.3517, rel=0.01)
    assert gmacs(network, *size) == pytest.approx(macs, rel=0.03)


def test_each_unpooling_uses_the_indices_of_its_own_stage():
    network = build("enet").eval()
    seen = {}
    for name in ("down1", "down2", "up4", "up5"):
        getattr(network, name).register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs, output)})
        )
    with torch.no_grad():
        network(torch.randn(2, 3, 32, 48))
    for down, up in (("down1", "up5"), ("down2", "up4")):
        (pooled,), (_, indices) = seen[down]
        assert torch.equal(seen[up][0][1], indices)
        assert seen[up][1].shape == pooled.shape


class Nothing(nn.Module):
    def forward(self, features):
        return features.new_zeros(1)


@pytest.mark.parametrize(("down", "up", "channels"), [("down1", "up5", 16), ("down2", "up4", 64)])
def test_what_goes_up_lands_where_the_maxima_were(down, up, channels):
    network = build("enet").eval()
    bottleneck = getattr(network, up)
    bottleneck.main, bottleneck.extension = nn.Identity(), Nothing()
    features = torch.randn(2, channels, 8, 12)
    with torch.no_grad():
        _, indices = getattr(network, down)(features)
        raised = bottleneck(torch.ones(2, channels, 4, 6), indices, features)
    blocks = features.unfold(2, 2, 2).unfold(3, 2, 2)
    highest = blocks.amax(dim=(4, 5), keepdim=True)
    assert torch.equal(raised.unfold(2, 2, 2).unfold(3, 2, 2), (blocks == highest).float())


def test_stages_are_those_of_the_papers_table():
    network = build("enet")
    stages = [network.stage1, network.stage2, network.stage3, network.stage4, [network.stage5]]
    # Five with the one that goes down or up before them, but for stage 3: 27 in all.
    assert [len(stage) for stage in stages] == [4, 8, 8, 2, 1]
    rhythm = [1, 2, "5x1", 4, 1, 8, "5x1", 16]
    for stage in (network.stage2, network.stage3):
        assert [middle(bottleneck) for bottleneck in stage] == rhythm
    dropouts = [m.p for m in network.modules() if isinstance(m, nn.Dropout2d)]
    assert dropouts == [0.01] * 5 + [0.1] * 22


def middle(bottleneck):
    convolutions = [m for m in bottleneck.extension if isinstance(m, nn.Conv2d)][1:-1]
    if len(convolutions) == 2:
        assert [m.kernel_size for m in convolutions] == [(5, 1), (1, 5)]
        return "5x1"
    (convolution,) = convolutions
    assert convolution.kernel_size == (3, 3) and convolution.padding == convolution.dilation
    return convolution.dilation[0]


def test_activations_of_the_decoder_are_chosen():
    def slopes(network):
        parts = (network.up4, network.stage4, network.up5, network.stage5)
        return sum(isinstance(m, nn.PReLU) for part in parts for m in part.modules())

    assert slopes(build("enet")) == 0
    assert slopes(build("enet", decoder_activation="prelu")) == 15
    encoder = build("enet").stage2
    assert not any(isinstance(m, nn.ReLU) for m in encoder.modules())
    assert all(m.bias is None for m in build("enet").modules() if isinstance(m, nn.Conv2d))


def test_channels_that_pooling_lacks_are_zeros():
    down = build("enet").down1.eval()
    down.extension = nn.Sequential(nn.Conv2d(16, 64, 2, stride=2, bias=False))
    nn.init.zeros_(down.extension[0].weight)
    features = torch.rand(1, 16, 4, 4)
    output, _ = down(features)
    assert torch.equal(output[:, :16], nn.functional.max_pool2d(features, 2))
    assert not output[:, 16:].any()


@pytest.mark.parametrize("bands", [1, 2, 3, 13])
def test_sixteen_channels_for_any_bands(bands):
    initial = build("enet", bands=bands).initial
    image = torch.randn(2, bands, 8, 8)
    assert initial(image).shape == (2, 16, 4, 4)
    image.requires_grad_()
    initial(image).square().sum().backward()
    assert all(image.grad[:, band].any() for band in range(bands))


@pytest.mark.slow
def test_run_times_outside_of_torch_agree():
    assert_exports_agree(build("enet").eval(), torch.randn(1, 3, 32, 64))
