import pytest
import torch
from torch import nn

from geoseg.nn.counting import count_model
from geoseg.nn.decoders.denseaspp import DenseASPP, DenseAsppOptions
from geoseg.nn.models import ModelSpec, build_model


def spec_of(encoder="resnet18", classes=2, **options):
    return ModelSpec(
        arch="denseaspp", encoder=encoder, in_channels=3, classes=classes, options=options
    )


@pytest.mark.parametrize(
    ("encoder", "millions", "gigas"),
    [
        ("densenet121", 8.281, 38.6),
        ("densenet161", 35.395, 154.9),
        ("densenet169", 18.421, None),
        ("densenet201", 28.640, None),
    ],
)
def test_figures_of_the_authors_networks(encoder, millions, gigas):
    cost = count_model(spec_of(encoder, 19), 512)
    assert cost.parameters == pytest.approx(millions * 1e6, rel=1e-3)
    if gigas is not None:
        assert cost.macs == pytest.approx(gigas * 1e9, rel=0.01)


class Features(nn.Module):
    """An encoder that hands on what it is given, as its last level."""

    output_stride = 8

    def __init__(self, channels):
        super().__init__()
        self.out_channels = (3, 0, 0, 0, 0, channels)

    def forward(self, image):
        return [image]


def test_every_block_sees_the_features_and_all_before_it():
    network = DenseASPP(Features(16), 2, (6, 4), DenseAsppOptions()).eval()
    seen, gave = [], []

    def note(_, given, out):
        seen.append(given[0])
        gave.append(out)

    for block in network.blocks:
        block.register_forward_hook(note)
    with torch.no_grad():
        network(torch.randn(1, 16, 9, 9))
    features = seen[0]
    assert features.shape[1] == 8
    for index, given in enumerate(seen):
        assert torch.equal(given, torch.cat([*reversed(gave[:index]), features], dim=1))
    assert network.head[1].in_channels == 8 + 5 * 4


def test_the_rates_stand_in_the_papers_order():
    network = build_model(spec_of()).network
    atrous = [
        [m for m in block if isinstance(m, nn.Conv2d)][-1].dilation[0] for block in network.blocks
    ]
    assert atrous == [3, 6, 12, 18, 24]
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in block) for block in network.blocks]
    assert norms == [1, 2, 2, 2, 2]  # the first follows the encoder's last


def test_the_field_of_view_is_the_sum_of_all_rates():
    """3 + 6 + 12 + 18 + 24 = 63 cells to each side, the paper's argument for stacking them."""
    network = DenseASPP(Features(2), 1, (2, 1), DenseAsppOptions()).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.1)  # nothing cancels, no unit is dead
    image = torch.rand(1, 2, 1, 141, requires_grad=True)
    network(image)[0, 0, 0, 70].backward()
    touched = image.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    assert (touched.min().item(), touched.max().item()) == (70 - 63, 70 + 63)


def test_widths_follow_the_encoder_unless_they_are_given():
    network = build_model(spec_of()).network
    assert network.blocks[0][2].weight.shape == (512 // 8, 256, 1, 1)
    assert network.blocks[0][5].weight.shape[0] == 512 // 16
    given = build_model(spec_of(inner_channels=7, branch_channels=5, rates=[2, 4])).network
    assert [block[5].weight.shape for block in given.blocks] == [(5, 7, 3, 3)] * 2


@pytest.mark.parametrize("stride", [8, 16])
def test_logits_have_the_output_stride(stride):
    model = build_model(spec_of(output_stride=stride)).eval()
    assert model.divisor == stride
    with torch.no_grad():
        assert model.network(torch.randn(1, 3, 64, 96)).shape == (1, 2, 64 // stride, 96 // stride)
