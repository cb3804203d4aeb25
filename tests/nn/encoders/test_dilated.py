import copy

import pytest
import torch
from segmentation_models_pytorch.encoders.densenet import DenseNetEncoder
from segmentation_models_pytorch.encoders.vgg import VGGEncoder
from torch import nn

from geoseg.nn.architecture import ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.encoders.dilated import DilatedDenseNetEncoder, DilatedVGGEncoder

TINY = {
    "out_channels": [3, 8, 16, 20, 22, 27],
    "num_init_features": 8,
    "growth_rate": 4,
    "block_config": (2, 6, 6, 4),
}
VGG = {"out_channels": [4, 4, 4, 4, 4, 4], "config": [4, "M", 4, "M", 4, "M", 4, "M", 4, "M"]}


def encoder_of(name, stride):
    request = NetworkRequest(
        encoder=name, in_channels=3, classes=2, pretrained=False, options=ArchitectureOptions()
    )
    with torch.device("meta"):
        return build_encoder(request, output_stride=stride)


def tiny(encoder_class, params):
    """A few channels of one: torchvision would first fill a head of a hundred million weights."""
    with torch.device("meta"):
        encoder = encoder_class(**params)
    for value in encoder.to_empty(device="cpu").state_dict().values():
        value.copy_(torch.rand(value.shape) / 5)
    return encoder.eval()


def rates(module):
    convolutions = (c for c in module.modules() if isinstance(c, nn.Conv2d))
    return {c.dilation for c in convolutions if c.kernel_size != (1, 1)}


@pytest.mark.parametrize(
    ("stride", "expected"), [(32, (1, 1, 1, 1)), (16, (1, 1, 1, 2)), (8, (1, 1, 2, 4))]
)
@pytest.mark.parametrize("name", ["densenet121", "densenet161", "densenet169", "densenet201"])
def test_densenets_are_dilated_as_in_dense_aspp(name, stride, expected):
    features = encoder_of(name, stride).features
    for block, rate in enumerate(expected, start=1):
        assert rates(getattr(features, f"denseblock{block}")) == {(rate, rate)}
    pools = [getattr(features, f"transition{i}").pool for i in (1, 2, 3)]
    pooling = [isinstance(pool, nn.AvgPool2d) for pool in pools]
    assert pooling == [True, stride > 8, stride > 16]


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg16_bn", "vgg19"])
def test_vggs_keep_their_resolution_behind_the_last_poolings(name, stride):
    features = encoder_of(name, stride).features
    pools = [i for i, module in enumerate(features) if isinstance(module, nn.MaxPool2d)]
    steps = [2 ** (stride >= 2 ** (i + 1)) for i in range(5)]
    assert [features[i].stride for i in pools] == steps
    assert rates(features[: pools[3]]) == {(1, 1)}
    assert rates(features[pools[3] :]) == {(2, 2) if stride == 8 else (1, 1)}


@pytest.mark.parametrize(
    ("ours", "theirs", "params"),
    [(DilatedDenseNetEncoder, DenseNetEncoder, TINY), (DilatedVGGEncoder, VGGEncoder, VGG)],
)
def test_weights_of_the_library_fit_and_give_the_same_at_stride_32(ours, theirs, params):
    reference, encoder = tiny(theirs, params), tiny(ours, params)
    encoder.load_state_dict(reference.state_dict())
    image = torch.randn(1, 3, 64, 96)
    expected = reference(image)
    assert all(map(torch.equal, encoder(image), expected))
    for stride, same in ((16, 4), (8, 3)):
        dilated = copy.deepcopy(encoder)
        dilated.make_dilated(stride)
        # Levels before the first that keeps its resolution know nothing of it.
        levels = dilated(image)
        assert all(map(torch.equal, levels[: same + 1], expected[: same + 1]))
        assert [level.shape[-1] for level in levels[same:]] == [96 // stride] * (6 - same)


@pytest.mark.parametrize("stride", [4, 32, 12])
@pytest.mark.parametrize(
    ("encoder_class", "params"), [(DilatedDenseNetEncoder, TINY), (DilatedVGGEncoder, VGG)]
)
def test_other_strides_are_refused(encoder_class, params, stride):
    with pytest.raises(ValueError, match=f"no output stride {stride}, only 8, 16 and 32"):
        tiny(encoder_class, params).make_dilated(stride)
