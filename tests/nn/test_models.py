import pytest
import segmentation_models_pytorch as smp
import torch
from pydantic import ValidationError

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


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them only wait for each other on networks this small
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def spec_of(arch, encoder=None, **fields):
    encoder = encoder or ("vit_tiny_patch16_224" if arch == "dpt" else SMALL)
    return ModelSpec(**{"arch": arch, "encoder": encoder, "in_channels": 3, "classes": 2, **fields})


@pytest.mark.parametrize("arch", list_architectures())
def test_every_architecture_takes_any_size(arch):
    network = build_model(spec_of(arch, in_channels=5, classes=3))
    for training in (True, False):
        network.train(training)
        for size in [(1, 1), (33, 70)]:
            with torch.no_grad():
                logits = network(torch.randn(1, 5, *size))
            assert logits.shape == (1, 3, *size)
            assert torch.isfinite(logits).all()


@pytest.mark.parametrize("arch", list_architectures())
def test_every_parameter_gets_a_finite_gradient(arch):
    network = build_model(spec_of(arch))
    network(torch.randn(2, 3, 32, 32)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None]
    assert all("encoder" in key for key in without)  # levels that the decoder does not use
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
def test_any_number_of_bands(bands):
    network = build_model(spec_of("unet", in_channels=bands)).eval()
    with torch.no_grad():
        assert network(torch.randn(1, bands, 32, 32)).shape == (1, 2, 32, 32)


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


@pytest.mark.parametrize(
    "encoder",
    [
        "convnext_atto",
        "tu-resnet10t",
        "mit_b0",
        "swin_tiny_patch4_window7_224",
        "mobilenetv3_small_050",
        "timm-skresnet18",
        "tu-hrnet_w18_small",
        "vgg11_bn",
    ],
)
def test_encoders_of_each_kind(encoder):
    network = build_model(spec_of("unet", encoder, in_channels=4))
    assert network.encoder is not None
    for training in (True, False):
        network.train(training)
        with torch.no_grad():
            assert network(torch.randn(1, 4, 33, 65)).shape == (1, 2, 33, 65)


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
    with pytest.raises(ConfigError, match="choices are: deeplabv3"):
        check_spec(spec_of("zzz"))


@pytest.mark.parametrize(
    ("arch", "encoder"),
    [
        ("linknet", "mit_b0"),
        ("deeplabv3", "swin_tiny_patch4_window7_224"),
        ("deeplabv3", "vgg11"),
        ("dpt", "vit_small_patch14_dinov2"),
        ("unet", "vit_tiny_patch16_224"),
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
    deep = build_model(spec_of("pspnet", options={"encoder_depth": 5})).eval()
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
