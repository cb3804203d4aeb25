import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch import nn
from torchvision.models.resnet import BasicBlock

from geoseg.nn.models import ARCHITECTURES, ModelSpec, build_model


@pytest.mark.parametrize(
    ("arch", "encoder", "options", "millions", "milliards"),
    [
        # Third-party builds on plain ResNets, 128 channels throughout.
        ("sfnet", "resnet18", {}, 12.721, 183.1),
        ("sfnet", "resnet101", {"width": 128}, 45.200, 439.3),
        # The authors' own on the ResNets of three 3x3 convolutions at their beginning.
        ("sfnet", "tu-resnet50s", {}, 31.325, 663.3),
        ("sfnet", "tu-resnet101s", {}, 50.317, 818.5),
        ("sfnet_lite", "resnet18", {}, 11.932, 118.2),
        ("sfnet_lite", "resnet101", {}, 44.362, None),
    ],
)
def test_figures(arch, encoder, options, millions, milliards):
    network = bare_network(arch, encoder, **options)
    assert parameters(network) == pytest.approx(millions, rel=2e-4)
    if milliards:
        assert gmacs(network, 1024, 2048) == pytest.approx(milliards, rel=0.03)


@pytest.mark.parametrize(
    ("arch", "millions", "milliards"),
    [("sfnet", 12.870, 242.96), ("sfnet_lite", 12.146, 177.95)],
)
def test_figures_of_the_authors_resnet18(arch, millions, milliards):
    """Theirs begins with three 3x3 convolutions and gives 128 channels to the first stage.

    Their SFNet-Lite also has a convolution of 1x1 from 512 to 128 channels, half a percent of
    it all, of which the paper says nothing.
    """
    network = bare_network(arch, "resnet18")
    with torch.device("meta"):
        network.encoder.conv1 = nn.Sequential(
            *(nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            nn.Conv2d(64, 128, 3, padding=1, bias=False),
        )
        network.encoder.bn1 = nn.BatchNorm2d(128)
        shortcut = nn.Sequential(nn.Conv2d(128, 64, 1, bias=False), nn.BatchNorm2d(64))
        network.encoder.layer1[0] = BasicBlock(128, 64, downsample=shortcut)
    network.eval()
    assert parameters(network) == pytest.approx(millions, rel=0.01)
    assert gmacs(network, 1024, 2048) == pytest.approx(milliards, rel=0.03)


@pytest.mark.parametrize("arch", ["sfnet", "sfnet_lite"])
def test_logits_are_of_stride_4(arch):
    network = bare_network(arch, "resnet18", 5)
    assert network(torch.zeros(2, 3, 64, 96, device="meta")).shape == (2, 5, 16, 24)


def test_training_gives_each_level_of_the_pyramid():
    spec = ModelSpec(arch="sfnet", encoder="resnet18", in_channels=3, classes=2)
    outputs = build_model(spec).network(torch.randn(2, 3, 64, 96))
    sizes = [tuple(output.shape[-2:]) for output in outputs]
    assert sizes == [(16, 24), (4, 6), (8, 12), (16, 24)]
    auxiliary = ARCHITECTURES["sfnet"].auxiliary
    assert [head.weight for head in auxiliary] == [0.4, 0.4, 0.4]
    assert [head.name.split()[-1] for head in auxiliary] == ["16", "8", "4"]


def test_each_level_adds_the_aligned_coarser_one():
    """Without flow the pyramid is the plain one: laterals plus what was above, enlarged."""
    spec = ModelSpec(arch="sfnet", encoder="resnet18", in_channels=3, classes=2)
    network = build_model(spec).network.eval()
    for alignment in network.alignments:
        torch.nn.init.zeros_(alignment.flow.weight)
    seen = []
    for output in network.outputs:
        output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64)
        network(image)
        *_, c2, c3, c4, c5 = network.encoder(image)
        top = network.pyramid(c5)
        for level, lateral, found in zip((c4, c3, c2), network.laterals, seen, strict=True):
            fine = lateral(level)
            top = fine + torch.nn.functional.interpolate(
                top, size=fine.shape[-2:], mode="bilinear", align_corners=True
            )
            torch.testing.assert_close(found, top)
