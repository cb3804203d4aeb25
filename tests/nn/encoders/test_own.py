import pytest
import torch
from segmentation_models_pytorch.encoders import encoders as smp_encoders

from geoseg.errors import ConfigError
from geoseg.nn.architecture import ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.encoders.names import list_encoders, resolve_encoder
from geoseg.nn.encoders.own import OWN_ENCODERS
from geoseg.nn.models import ModelSpec, build_model

# Parameters in millions. Those of our own encoders are measured of Semantic_Segmentation_Keras,
# which normalises once more per block: 0.1 to 0.3 % of them.
OURS = {
    "resnetv2_200": 62.74,
    "resnetv2_50_separable": 43.67,
    "resnetv2_101_separable": 80.54,
    "resnetv2_152_separable": 110.91,
    "resnetv2_200_separable": 119.61,
    # By hand: stem 232, stages of 12752, 97024 and 189440. TorchSeg's BiSeNet-X39 of 1.542 M has
    # 1,242,515 others (spatial path, attention, fusion, head).
    "xception39": 0.299448,
}
# Trunks of timm and torchvision; the last is semseg's PSPNet50 of 46.783 M less its head of
# 23.151 M.
OTHERS = {
    "resnet200d": 62.62,
    "resnetv2_50": 23.50,
    "resnetv2_101": 42.49,
    "resnetv2_152": 58.13,
    "vgg16": 14.72,
    "vgg19": 20.04,
    "xception41": 24.92,
    "xception65": 37.87,
    "xception71": 40.29,
    "xception": 20.81,
    "densenet121": 6.95,
    "densenet161": 26.47,
    "densenet169": 12.48,
    "densenet201": 18.09,
    "mobilenetv1_100": 3.21,
    "mobilenetv2_100": 1.81,
    "mobilenetv3_large_100": 2.97,
    "mobilenetv3_small_100": 0.93,
    "efficientnet_b0": 3.60,
    "tf_efficientnet_b7": 62.14,
    "resnest50d": 25.43,
    "res2net50_26w_4s": 23.65,
    "res2next50": 22.62,
    "legacy_senet154": 113.04,
    "skresnext50_32x4d": 25.43,
    "inception_v3": 21.79,
    "inception_v4": 41.14,
    "inception_resnet_v2": 54.31,
    "dpn68": 11.78,
    "dpn131": 76.56,
    "resnet50s": 23.632,
}


def encoder_of(name, bands=3):
    request = NetworkRequest(
        encoder=resolve_encoder(name),
        in_channels=bands,
        classes=2,
        pretrained=False,
        options=ArchitectureOptions(),
    )
    with torch.device("meta"):
        return build_encoder(request)


@pytest.mark.parametrize(
    ("name", "millions"),
    [*OURS.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in OTHERS.items())],
)
def test_trunks_have_the_published_number_of_parameters(name, millions):
    count = sum(parameter.numel() for parameter in encoder_of(name).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_xception39_is_counted_to_the_last_parameter():
    assert (
        sum(p.numel() for p in encoder_of("xception39").parameters())
        == 232 + 12752 + 97024 + 189440
    )


def test_our_names_are_listed_once_and_known():
    names = list_encoders()
    assert set(OURS) == set(OWN_ENCODERS) <= set(smp_encoders)
    assert all(names.count(name) == 1 and resolve_encoder(name) == name for name in OURS)
    with pytest.raises(ConfigError, match="is no encoder of timm"):
        resolve_encoder("resnetv2_200", from_timm=True)


@pytest.mark.parametrize("arch", ["unet", "deeplabv3plus"])
def test_networks_of_the_library_take_ours(arch):
    network = build_model(ModelSpec(arch=arch, encoder="xception39", in_channels=4, classes=3))
    assert network(torch.randn(2, 4, 33, 65)).shape == (2, 3, 33, 65)


def test_nobody_publishes_weights_of_ours():
    with pytest.raises(ConfigError, match="no imagenet weights for xception39"):
        build_model(
            ModelSpec(arch="unet", encoder="xception39", in_channels=3, classes=2),
            weights="imagenet",
        )


def test_the_deep_stem_of_semseg_is_that_of_timm():
    stem = encoder_of("resnet50s").model.conv1
    layers = (stem[0], stem[3], stem[6])
    shapes = [(c.in_channels, c.out_channels, c.kernel_size, c.stride) for c in layers]
    assert shapes == [
        (3, 64, (3, 3), (2, 2)),
        (64, 64, (3, 3), (1, 1)),
        (64, 128, (3, 3), (1, 1)),
    ]
    assert encoder_of("resnet50s").out_channels == [3, 128, 256, 512, 1024, 2048]
