import math

import pytest
import torch

from geoseg.engine.window_network import Units, WindowNetwork, activate
from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

SCALINGS = [
    pytest.param(Scaling(), id="none"),
    pytest.param(Scaling(kind="divide", divisor=255.0, mean=(90.0, 20.0)), id="divide"),
    pytest.param(Scaling(kind="standardize", mean=(90.0, 20.0), std=(31.0, 7.5)), id="standardize"),
    pytest.param(
        Scaling(kind="percentile", mean=(90.0, 20.0), low=(10.0, 2.0), high=(180.0, 44.0)),
        id="percentile",
    ),
]


def network(scaling, **units):
    spec = ModelSpec(arch="linear", in_channels=2, classes=3)
    card = ModelCard(
        spec=spec, legend=Legend.of_values([0, 1, 2]).to_dict(), bands=("", ""), dtype="uint8",
        scaling=scaling, window=8, stride=8,
    )  # fmt: skip
    return WindowNetwork(ModelBundle.of(build_model(spec), card), Units(**units))


def by_hand(scaling, value, band):
    match scaling.kind:
        case "none":
            return value
        case "divide":
            return value / scaling.divisor
        case "standardize":
            return (value - scaling.mean[band]) / scaling.std[band]
        case "percentile":
            span = scaling.high[band] - scaling.low[band]
            return min(max((value - scaling.low[band]) / span, 0), 1)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_scaling_follows_its_formula_and_fills_with_the_mean(scaling, factor):
    pixels = torch.tensor([[[[0.0, 17, 255]], [[1.0, 200, 9]]]])  # (1, 2 bands, 1, 3)
    valid = torch.tensor([[[True, True, False]]])
    scaled = network(scaling, factor=factor, nodata=1.0).scale(pixels, valid)
    means = scaling.mean or (0.0, 0.0)
    for band in (0, 1):
        for col in range(3):
            value = float(pixels[0, band, 0, col])
            hidden = col == 2 or value == 1.0
            expected = by_hand(scaling, means[band] if hidden else value * factor, band)
            assert float(scaled[0, band, 0, col]) == pytest.approx(expected, abs=1e-5)


def test_nan_and_infinity_are_missing_values_of_their_band():
    scaling = Scaling(kind="standardize", mean=(5.0, 6.0), std=(1.0, 2.0))
    pixels = torch.tensor([[[[math.nan, 7.0]], [[8.0, math.inf]]]])
    scaled = network(scaling, is_float=True).scale(pixels)
    assert scaled[0, :, 0].tolist() == [[0.0, 2.0], [1.0, 0.0]]


def test_activations():
    logits = torch.tensor([0.0, math.log(3.0)]).reshape(1, 2, 1, 1).bfloat16()
    assert activate(logits, "softmax").flatten().tolist() == pytest.approx([0.25, 0.75], abs=3e-3)
    assert activate(logits, "sigmoid").flatten().tolist() == pytest.approx([0.5, 0.75], abs=3e-3)
    assert activate(logits, "none").dtype == torch.float32


def test_another_size_is_smoothed_on_the_way_and_brought_back():
    """A plane stays a plane away from the edges, whatever the way."""
    bundle = identity(2)
    pixels = torch.arange(128.0).reshape(1, 2, 8, 8)
    scores = WindowNetwork(bundle, Units(), 4)(pixels)
    assert scores.shape == pixels.shape
    assert torch.allclose(scores[0, :, 3:5, 3:5], pixels[0, :, 3:5, 3:5], atol=1e-4)


def test_its_own_size_changes_nothing():
    pixels = torch.rand(1, 2, 8, 8)
    assert torch.equal(WindowNetwork(identity(2), Units(), 8)(pixels), pixels)


def identity(bands):
    spec = ModelSpec(arch="linear", in_channels=bands, classes=bands)
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(bands)).to_dict(), bands=("",) * bands,
        dtype="float32", scaling=Scaling(), window=8, stride=8, activation="none",
    )  # fmt: skip
    bundle = ModelBundle.of(build_model(spec), card)
    bundle.state["network.weight"][:] = torch.eye(bands)[:, :, None, None]
    bundle.state["network.bias"].zero_()
    return bundle
