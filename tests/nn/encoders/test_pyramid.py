import pytest
import timm
import torch
from torch.nn import functional

from geoseg.nn.encoders.names import fixed_size, is_plain, timm_traits
from geoseg.nn.encoders.pyramid import PyramidEncoder
from geoseg.nn.models import ModelSpec, build_model

TINY = "tu-test_vit"  # 6 blocks of 64 channels, tokens of 16 pixels


def test_which_encoders_are_plain():
    assert is_plain(TINY) and is_plain("tu-vit_small_patch14_dinov2")
    assert timm_traits("vit_small_patch14_dinov2").cell == 14
    assert not is_plain("tu-swin_tiny_patch4_window7_224") and not is_plain("tu-resnet18")
    assert not is_plain("resnet18") and fixed_size(TINY) == 0


def test_levels_are_the_tokens_of_each_quarter_of_the_blocks_resized():
    encoder = PyramidEncoder(TINY, in_channels=4).eval()
    image = torch.randn(1, 4, 64, 96)
    with torch.no_grad():
        _, _, fine, half, same, pooled = encoder(image)
        # 6 blocks: quarters end after blocks 1 (of 1.5), 3, 4 (of 4.5) and 6.
        tokens = encoder.model.forward_intermediates(
            image, indices=[0, 2, 3, 5], norm=True, intermediates_only=True
        )
        assert torch.equal(same, tokens[2])
        assert torch.equal(pooled, functional.max_pool2d(tokens[3], 2))
        torch.testing.assert_close(half, encoder.levels[1][0](tokens[1]))
    assert fine.shape == (1, 16, 16, 24) and half.shape == (1, 32, 8, 12)


def test_below_stride_32_the_last_levels_keep_their_resolution_and_differ():
    encoder = PyramidEncoder(TINY, in_channels=3, output_stride=16).eval()
    with torch.no_grad():
        *_, c4, c5 = encoder(torch.randn(1, 3, 64, 64))
    assert c4.shape == c5.shape == (1, 64, 4, 4) and not torch.allclose(c4, c5)


def test_the_finest_level_sees_single_pixels():
    encoder = PyramidEncoder(TINY, in_channels=3).eval()
    image = torch.randn(1, 3, 64, 64)
    other = image.clone()
    other[..., 20, 30] += 1
    with torch.no_grad():
        changed = (encoder(image)[1] != encoder(other)[1]).any(1)[0].nonzero()
    assert len(changed) > 0 and (changed - torch.tensor([10, 15])).abs().max() <= 2


@pytest.mark.parametrize(
    ("stride", "depth", "cell", "divisor"), [(32, 5, 16, 32), (8, 5, 16, 16), (8, 5, 32, 32)]
)
def test_sizes_that_it_takes(stride, depth, cell, divisor):
    name = TINY if cell == 16 else "tu-vit_small_patch32_224"
    with torch.device("meta"):
        encoder = PyramidEncoder(name, in_channels=3, depth=depth, output_stride=stride)
        assert encoder.divisor == divisor
        assert (
            encoder(torch.zeros(1, 3, divisor, 3 * divisor))[-1].shape[-1] == 3 * divisor // stride
        )


def test_keys_are_those_of_timm_so_its_weights_load():
    encoder = PyramidEncoder(TINY, in_channels=3)
    published = timm.create_model("test_vit").state_dict()
    trunk = {key: value for key, value in published.items() if not key.startswith("head")}
    assert encoder.model.load_state_dict(trunk) is not None
    assert not [k for k in encoder.model.state_dict() if k not in published]


def test_weights_of_timm_are_asked_for_with_the_bands(monkeypatch):
    asked = {}

    def create(name, **given):
        asked.update(given, name=name)
        raise ConnectionError("no route to host")

    monkeypatch.setattr("geoseg.nn.encoders.pyramid.timm.create_model", create)
    with pytest.raises(ConnectionError):
        PyramidEncoder("tu-vit_small_patch14_dinov2", in_channels=5, pretrained=True)
    assert asked == {
        "name": "vit_small_patch14_dinov2",
        "pretrained": True,
        "in_chans": 5,
        "num_classes": 0,
        "dynamic_img_size": True,
        "patch_size": 16,
    }


@pytest.mark.parametrize(
    "arch", ["unet", "unetplusplus", "linknet", "fpn", "deeplabv3plus", "upernet"]
)
def test_networks_over_a_plain_transformer_take_any_size_and_learn(arch):
    network = build_model(ModelSpec(arch=arch, encoder="test_vit", in_channels=4, classes=2))
    network(torch.randn(2, 4, 33, 65)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None]
    # Only levels that the decoder does not use.
    assert all(
        key.startswith(("network.encoder.stem", "network.encoder.levels")) for key in without
    )
    if arch == "unet":
        assert not without
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 4, 70, 1)).shape == (1, 2, 70, 1)


def test_dpt_takes_the_tokens_themselves():
    network = build_model(ModelSpec(arch="dpt", encoder="test_vit", in_channels=3, classes=2))
    assert not isinstance(network.encoder, PyramidEncoder)


def test_images_that_it_must_pad_give_whole_and_begun_cells():
    encoder = PyramidEncoder(TINY, in_channels=3).eval()
    image = torch.randn(1, 3, 33, 50)
    large = functional.pad(image, (0, 14, 0, 31), mode="replicate")
    with torch.no_grad():
        levels, expected = encoder(image), encoder(large)
    assert [tuple(level.shape[2:]) for level in levels[1:]] == [
        (17, 25),
        (9, 13),
        (5, 7),
        (3, 4),
        (2, 2),
    ]
    for level, whole in zip(levels[2:], expected[2:], strict=True):
        assert torch.equal(level, whole[..., : level.shape[2], : level.shape[3]])


def test_it_can_be_exported():
    encoder = PyramidEncoder(TINY, in_channels=3).eval()
    program = torch.export.export(encoder, (torch.randn(1, 3, 64, 64),)).module()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for level, expected in zip(program(image), encoder(image), strict=True):
            torch.testing.assert_close(level, expected)
