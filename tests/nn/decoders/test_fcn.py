import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from geoseg.nn.counting import count_model, count_parameters
from geoseg.nn.decoders.fcn import FCN
from geoseg.nn.layers import LearnedUpsampling
from geoseg.nn.models import ModelSpec, build_model


def spec_of(arch, encoder="vgg16", classes=19, **options):
    return ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=classes, options=options)


VGG_16 = [(3, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256), *[(256, 256)] * 2]
VGG_16 = [*VGG_16, [(256, 512), *[(512, 512)] * 2], [(512, 512)] * 3]
"""Input and output channels of its 3x3 convolutions, stage by stage (arXiv 1409.1556)."""

VGG_PARAMETERS = sum(9 * i * o + o for stage in VGG_16 for i, o in stage)
FC_PARAMETERS = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096


def score_parameters(finer, classes):
    """Scores of fc7, pool4, pool3, and an upsampling of 4 x 4 for each but the first."""
    scores = sum(channels * classes + classes for channels in (4096, 512, 256)[: finer + 1])
    return scores + finer * 16 * classes**2


@pytest.mark.parametrize(
    ("arch", "finer", "millions"),
    [("fcn32s", 0, 134.338), ("fcn16s", 1, 134.348), ("fcn8s", 2, 134.457)],
)
def test_the_networks_have_the_parameters_of_the_reference(arch, finer, millions):
    """Of meetps's networks with 19 classes; its FCN-8s learns a last upsampling of 16 x 16 too."""
    parameters = count_model(spec_of(arch), 64).parameters
    assert parameters == VGG_PARAMETERS + FC_PARAMETERS + score_parameters(finer, 19)
    assert parameters == pytest.approx(millions * 1e6, rel=1e-3)


def macs_of(sides, cells):
    """Multiplications of VGG-16 with stages of these sides, fc6 and fc7 on cells x cells."""
    stages = zip(sides, VGG_16, strict=True)
    convolutions = sum(side**2 * 9 * i * o for side, stage in stages for i, o in stage)
    return convolutions + cells**2 * (7 * 7 * 512 * 4096 + 4096**2)


def test_the_multiplications_are_the_references_without_its_padding():
    """yassouali/pytorch-segmentation takes 190.2 G: it pads the image of 512 pixels by 100.

    Its first layer gives 512 + 200 - 2 = 710 pixels, fc6 (23 cells - 6) = 17. Ours keeps to the
    image: 512 pixels and 16 cells, which is where its 111 G come from.
    """
    assert macs_of([710, 355, 178, 89, 45], 17) == pytest.approx(190.2e9, rel=0.01)
    expected = macs_of([512, 256, 128, 64, 32], 16)
    assert count_model(spec_of("fcn8s"), 512).macs == pytest.approx(expected, rel=0.01)


class SmallVgg(nn.Module):
    """A VGG of one narrow convolution per stage, without biases: of nothing comes nothing."""

    output_stride = 32
    out_channels = (4, 5, 6, 7, 8, 8)

    def __init__(self):
        super().__init__()
        widths = [3, *self.out_channels[:5]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in itertools.pairwise(widths)
        )

    def forward(self, image):
        features = []
        for convolution in self.convolutions:
            features.append(convolution(image).relu())
            image = functional.max_pool2d(features[-1], 2)
        return [*features, image]


def small_fcn(finer, **more):
    score = nn.Sequential(nn.Conv2d(8, 6, 7, padding=3, bias=False), nn.Conv2d(6, 2, 1, bias=False))
    network = FCN(SmallVgg(), score, 2, levels=(3, 2)[:finer], pooled=True, **more)
    for key, parameter in network.named_parameters():
        nn.init.normal_(parameter, std=0.0 if key.endswith("bias") else 0.3)
    return network.eval()


def bilinear_deconvolution(scores, factor):
    """The paper's last layer: kernel 2 f, stride f, fixed to bilinear interpolation."""
    line = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    kernel = torch.outer(line, line).to(scores).expand(len(scores[0]), 1, -1, -1)
    return functional.conv_transpose2d(scores, kernel, stride=factor, groups=len(scores[0]))


def paper_fcn(network, image):
    """The authors' way: padding of 100, no padding in fc6, crops of 5 and 9 and 27, 31 or 19."""
    pools, x = [], image
    for stage, convolution in enumerate(network.encoder.convolutions):
        x = functional.conv2d(x, convolution.weight, padding=100 if stage == 0 else 1).relu()
        x = functional.max_pool2d(x, 2, ceil_mode=True)
        pools.append(x)
    fc6, score = network.score
    scores = functional.conv2d(functional.conv2d(x, fc6.weight), score.weight)
    for index, offset in enumerate((5, 9)[: len(network.levels)]):
        weight = network.upsamplings[index].deconvolution.weight
        scores = functional.conv_transpose2d(scores, weight, stride=2)
        height, width = scores.shape[2:]
        added = network.finer_scores[index](pools[3 - index])
        scores = scores + added[..., offset : offset + height, offset : offset + width]
    factor, offset = {0: (32, 19), 1: (16, 27), 2: (8, 31)}[len(network.levels)]
    height, width = (offset + side for side in image.shape[2:])
    return bilinear_deconvolution(scores, factor)[..., offset:height, offset:width]


@pytest.mark.parametrize("finer", [0, 1, 2])
def test_scores_lie_where_the_papers_crops_put_them(finer):
    """The same weights the authors' way give the same, where cells begin at the same pixels.

    Theirs begin 99 pixels above the image, ours on it: three rows and columns off 32's multiples.
    """
    network = small_fcn(finer).double()
    image = torch.zeros(1, 3, 384, 384, dtype=torch.float64)
    image[..., 160:224, 170:215] = torch.randn(1, 3, 64, 45)
    with torch.no_grad():
        scores = network(image)
        logits = functional.interpolate(scores, size=image.shape[2:], mode="bilinear")
        expected = paper_fcn(network, image[..., 3:, 3:])
    assert scores.shape[2:] == (12 * 2**finer, 12 * 2**finer)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(logits[..., 3:, 3:], expected)


def test_learned_upsampling_starts_bilinear_up_to_the_border():
    upsampling = LearnedUpsampling(3)
    image = torch.randn(2, 3, 5, 4)
    expected = functional.interpolate(image, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(upsampling(image), expected)
    assert upsampling.deconvolution.weight.requires_grad
    constant = torch.full((1, 3, 3, 3), 2.5)
    torch.testing.assert_close(upsampling(constant), torch.full((1, 3, 6, 6), 2.5))


def test_at_once_scales_pool4_and_pool3_before_they_are_scored():
    network = small_fcn(2, scales=(0.01, 0.0001))
    plain = small_fcn(2)
    state = network.state_dict()
    state["finer_scores.0.weight"] = state["finer_scores.0.weight"] * 0.01
    state["finer_scores.1.weight"] = state["finer_scores.1.weight"] * 0.0001
    plain.load_state_dict(state)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(image), plain(image))
    scales = build_model(spec_of("fcn8s", "resnet18", at_once=True)).network.scales
    assert scales == network.scales
    assert build_model(spec_of("fcn8s", "resnet18")).network.scales == (1, 1)


def test_scores_start_at_zero():
    network = build_model(spec_of("fcn8s", "resnet18")).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 64)).count_nonzero() == 0


def test_encoders_other_than_vgg_score_their_levels_without_fc_layers():
    network = build_model(spec_of("fcn8s", "resnet18", classes=5)).network
    added = count_parameters(network) - count_parameters(network.encoder)
    assert added == (512 + 256 + 128 + 3) * 5 + 2 * 16 * 5**2
    options = {"fc_channels": 32, "fc_kernel": 3}
    wider = build_model(spec_of("fcn32s", "resnet18", classes=5, **options)).network
    added = count_parameters(wider) - count_parameters(wider.encoder)
    assert added == 9 * 512 * 32 + 32 + 32 * 32 + 32 + 33 * 5
    assert [m.p for m in wider.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("arch", "stride"), [("fcn32s", 32), ("fcn16s", 16), ("fcn8s", 8)])
def test_logits_have_the_stride_of_the_name(arch, stride):
    for encoder in ("resnet18", "vgg11", "tu-vgg11"):
        with torch.device("meta"), torch.no_grad():
            network = build_model(spec_of(arch, encoder)).eval().network
            scores = network(torch.zeros(1, 3, 64, 96))
        assert scores.shape == (1, 19, 64 // stride, 96 // stride)


def test_export_of_scores_that_are_not_zero():
    network, image = small_fcn(2), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = network(image)
        exported = torch.export.export(network, (image,)).module()(image)
    assert expected.std() > 0
    torch.testing.assert_close(exported, expected)
