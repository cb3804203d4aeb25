import pytest
import torch

from geoseg.nn.encoders.even import EvenTimmEncoder, is_uneven
from geoseg.nn.models import ModelSpec, build_model


def test_which_encoders_lose_their_borders():
    assert is_uneven("tu-inception_v3") and is_uneven("tu-inception_v3.tv_in1k")
    assert not is_uneven("inceptionv4") and not is_uneven("tu-resnet18")


def test_levels_are_those_of_timm_with_copies_of_their_border():
    encoder = EvenTimmEncoder("tu-legacy_xception", in_channels=3, depth=3).eval()
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        levels, inner = encoder(image), encoder.model(image)
    assert torch.equal(levels[0], image)
    # Two convolutions without padding take 3 px of level 1's 48 x 64 cells, level 2's 1.
    assert [tuple(level.shape[2:]) for level in inner] == [(45, 61), (23, 31), (12, 16)]
    assert [tuple(level.shape[2:]) for level in levels[1:]] == [(48, 64), (24, 32), (12, 16)]
    assert torch.equal(levels[1][..., 1:46, 1:62], inner[0])
    assert torch.equal(levels[1][..., 0, 1:62], inner[0][..., 0, :])
    assert torch.equal(levels[1][..., 46:, 62:], inner[0][..., -1:, -1:].expand(1, 64, 2, 2))
    assert torch.equal(levels[3], inner[2])


def test_cells_stay_where_their_pixels_are():
    encoder = EvenTimmEncoder("tu-inception_v3", in_channels=1, depth=3).eval()
    image = torch.rand(1, 1, 128, 128, requires_grad=True)
    for level, cell in ((1, 30), (2, 16)):  # what deeper cells see is wider than the image
        (grad,) = torch.autograd.grad(encoder(image)[level][0, :, cell, cell].sum(), image)
        rows = grad.abs().sum((0, 1, 3)).nonzero()
        middle = (rows.min() + rows.max()).item() / 2
        assert middle == pytest.approx((cell + 0.5) * 2**level - 0.5, abs=2**level / 2)


@pytest.mark.slow
def test_networks_take_small_and_odd_images():
    for name in ("inception_v3", "legacy_xception"):
        network = build_model(ModelSpec(arch="linknet", encoder=name, in_channels=4, classes=2))
        with torch.no_grad():
            assert network.eval()(torch.randn(1, 4, 33, 101)).shape == (1, 2, 33, 101)
