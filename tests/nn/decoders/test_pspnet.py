import itertools

import pytest
import torch
from torch.nn import functional

from geoseg.nn.counting import count_model, count_parameters
from geoseg.nn.layers import PyramidPooling
from geoseg.nn.models import ModelSpec, build_model


def spec_of(arch="pspnet", encoder="resnet18", classes=2, **options):
    return ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=classes, options=options)


def auxiliary_parameters(inner, width, classes):
    """A 3x3 convolution without bias, its normalisation, a 1x1 convolution."""
    return 9 * inner * width + 2 * width + width * classes + classes


@pytest.mark.parametrize(
    ("encoder", "classes", "size", "millions", "without", "gigas"),
    [
        ("tu-resnet50s", 150, 473, 49.181, 46.783, 161.9),
        ("tu-resnet101s", 150, 473, 68.173, 65.775, 230.1),
        ("tu-resnet50s", 19, 713, None, None, 363.8),
        ("tu-resnet101s", 19, 713, None, None, 517.2),
    ],
)
def test_figures_of_the_reference(encoder, classes, size, millions, without, gigas):
    """Those of hszhao/semseg, whose ResNets have the deep stem."""
    cost = count_model(spec_of("pspnet", encoder, classes), size)
    assert cost.macs == pytest.approx(gigas * 1e9, rel=0.03)
    if millions is not None:
        assert cost.parameters == pytest.approx(millions * 1e6, rel=1e-3)
        main = cost.parameters - auxiliary_parameters(1024, 256, classes)
        assert main == pytest.approx(without * 1e6, rel=1e-3)


def test_figures_on_densenet():
    """The 42.288 M and 145.9 G (512 pixels, 19 classes) of yassouali's differ in three places.

    Its auxiliary head has 480 channels and stands behind transition 3, which gives 896; ours has
    256 on the 1792 before it. Its stem is two convolutions of 3x3 (the second used twice) with
    their normalisations, and it drops the last normalisation, of 1920 channels.
    """
    cost = count_model(spec_of("pspdensenet", "densenet201", 19), 512)
    stem = (9 * 3 * 64 + 2 * 64 + 9 * 64 * 64 + 2 * 64) - (49 * 3 * 64 + 2 * 64)
    theirs = 42.288e6 - auxiliary_parameters(896, 480, 19) - stem + 2 * 1920
    assert cost.parameters - auxiliary_parameters(1792, 256, 19) == pytest.approx(theirs, rel=1e-4)
    assert cost.parameters == pytest.approx(42.288e6, rel=0.01)
    assert cost.macs == pytest.approx(145.9e9, rel=0.03)


def averages(features, side):
    """Of side x side equal bins, one by one."""
    step = features.shape[-1] // side
    grid = torch.zeros(*features.shape[:2], side, side)
    for row, col in itertools.product(range(side), repeat=2):
        cells = features[..., row * step : (row + 1) * step, col * step : (col + 1) * step]
        grid[..., row, col] = cells.mean(dim=(2, 3))
    return grid


def test_the_pyramid_averages_bins_and_keeps_the_features_first():
    pooling = PyramidPooling(2, 3, bins=(1, 2, 3, 6)).eval()
    features = torch.randn(1, 2, 12, 12)
    with torch.no_grad():
        pooled = pooling(features)
        assert pooled.shape == (1, 2 + 4 * 3, 12, 12)
        assert torch.equal(pooled[:, :2], features)
        for index, side in enumerate((1, 2, 3, 6)):
            grid = pooling.branches[index][1](averages(features, side))
            expected = functional.interpolate(grid, size=(12, 12), mode="bilinear")
            torch.testing.assert_close(pooled[:, 2 + 3 * index : 5 + 3 * index], expected)


def test_the_head_takes_as_many_pooled_channels_as_features():
    network = build_model(spec_of()).network
    assert [branch[0].output_size for branch in network.pooling.branches] == [1, 2, 3, 6]
    assert network.head[0].weight.shape == (512, 1024, 3, 3)
    other = build_model(spec_of(bins=[1, 4], channels=32)).network
    assert [branch[0].output_size for branch in other.pooling.branches] == [1, 4]
    assert other.head[0].weight.shape == (32, 1024, 3, 3)


@pytest.mark.parametrize("stride", [8, 16])
def test_all_stages_end_on_the_output_stride(stride):
    model = build_model(spec_of(output_stride=stride))
    assert model.divisor == stride
    dilations = [model.encoder.layer3[1].conv2.dilation, model.encoder.layer4[1].conv2.dilation]
    assert dilations == [(16 // stride,) * 2, (32 // stride,) * 2]
    with torch.no_grad():
        logits = model.network.eval()(torch.randn(1, 3, 64, 96))
    assert logits.shape == (1, 2, 64 // stride, 96 // stride)


def test_the_auxiliary_head_teaches_the_stages_before_the_last():
    model = build_model(spec_of(classes=3))
    logits, auxiliary = model.train()(torch.randn(2, 3, 40, 48))
    assert logits.shape == auxiliary.shape == (2, 3, 40, 48)
    assert [head.weight for head in model.auxiliary] == [0.4]
    auxiliary.square().mean().backward()
    assert all(p.grad is None for p in model.encoder.layer4.parameters())
    assert all(p.grad is not None for p in model.encoder.layer3.parameters())
    assert count_parameters(model.network.auxiliary_head) == auxiliary_parameters(256, 256, 3)


def test_every_pixel_sees_the_whole_image():
    model = build_model(spec_of()).eval()
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    model(image)[0, 0, 4, 4].backward()
    assert image.grad[..., -32:, -32:].abs().max() > 0
