"""Trunks of other libraries compute the same in timm's as in their own networks."""

from itertools import chain

import pytest
import torch
from timm.models.resnet import BasicBlock, ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models import swin_transformer as torchvision_swin

from geoseg.errors import ConfigError
from geoseg.nn.trunk_keys import (
    dofa_to_timm,
    is_dofa,
    resample_patches,
    resample_positions,
    scale_mae_positions,
    to_timm,
)

SIDE = 64


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def shaken(network):
    """Every weight different from what any network begins with."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network.eval()


def small_vit(**more):
    given = {"img_size": SIDE, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return VisionTransformer(**{**given, "num_classes": 0, **more}).eval()


# --- Swin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_swin_of_torchvision(version):
    shape = {"embed_dim": 12, "depths": [2, 2, 2], "num_heads": [1, 2, 4]}
    more = {}
    if version == 2:
        more["block"] = torchvision_swin.SwinTransformerBlockV2
        more["downsample_layer"] = torchvision_swin.PatchMergingV2
    theirs = shaken(
        torchvision_swin.SwinTransformer(
            patch_size=[4, 4], window_size=[4, 4], num_classes=3, **shape, **more
        )
    )
    kind = SwinTransformerV2 if version == 2 else SwinTransformer
    ours = kind(img_size=SIDE, window_size=4, num_classes=3, **shape).eval()
    converted = to_timm(theirs.state_dict())
    known = {key: converted.pop(key) for key in list(converted) if key in ours.state_dict()}
    assert set(converted) == {"head.weight", "head.bias"}  # timm: head.fc
    missing, unexpected = ours.load_state_dict(known, strict=False)
    assert (set(missing), unexpected) == ({"head.fc.weight", "head.fc.bias"}, [])
    image = torch.randn(2, 3, SIDE, SIDE)
    expected = theirs.norm(theirs.features(image))
    assert torch.allclose(ours.forward_features(image), expected, atol=1e-5)


# --- DOFA, Scale-MAE, Prithvi ----------------------------------------------------------------


@pytest.fixture(scope="module")
def dofa():
    from torchgeo.models.dofa import DOFA

    torch.manual_seed(0)
    network = DOFA(img_size=SIDE, patch_size=16, embed_dim=32, depth=2, num_heads=2, num_classes=3)
    nn.init.normal_(network.pos_embed)
    nn.init.normal_(network.cls_token)
    return network.eval()


WAVES = [0.665, 0.56, 0.49, 0.842, 2.19]


def test_the_first_layer_of_dofa_is_that_which_it_makes(dofa):
    converted = dofa_to_timm(dofa.state_dict(), WAVES)
    weight, bias = converted["patch_embed.proj.weight"], converted["patch_embed.proj.bias"]
    assert weight.shape == (32, len(WAVES), 16, 16)
    image = torch.randn(1, len(WAVES), SIDE, SIDE)
    expected, _ = dofa.patch_embed(image, torch.tensor(WAVES))
    found = nn.functional.conv2d(image, weight, bias, stride=16, padding=1)
    assert torch.allclose(found.flatten(2).transpose(1, 2), expected, atol=1e-6)


def test_dofa_as_a_plain_transformer(dofa):
    """timm begins its first patch at the first pixel, DOFA one before it."""
    ours = small_vit(in_chans=len(WAVES))
    missing, unexpected = ours.load_state_dict(dofa_to_timm(dofa.state_dict(), WAVES), strict=False)
    assert set(missing) == {"norm.weight", "norm.bias"}
    assert all(key.startswith(("fc_norm", "head")) for key in unexpected)
    image = torch.randn(1, len(WAVES), SIDE, SIDE)
    shifted = nn.functional.pad(image, (1, 0, 1, 0))[..., :SIDE, :SIDE]
    tokens = ours.forward_intermediates(
        shifted, indices=[1], norm=False, output_fmt="NLC", intermediates_only=True
    )[0]
    expected = dofa.forward_features(image, WAVES)
    assert torch.allclose(dofa.fc_norm(tokens.mean(dim=1)), expected, atol=1e-5)


def test_dofa_is_known_by_its_generator(dofa):
    assert is_dofa(dofa.state_dict())
    assert not is_dofa(small_vit().state_dict())


def test_a_generator_of_another_form_is_refused(dofa):
    state = {key: value for key, value in dofa.state_dict().items() if "fclayer.w2" not in key}
    with pytest.raises(ConfigError, match="another DOFA"):
        dofa_to_timm(state, WAVES)


@pytest.mark.parametrize("resolution", [0.3, 10.0, None])
def test_scale_mae_as_a_plain_transformer(resolution):
    from torchgeo.models.scale_mae import ScaleMAE

    theirs = shaken(
        ScaleMAE(
            res=resolution or 1.0, img_size=SIDE, patch_size=16, embed_dim=32, depth=2,
            num_heads=2, num_classes=0,
        )
    )  # fmt: skip
    ours = small_vit()
    ours.load_state_dict(scale_mae_positions(theirs.state_dict(), resolution))
    image = torch.randn(1, 3, SIDE, SIDE)
    assert torch.allclose(ours.forward_features(image), theirs.forward_features(image), atol=1e-5)


def table_over_dates(dates, side, channels):
    """A class token, then a quarter of channels for the date, the rest for row and column."""
    quarter = channels // 4
    time = torch.randn(dates, 1, quarter).expand(dates, side * side, quarter)
    place = torch.randn(1, side * side, channels - quarter).expand(dates, -1, -1)
    patches = torch.cat([time, place], dim=2).reshape(1, dates * side * side, channels)
    return torch.cat([torch.randn(1, 1, channels), patches], dim=1)


@pytest.mark.parametrize("prefix", ["", "encoder."])
@pytest.mark.parametrize("dates", [1, 2, 3, 4])
def test_the_first_of_several_dates(dates, prefix):
    """As Prithvi has them; of four dates the table is a square of patches as well."""
    ours = shaken(small_vit())
    expected = ours.state_dict()
    table = table_over_dates(dates, 4, 32)
    state = {f"{prefix}{key}": value for key, value in expected.items()}
    state[f"{prefix}patch_embed.proj.weight"] = expected["patch_embed.proj.weight"][:, :, None]
    state[f"{prefix}pos_embed"] = table
    state["decoder.mask_token"] = torch.zeros(3)
    found = to_timm(state)
    assert found.keys() == state.keys()
    patches = found[f"{prefix}patch_embed.proj.weight"]
    assert patches.equal(expected["patch_embed.proj.weight"])
    assert found[f"{prefix}pos_embed"].equal(table[:, :17])


def test_a_transformer_of_timm_stays_as_it_is():
    state = shaken(small_vit()).state_dict()
    found = to_timm(state)
    assert all(found[key] is value for key, value in state.items())
    assert found.keys() == state.keys()


# --- semseg ----------------------------------------------------------------------------------


def test_the_deep_stem_of_semseg():
    ours = ResNet(BasicBlock, [1, 1, 1, 1], stem_type="deep", stem_width=64, num_classes=0).eval()
    source = shaken(
        ResNet(BasicBlock, [1, 1, 1, 1], stem_type="deep", stem_width=64, num_classes=0)
    )

    class Semseg(nn.Module):
        """Laid out as hszhao/semseg's PSPNet lays out its trunk."""

        def __init__(self):
            super().__init__()
            convs = [nn.Conv2d(3, 64, 3, 2, 1, bias=False)]
            convs += [nn.Conv2d(64, width, 3, 1, 1, bias=False) for width in (64, 128)]
            steps = ((conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()) for conv in convs)
            self.layer0 = nn.Sequential(*chain(*steps), nn.MaxPool2d(3, 2, 1))
            self.layer1, self.layer2 = source.layer1, source.layer2
            self.layer3, self.layer4 = source.layer3, source.layer4

        def forward(self, image):
            return self.layer4(self.layer3(self.layer2(self.layer1(self.layer0(image)))))

    theirs = shaken(Semseg())
    ours.load_state_dict(to_timm(theirs.state_dict()))
    image = torch.randn(1, 3, SIDE, SIDE)
    assert torch.allclose(ours.forward_features(image), theirs(image), atol=1e-5)


# --- resampling ------------------------------------------------------------------------------


def test_positions_for_another_size_of_image():
    """A table that is a plane stays one, the class token as it is."""
    rows, cols = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    plane = torch.stack([rows, cols], dim=-1).reshape(1, 64, 2)
    token = torch.full((1, 1, 2), 7.0)
    found = resample_positions(torch.cat([token, plane], dim=1), (1, 1 + 16 * 16, 2))
    assert found.shape == (1, 257, 2)
    assert found[:, :1].equal(token)
    inner = found[0, 1:].reshape(16, 16, 2)[4:12, 4:12]
    expected = (torch.arange(4, 12) + 0.5) / 2 - 0.5
    assert torch.allclose(inner[:, 0, 0], expected, atol=1e-4)
    assert torch.allclose(inner[0, :, 1], expected, atol=1e-4)


def test_positions_without_a_class_token():
    table = torch.randn(1, 17, 4)
    assert resample_positions(table, (1, 16, 4)).equal(table[:, 1:])
    assert resample_positions(table[:, 1:], (1, 17, 4)) is None


@pytest.mark.parametrize("shape", [(1, 18, 4), (1, 17, 5)])
def test_positions_that_do_not_fit(shape):
    assert resample_positions(torch.randn(1, 17, 4), shape) is None


def test_patches_of_another_size():
    """A patch of one value gives the same sum for an image of one value."""
    kernels = torch.ones(2, 3, 14, 14)
    found = resample_patches(kernels, (2, 3, 16, 16))
    assert found.shape == (2, 3, 16, 16)
    assert found.sum(dim=(2, 3)) == pytest.approx(torch.full((2, 3), 196.0), rel=1e-3)
    assert resample_patches(kernels, (2, 4, 16, 16)) is None
