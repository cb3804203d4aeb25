import pytest
import torch
from torch import nn

from geoseg.errors import ConfigError
from geoseg.nn.counting import count_model
from geoseg.nn.decoders.deeplab_duc import DenseUpsampling, dilate_in_turn
from geoseg.nn.models import ModelSpec, build_model


def spec_of(encoder="resnet18", classes=2, **options):
    return ModelSpec(
        arch="deeplab_duc", encoder=encoder, in_channels=3, classes=classes, options=options
    )


def test_figures_of_the_reference():
    """ZijunDeng's on ResNet-152 has one plain convolution instead of four atrous ones.

    21 classes; it also normalises the 21 * 64 channels, which the authors do not.
    """
    cost = count_model(spec_of("resnet152", 21, rates=[1]), 512)
    assert cost.parameters + 2 * 21 * 64 == pytest.approx(82.920e6, rel=1e-4)
    assert cost.macs == pytest.approx(342.6e9, rel=0.01)


def test_the_authors_head_has_four_convolutions():
    cost = count_model(spec_of("resnet101", 19), 512)
    trunk = 44.549160e6 - 2_049_000  # torchvision's ResNet-101 without its last layer
    assert cost.parameters == trunk + 4 * (9 * 2048 + 1) * 64 * 19


def test_channels_become_pixels_as_a_naive_loop_puts_them():
    head = DenseUpsampling(3, classes=2, factor=4, rates=(1, 2))
    nn.init.normal_(head.branches[1].weight)
    features = torch.randn(2, 3, 5, 6)
    with torch.no_grad():
        scores = head.branches[0](features) + head.branches[1](features)
        logits = head(features)
    expected = torch.empty(2, 2, 20, 24)
    for channel in range(2):
        for row in range(20):
            for col in range(24):
                of_cell = channel * 16 + row % 4 * 4 + col % 4
                expected[:, channel, row, col] = scores[:, of_cell, row // 4, col // 4]
    torch.testing.assert_close(logits, expected)


def test_the_pixels_of_a_cell_start_alike_and_the_cells_do_not():
    head = DenseUpsampling(8, classes=3, factor=8)
    with torch.no_grad():
        logits = head(torch.randn(1, 8, 6, 7))
    cells = logits[..., ::8, ::8]
    assert torch.equal(logits, cells.repeat_interleave(8, 2).repeat_interleave(8, 3))
    assert cells.std(dim=(2, 3)).min() > 0
    assert not torch.allclose(logits[:, 0], logits[:, 1])


def dilations(stage):
    return [
        module.dilation[0]
        for module in stage.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize("encoder", ["resnet101", "tu-resnet101"])
def test_hybrid_dilations_of_resnet_101(encoder):
    """23 blocks in groups of four and a rest of three, as in the paper, section 4.2."""
    with torch.device("meta"):
        body = build_model(spec_of(encoder)).encoder
    body = getattr(body, "model", body)
    assert dilations(body.layer3) == [1, 2, 5, 9] * 5 + [1, 2, 5]
    assert dilations(body.layer4) == [5, 9, 17]
    assert set(dilations(body.layer1)) == set(dilations(body.layer2)) == {1}


def test_dilations_go_by_blocks_and_may_be_left_alone():
    both = build_model(spec_of(dilations_4=[1, 2, 3], dilations_5=[3, 4, 5])).encoder
    assert (dilations(both.layer3), dilations(both.layer4)) == ([1, 1, 2, 2], [3, 3, 4, 4])
    plain = build_model(spec_of(dilations_4=[], dilations_5=[])).encoder
    assert (dilations(plain.layer3), dilations(plain.layer4)) == ([2] * 4, [4] * 4)
    mobile = build_model(spec_of("mobilenet_v2")).encoder
    assert dilations(mobile.features[7:14]) == [1, 2, 5, 9, 1, 2, 5]
    assert dilations(mobile.features[14:]) == [5, 9, 17, 5]


class Row(nn.Module):
    """Three convolutions along a row, all of dilation 2."""

    def __init__(self):
        super().__init__()
        self.layer3 = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=2, dilation=2) for _ in range(3)))
        self.layer4 = nn.Sequential()

    def seen(self):
        """Cells that the middle one of 31 sees."""
        for parameter in self.layer3.parameters():
            nn.init.ones_(parameter)
        row = torch.zeros(1, 1, 1, 31, requires_grad=True)
        self.layer3(row)[0, 0, 0, 15].backward()
        return row.grad.flatten().nonzero().flatten().tolist()


def test_hybrid_dilations_leave_no_holes_in_the_field_of_view():
    row = Row()
    assert row.seen() == list(range(9, 22, 2))  # the gridding that the paper shows
    dilate_in_turn(row, (1, 2, 5), ())
    assert row.seen() == list(range(7, 24))


def test_dilations_with_a_common_factor_are_refused():
    with pytest.raises(ConfigError, match="common factor"):
        build_model(spec_of(dilations_4=[2, 4, 8]))


@pytest.mark.parametrize("upsampling", [2, 4, 8])
def test_logits_are_as_large_as_cells_are_upsampled(upsampling):
    model = build_model(spec_of(upsampling=upsampling)).eval()
    image = torch.randn(1, 3, 64, 80)
    with torch.no_grad():
        assert model.network(image).shape == (1, 2, 8 * upsampling, 10 * upsampling)
        assert model(image).shape == (1, 2, 64, 80)
