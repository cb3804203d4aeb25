import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch.nn import functional

from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.networks.icnet import SummedPooling


def test_parameters_are_those_of_the_reference_but_its_unused_ones():
    """meetps/pytorch-semseg (7.758 M) builds four projections for its pooling.

    Each is a 1x1 convolution from 1024 to 256 channels with its norm; its forward, like the
    authors' prototxt, adds the pooled grids as they are and never calls them.
    """
    unused = 4 * (1024 * 256 + 2 * 256) * 1e-6
    network = bare_network("icnet")
    assert parameters(network, auxiliary=True) == pytest.approx(7.758 - unused, rel=1e-3)


def test_multiplications_are_near_those_of_the_reference():
    """It takes 30.58, with both auxiliary classifiers and a later stride.

    By hand, from the prototxt: convolution by convolution, kernel times cells.
    """
    eighth, sixteenth, last = 129 * 257, 65 * 129, 33 * 65  # of 1025 x 2049
    fine = 864 * 513 * 1025 + 9216 * 257 * 513 + 18432 * eighth
    stem = (864 + 9216 + 18432) * 257 * 513
    stage2 = (64 * 32 + 9216 + 4096 + 64 * 128 + 2 * (4096 + 9216 + 4096)) * eighth
    block31 = (128 * 64 + 9 * 64**2 + 64 * 256 + 128 * 256) * sixteenth
    stage3 = 3 * (256 * 64 + 9 * 64**2 + 64 * 256)
    stage4 = 256 * 128 + 256 * 512 + 9 * 128**2 + 128 * 512
    stage4 += 5 * (512 * 128 + 9 * 128**2 + 128 * 512)
    stage5 = 512 * 256 + 512 * 1024 + 9 * 256**2 + 256 * 1024
    stage5 += 2 * (1024 * 256 + 9 * 256**2 + 256 * 1024)
    rest = (stage3 + stage4 + stage5 + 1024 * 256) * last
    fusions = (9 * 256 + 256) * 128 * sixteenth + (9 * 128 + 64) * 128 * eighth
    head = 128 * 19 * 257 * 513
    by_hand = 1e-9 * (fine + stem + stage2 + block31 + rest + fusions + head)
    found = gmacs(bare_network("icnet"), 1025, 2049)
    assert found == pytest.approx(by_hand, rel=1e-3)
    assert found == pytest.approx(30.58, rel=0.03)


def test_three_rates_of_the_image():
    network = bare_network("icnet")
    seen = {}

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = (tuple(inputs[0].shape[2:]), tuple(output.shape[2:]))

        return hook

    for name in ("first", "rest", "fine"):
        network.get_submodule(name).register_forward_hook(keep(name))
    logits = network(torch.zeros(1, 3, 256, 384, device="meta"))
    assert seen == {
        "first": ((128, 192), (16, 24)),  # half the image, to 1/16
        "rest": ((8, 12), (8, 12)),  # halved once more: 1/32
        "fine": ((256, 384), (32, 48)),  # the whole image, to 1/8
    }
    assert logits.shape == (1, 19, 64, 96)  # 1/4


def test_the_rest_of_the_trunk_takes_the_first_part_halved():
    network = build_model(ModelSpec(arch="icnet", in_channels=2, classes=3)).eval().network
    seen = {}
    network.first.register_forward_hook(lambda *call: seen.update(image=call[1], middle=call[2]))
    network.rest.register_forward_pre_hook(lambda *call: seen.update(coarse=call[1]))
    image = torch.randn(1, 2, 64, 96)
    with torch.no_grad():
        network(image)
    # Halving bilinearly an even number of cells is the mean of each two by two.
    torch.testing.assert_close(seen["image"][0], functional.avg_pool2d(image, 2))
    torch.testing.assert_close(seen["coarse"][0], functional.avg_pool2d(seen["middle"], 2))


def test_dilations_of_the_trunk():
    network = bare_network("icnet")
    blocks = [*network.first[4:], *network.rest]
    kernels = [block.layers[3] for block in blocks]
    assert [conv.dilation[0] for conv in kernels] == [1] * 3 + [1] * 4 + [2] * 6 + [4] * 3
    assert [conv.out_channels for conv in kernels] == [32] * 3 + [64] * 4 + [128] * 6 + [256] * 3
    # As in Caffe's ResNet the 1x1 convolution strides, and only that of the first part.
    assert [block.layers[0].stride[0] for block in blocks] == [1] * 3 + [2] + [1] * 12


def test_pooled_grids_are_added():
    features = torch.randn(1, 3, 12, 12)
    whole = features.mean(dim=(2, 3), keepdim=True)
    expected = features + whole
    for side in (2, 3, 6):
        grid = functional.avg_pool2d(features, 12 // side)
        expected = expected + functional.interpolate(grid, size=(12, 12), mode="bilinear")
    torch.testing.assert_close(SummedPooling()(features), expected)


def test_guidance_at_a_sixteenth_and_an_eighth():
    model = build_model(ModelSpec(arch="icnet", in_channels=1, classes=4)).train()
    assert [head.weight for head in model.auxiliary] == [0.16, 0.4]
    outputs = model.network(torch.randn(2, 1, 64, 96))
    assert [tuple(o.shape) for o in outputs] == [(2, 4, 16, 24), (2, 4, 4, 6), (2, 4, 8, 12)]
    assert [tuple(o.shape) for o in model(torch.randn(1, 1, 33, 70))] == [(1, 4, 33, 70)] * 3
