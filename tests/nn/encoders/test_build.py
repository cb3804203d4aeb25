import pytest
import torch

from geoseg.nn.architecture import ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder, listed_encoder, weights_argument
from geoseg.nn.encoders.names import list_encoders, resolve_encoder

ANY = (32, 16, 8)
ONLY_32 = (32,)
BANDS = dict(zip(ANY, (4, 1, 13), strict=True))

QUICK = {
    "resnet18": ANY,
    "resnetv2_50_separable": ANY,
    "vgg11": ANY,
    "xception39": ANY,
    "densenet121": ANY,
    "regnetx_002": ANY,
    "mobilenetv4_conv_small_050": ANY,
    "vit_tiny_patch16_224": ANY,
    "inceptionv4": ONLY_32,
}
SLOW = {
    "resnetv2_50": ANY,
    "resnet50s": ANY,
    "resnetv2_200": ANY,
    "vgg13_bn": ANY,
    "xception": ONLY_32,
    "xception41": ANY,
    "xception65": ANY,
    "tu-densenet121": ONLY_32,
    "mobilenet_v2": ANY,
    "mobilenetv1_100": ANY,
    "mobilenetv3_small_100": ANY,
    "mobileone_s0": ANY,
    "efficientnet-b0": ANY,
    "efficientnet_b0": ANY,
    "tf_efficientnetv2_b0": ANY,
    "resnext50_32x4d": ANY,
    "resnest14d": ANY,
    "res2net50_14w_8s": ANY,
    "res2next50": ANY,
    "regnety_002": ANY,
    "se_resnet50": ANY,
    "seresnet18": ANY,
    "legacy_seresnet18": ONLY_32,
    "skresnet18": ANY,
    "timm-skresnet18": ANY,
    "inceptionresnetv2": ONLY_32,
    "inception_v3": ONLY_32,
    "inception_v4": ONLY_32,
    "inception_resnet_v2": ONLY_32,
    "legacy_xception": ONLY_32,
    "dpn68": ANY,
    "dpn48b": ONLY_32,
    "hrnet_w18_small": ONLY_32,
    "convnext_atto": ANY,
    "swin_tiny_patch4_window7_224": ONLY_32,
    "swinv2_tiny_window8_256": ONLY_32,
    "vit_small_patch14_dinov2": ANY,
    "vit_small_patch16_dinov3": ANY,
    "vit_small_patch32_224": ONLY_32,
}
WITHOUT_HALF = {"convnext_atto", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"}
"""Encoders whose first level has cells of 4 pixels."""


def request_of(name, bands=3, *, pretrained=False):
    return NetworkRequest(
        encoder=resolve_encoder(name),
        in_channels=bands,
        classes=2,
        pretrained=pretrained,
        options=ArchitectureOptions(),
    )


def check_levels(encoder, name, bands, stride, device):
    for height, width in [(64, 64), (96, 64)]:
        with torch.no_grad():
            levels = encoder(torch.zeros(2, bands, height, width, device=device))
        cells = [min(2**level, stride) for level in range(6)]
        assert [tuple(level.shape) for level in levels] == [
            (2, channels, height // cell, width // cell)
            for channels, cell in zip(encoder.out_channels, cells, strict=True)
        ]
    assert encoder.output_stride == stride
    assert encoder.out_channels[0] == (64 if name.startswith("vgg") else bands)
    assert (encoder.out_channels[1] == 0) == (name in WITHOUT_HALF or name.startswith("mit"))
    assert all(channels > 0 for channels in encoder.out_channels[2:])


@pytest.mark.parametrize(
    ("name", "strides"),
    [*QUICK.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW.items())],
)
def test_levels_have_the_channels_and_cells_that_are_promised(name, strides):
    for stride in strides:
        bands = BANDS[stride]
        with torch.device("meta"):
            encoder = build_encoder(request_of(name, bands), output_stride=stride)
        # The first layer of the library's is made anew for its bands, and on no device.
        check_levels(encoder.to("meta").eval(), name, bands, stride, "meta")
    for stride in set(ANY) - set(strides) - {32 if name != "vit_small_patch32_224" else 0}:
        if name.startswith("vit"):
            continue
        with (
            torch.device("meta"),
            pytest.raises(ValueError, match=f"has no output stride {stride}; most ResNets"),
        ):
            build_encoder(request_of(name), output_stride=stride)


@pytest.mark.parametrize("stride", [32, 16])
def test_mix_transformers_keep_the_promise_too(stride):
    encoder = build_encoder(request_of("mit_b0", 4), output_stride=stride).eval()
    check_levels(encoder, "mit_b0", 4, stride, "cpu")


@pytest.mark.parametrize("name", ["xception39", "densenet121", "vgg11", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("depth", [3, 4])
def test_depth_cuts_the_last_levels_off(name, depth):
    for stride in (32, 8):
        with torch.device("meta"):
            encoder = build_encoder(request_of(name), depth=depth, output_stride=stride)
            levels = encoder(torch.zeros(2, 3, 64, 64))
        assert len(levels) == len(encoder.out_channels) == depth + 1
        assert encoder.output_stride == min(stride, 2**depth)
        assert levels[-1].shape[-1] == 64 // min(stride, 2**depth)


def test_a_network_without_the_stride_is_told_from_weights_that_cannot_be_had(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ValueError("no route to host")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", unreachable)
    with pytest.raises(ValueError, match="no route to host"):
        build_encoder(request_of("resnet18", pretrained=True), output_stride=8)
    with pytest.raises(ValueError, match="has no output stride 8"):
        build_encoder(request_of("inceptionv4", pretrained=True), output_stride=8)


def test_how_the_library_is_asked_for_weights():
    assert weights_argument(request_of("resnet18")) is None
    assert weights_argument(request_of("resnet18", pretrained=True)) == "imagenet"
    assert weights_argument(request_of("convnext_atto", pretrained=True)) is True


def test_a_plain_transformer_is_listed_only_while_its_network_is_built():
    before = list_encoders()
    with listed_encoder(request_of("resnet18", pretrained=True)) as listed:
        assert listed == ("resnet18", "imagenet")
    with listed_encoder(request_of("vit_tiny_patch16_224", pretrained=True)) as (name, weights):
        assert weights is None and set(list_encoders()) - set(before) == {name}
    assert list_encoders() == before
