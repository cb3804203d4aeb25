import pytest
import segmentation_models_pytorch as smp
import torch
from pydantic import ValidationError
from small_networks import small_spec

from geoseg.errors import ConfigError
from geoseg.nn.encoders.names import list_encoders, resolve_encoder
from geoseg.nn.models import (
    ARCHITECTURES,
    ModelSpec,
    build_model,
    check_spec,
    list_architectures,
)

SMALL = "mobilenet_v2"

BANDS_AND_SIZES = [(1, (64, 97)), (3, (128, 65)), (4, (257, 64)), (13, (65, 128))]
"""Every number of bands, and every side along both axes or beside an odd and an even one."""


def spec_of(arch, encoder=None, **fields):
    encoder = encoder or ("vit_tiny_patch16_224" if arch == "dpt" else SMALL)
    return ModelSpec(**{"arch": arch, "encoder": encoder, "in_channels": 3, "classes": 2, **fields})


def outputs_of(network, image):
    """Logits and auxiliary outputs, after a look at their number and shapes."""
    outputs = network(image)
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    kinds = [False, *(head.boundary for head in network.auxiliary)] if network.training else [False]
    shapes = [(len(image), 1 if kind else network.spec.classes, *image.shape[2:]) for kind in kinds]
    assert [tuple(output.shape) for output in outputs] == shapes
    assert all(torch.isfinite(output).all() for output in outputs)
    return outputs


def learn(network, image):
    """The gradients of a step towards noise, by the names of the parameters; None where none."""
    outputs = outputs_of(network.train(), image)
    sum((output - torch.randn_like(output)).square().mean() for output in outputs).backward()
    grads = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert all(grad is None or torch.isfinite(grad).all() for grad in grads.values())
    return grads


@pytest.mark.parametrize("arch", list_architectures())
@pytest.mark.parametrize(("bands", "size"), BANDS_AND_SIZES)
def test_every_architecture_takes_any_bands_and_size(arch, bands, size):
    network = build_model(small_spec(arch, in_channels=bands, classes=3)).eval()
    with torch.no_grad():
        outputs_of(network, torch.randn(1, bands, *size))


@pytest.mark.parametrize("arch", list_architectures())
def test_every_architecture_takes_tiny_images(arch):
    network = build_model(small_spec(arch, in_channels=2, classes=3))
    with torch.no_grad():
        for training in (True, False):
            for size in [(1, 1), (33, 70)]:
                outputs_of(network.train(training), torch.randn(1, 2, *size))


UNUSED = {
    "dpt": ("network.encoder.model.norm.", "network.encoder.model.head."),
}
"""Parts of encoders that a decoder does not use, by what the names of parameters begin with."""


@pytest.mark.parametrize("arch", list_architectures())
def test_every_parameter_learns(arch):
    """A squeeze of four ReLUs is dead once in sixteen first weights: it may try three."""
    still = set(still_weights(arch))
    for seed in (1, 2):
        if still:
            torch.manual_seed(seed)
            still &= set(still_weights(arch))
    assert still == set()


def still_weights(arch):
    """Names of the weights whose gradient is zero."""
    network = build_model(small_spec(arch))
    with torch.no_grad():
        for parameter in network.parameters():  # scores that begin at zero let nothing through
            parameter += 0.01 * torch.randn_like(parameter)
    grads = learn(network, torch.randn(2, 3, 64, 128))
    unused = {key for key, grad in grads.items() if grad is None}
    assert {key for key in unused if not key.startswith(UNUSED.get(arch, ()))} == set()
    # A bias before a normalisation has no effect, and so a gradient of zero.
    weights = {key: grad for key, grad in grads.items() if grad is not None and grad.ndim > 1}
    return [key for key, grad in weights.items() if not grad.any()]


@pytest.mark.parametrize("arch", list_architectures())
def test_prediction_depends_on_the_weights_and_the_image_alone(arch):
    """Not on chance, not on what was predicted before, not on the others of the batch."""
    network = build_model(small_spec(arch)).train()
    images = torch.randn(2, 3, 64, 80) * torch.tensor([1.0, 5.0])[:, None, None, None]
    with torch.no_grad():
        network(images)
        both = network.eval()(images)
        assert torch.equal(network(images), both)
        alone = torch.cat([network(images[:1]), network(images[1:])])
    assert (alone - both).abs().max() <= 5e-3 * both.std()  # rounding, which attention can raise


FAMILIES = {
    "ResNet": "resnet18",
    "ResNet of another stem": "tu-resnet18d",
    "ResNet v2": "tu-resnetv2_18",
    "VGG": "vgg11_bn",
    "Xception 41": "tu-xception41",
    "Xception 39": "xception39",
    "Xception": "xception",
    "DenseNet": "densenet121",
    "MobileNet v1": "tu-mobilenetv1_100",
    "MobileNet v2": "mobilenet_v2",
    "MobileNet v3": "tu-mobilenetv3_small_050",
    "MobileNet v4": "tu-mobilenetv4_conv_small_050",
    "MobileOne": "mobileone_s0",
    "EfficientNet": "efficientnet-b0",
    "EfficientNet v2": "tu-tf_efficientnetv2_b0",
    "ResNeXt": "resnext50_32x4d",
    "ResNeSt": "tu-resnest14d",
    "Res2Net": "tu-res2net50_48w_2s",
    "RegNet X": "tu-regnetx_002",
    "RegNet Y": "tu-regnety_002",
    "SE-Net": "tu-seresnet18",
    "SK-Net": "timm-skresnet18",
    "Inception v3": "tu-inception_v3",
    "Inception v4": "inceptionv4",
    "DPN": "tu-dpn48b",
    "HRNet": "tu-hrnet_w18_small",
    "ConvNeXt": "tu-convnext_atto",
    "Swin": "tu-swin_tiny_patch4_window7_224",
    "Swin v2": "tu-swinv2_tiny_window8_256",
    "MiT": "mit_b0",
    "ViT": "tu-vit_tiny_patch16_224",
}
"""The smallest encoder of each family."""

DECODERS = ["unet", "upernet", "deeplabv3plus"]
"""One that takes every level, one without that of 2 pixels, one that dilates the last."""

WITHOUT_DILATION = {"Xception", "Inception v3", "Inception v4", "DPN", "HRNet", "Swin", "Swin v2"}
"""Families whose last levels cannot be dilated: refused where a decoder needs that."""


@pytest.mark.parametrize("arch", DECODERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_decoders_on_every_family_of_encoders(family, arch):
    spec = small_spec(arch, FAMILIES[family], in_channels=4)
    if arch == "deeplabv3plus" and family in WITHOUT_DILATION:
        with pytest.raises(ConfigError, match="does not fit"):
            build_model(spec)
        return
    network = build_model(spec)
    grads = learn(network, torch.randn(2, 4, 64, 64))
    unused = [key for key, grad in grads.items() if grad is None]
    assert all(key.startswith("network.encoder.") for key in unused)
    with torch.no_grad():
        outputs_of(network.eval(), torch.randn(1, 4, 65, 98))


@pytest.mark.parametrize(
    ("arch", "other"),
    [("unet", smp.Unet), ("fpn", smp.FPN), ("deeplabv3plus", smp.DeepLabV3Plus)],
)
def test_networks_are_those_of_segmentation_models_pytorch(arch, other):
    network = build_model(spec_of(arch)).eval()
    reference = other(SMALL, encoder_weights=None, in_channels=3, classes=2).eval()
    reference.load_state_dict(network.network.state_dict())
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(network(image), reference(image))


def test_padding_is_reflection_after_the_last_pixel():
    network = build_model(spec_of("unet")).eval()
    image = torch.randn(1, 3, 50, 64)
    padded = torch.cat([image, image[:, :, -15:-1].flip(2)], dim=2)
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(padded)[:, :, :50])


def test_too_small_images_repeat_their_last_pixel():
    network = build_model(spec_of("unet")).eval()
    image = torch.randn(1, 3, 1, 2)
    padded = torch.cat([image, image[..., -1:].expand(1, 3, 1, 30)], dim=3).expand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(padded)[:, :, :1, :2])


def test_linear_is_a_matrix_per_pixel():
    network = build_model(ModelSpec(arch="linear", in_channels=3, classes=2))
    weight, bias = network.network.weight.detach()[..., 0, 0], network.network.bias.detach()
    image = torch.randn(2, 3, 5, 7)
    expected = torch.einsum("cb,nbhw->nchw", weight, image) + bias[:, None, None]
    torch.testing.assert_close(network(image).detach(), expected)
    assert network.encoder is None
    assert build_model(spec_of("linear", encoder="resnet18")).encoder is None


@pytest.mark.slow
def test_an_encoder_that_attends_in_windows_is_padded_to_whole_ones():
    network = build_model(spec_of("unet", "maxvit_tiny_tf_224")).eval()
    assert network.divisor == 224
    with torch.no_grad():
        assert network(torch.randn(1, 3, 60, 230)).shape == (1, 2, 60, 230)


def test_names_of_encoders():
    assert resolve_encoder("resnet18") == "resnet18"
    assert resolve_encoder("resnet18", from_timm=True) == "tu-resnet18"
    assert resolve_encoder("tu-resnet18") == "tu-resnet18"
    assert resolve_encoder("convnext_tiny") == "tu-convnext_tiny"
    assert resolve_encoder("convnext_tiny.fb_in22k") == "tu-convnext_tiny.fb_in22k"
    names = list_encoders()
    assert len(names) > 1000 and len(set(names)) == len(names)


@pytest.mark.parametrize(
    "name", ["resnet19", "convnext_tiny.no_such_tag", "hf-hub:someone/net", "none", "", "tu-"]
)
def test_unknown_encoders_are_refused(name):
    with pytest.raises(ConfigError, match=r"model\.encoder: .* is no encoder"):
        check_spec(spec_of("unet").model_copy(update={"encoder": name}))


def test_unknown_names_tell_the_choices():
    with pytest.raises(ConfigError, match="resnet18, resnet1"):
        build_model(spec_of("unet", "resnet19"))
    with pytest.raises(ConfigError, match=r"Did you mean 'unet'.*deeplabv3, .*upernet"):
        build_model(spec_of("unett"))
    with pytest.raises(ConfigError, match=r"choices are: .*deeplabv3, "):
        check_spec(spec_of("zzz"))


@pytest.mark.parametrize(
    ("arch", "encoder"),
    [
        ("linknet", "mit_b0"),
        ("deeplabv3", "swin_tiny_patch4_window7_224"),
        ("deeplabv3", "inceptionv4"),
        ("dpt", "vit_small_patch14_dinov2"),
        ("unet", "convmixer_768_32"),
        ("unet", "gcvit_xxtiny"),
    ],
)
def test_encoders_that_do_not_fit_are_refused_in_one_line(arch, encoder):
    with pytest.raises(ConfigError, match=r"model\.encoder: .*(does not fit|only)") as caught:
        build_model(spec_of(arch, encoder))
    assert "\n" not in str(caught.value)


def test_options_are_checked_and_used():
    options = {
        "encoder_depth": 3,
        "decoder_attention_type": "scse",
        "decoder_channels": [32, 16, 16],
    }
    network = build_model(spec_of("unet", options=options)).eval()
    assert network.divisor == 8
    with torch.no_grad():
        assert network(torch.randn(1, 3, 17, 9)).shape == (1, 2, 17, 9)
    assert build_model(spec_of("unet", options={"encoder_depth": 4})).divisor == 16
    deep = build_model(spec_of("deeplabv3", options={"encoder_output_stride": 8})).eval()
    with torch.no_grad():
        assert deep(torch.randn(1, 3, 70, 33)).shape == (1, 2, 70, 33)


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("unet", {"depth": 3}),
        ("unet", {"encoder_depth": 9}),
        ("linear", {"bias": False}),
        ("fpn", {"decoder_merge_policy": "max"}),
        ("unet", {"decoder_channels": [32, 8, 8, 8, 8], "decoder_attention_type": "scse"}),
    ],
)
def test_wrong_options_are_refused_with_the_known_ones(arch, options):
    with pytest.raises(ConfigError, match=r"model\.options.* does not suit .*options of"):
        check_spec(spec_of(arch, options=options))


def test_channels_that_do_not_go_with_the_depth_are_refused():
    with pytest.raises(ConfigError, match="does not fit unet"):
        build_model(spec_of("unet", options={"decoder_channels": [8, 4]}))


@pytest.mark.parametrize(
    "wrong", [{"in_channels": 0}, {"classes": 0}, {"arch": ""}, {"backbone": "x"}]
)
def test_wrong_specs_are_refused(wrong):
    with pytest.raises(ValidationError):
        spec_of(**{"arch": "unet", **wrong})


def test_weights_that_cannot_be_had_are_told(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", unreachable)
    with pytest.raises(ConfigError, match=r"no imagenet weights for resnet18 .no route to host"):
        build_model(spec_of("unet", "resnet18"), weights="imagenet")


def test_a_batch_of_one_learns_by_running_statistics_after_global_pooling():
    network = build_model(spec_of("deeplabv3")).train()
    pooled = network.network.decoder.aspp.convs[4][2]
    before = pooled.running_mean.clone()
    network(torch.randn(1, 3, 64, 64)).mean().backward()
    assert torch.equal(pooled.running_mean, before)
    network(torch.randn(2, 3, 64, 64))
    assert not torch.equal(pooled.running_mean, before)


def test_the_same_seed_builds_the_same_network():
    torch.manual_seed(3)
    one = build_model(spec_of("unet")).state_dict()
    torch.manual_seed(3)
    other = build_model(spec_of("unet")).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_every_architecture_tells_what_it_is():
    assert all(entry.summary for entry in ARCHITECTURES.values())
    assert list_architectures() == sorted(ARCHITECTURES)
