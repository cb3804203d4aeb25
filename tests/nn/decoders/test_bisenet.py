import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch.nn.functional import interpolate

from geoseg.nn.decoders.bisenet import (
    AttentionRefinement,
    ContextPath,
    FeatureFusion,
    SpatialPath,
)
from geoseg.nn.models import ARCHITECTURES, ModelSpec, build_model


def test_figures_of_the_authors_resnet18():
    """TorchSeg; the 49.0 M of the paper's table is not what its code has."""
    network = bare_network("bisenet", "resnet18")
    assert parameters(network) == pytest.approx(12.894, rel=1e-4)
    assert gmacs(network, 360, 640) == pytest.approx(11.58, rel=0.03)
    assert gmacs(network, 1024, 2048) == pytest.approx(103.7, rel=0.03)


def test_figures_of_the_authors_xception39():
    network = bare_network("bisenet", "xception39")
    assert parameters(network) == pytest.approx(1.542, rel=0.01)
    assert gmacs(network, 384, 640) == pytest.approx(3.25, rel=0.03)


def test_figures_of_coincheung():
    options = {"head_width": 256, "auxiliary_width": 64, "gate_layers": 1}
    network = bare_network("bisenet", "resnet18", **options)
    assert parameters(network) == pytest.approx(13.276, rel=1e-4)
    assert gmacs(network, 512) == pytest.approx(14.79, rel=0.03)
    # Two heads of 3x3 from 128 to 64, normalisation, 1x1 to 19 with bias.
    heads = 2 * (128 * 64 * 9 + 2 * 64 + 64 * 19 + 19)
    difference = parameters(network, auxiliary=True) - parameters(network)
    assert difference == pytest.approx(1e-6 * heads)


def test_the_spatial_path_is_of_stride_8():
    path = SpatialPath(5)
    assert path(torch.randn(2, 5, 64, 40)).shape == (2, 128, 8, 5)


def test_attention_weighs_channels_by_their_mean():
    module = AttentionRefinement(6).eval()
    features = torch.randn(1, 6, 4, 5)
    with torch.no_grad():
        projected = module.project(features)
        weight = module.gate[1].weight[:, :, 0, 0]
        gate = (weight @ projected.mean(dim=(2, 3)).T).T / (1 + 1e-5) ** 0.5
        expected = projected * gate.sigmoid()[..., None, None]
        torch.testing.assert_close(module(features), expected)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_fusion_adds_a_share_of_itself(layers):
    module = FeatureFusion(layers).eval()
    details, context = torch.randn(2, 1, 128, 3, 4)
    with torch.no_grad():
        joined = module.join(torch.cat([details, context], dim=1))
        share = module(details, context)[joined > 0] / joined[joined > 0] - 1
    assert share.numel() > 100 and ((share > 0) & (share < 1)).all()
    with torch.no_grad():  # no channel's share differs from cell to cell
        full = module(details, context) / joined.clamp(min=1e-9)
        least = torch.where(joined > 0, full, 9).amin(dim=(2, 3))
        most = torch.where(joined > 0, full, 0).amax(dim=(2, 3))
    seen = (joined > 0).any(dim=3).any(dim=2)
    torch.testing.assert_close(least[seen], most[seen], rtol=1e-4, atol=1e-4)


def test_training_gives_two_contexts_beside_the_logits():
    network = build_model(
        ModelSpec(arch="bisenet", encoder="resnet18", in_channels=4, classes=3)
    ).network
    outputs = network(torch.randn(2, 4, 64, 96))
    assert [tuple(output.shape[-2:]) for output in outputs] == [(8, 12), (8, 12), (4, 6)]
    assert [head.weight for head in ARCHITECTURES["bisenet"].auxiliary] == [1, 1]


def test_the_context_is_the_refined_levels_and_the_mean_of_the_last():
    path = ContextPath(6, 8).eval()
    c4, c5, like = torch.randn(2, 6, 4, 6), torch.randn(2, 8, 2, 3), torch.zeros(1, 1, 8, 12)
    with torch.no_grad():
        inner = path.attention32(c5) + path.tail[1](c5.mean(dim=(2, 3), keepdim=True))
        expected16 = path.refine32(interpolate(inner, size=(4, 6), mode="bilinear"))
        inner = path.attention16(c4) + expected16
        expected8 = path.refine16(interpolate(inner, size=(8, 12), mode="bilinear"))
        found8, found16 = path(c4, c5, like)
    torch.testing.assert_close(found16, expected16)
    torch.testing.assert_close(found8, expected8)
