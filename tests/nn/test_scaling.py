import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from geoseg.geo.stats import BandStats
from geoseg.nn.scaling import Scaling

STATS = BandStats(
    count=(100, 100),
    mean=(10.0, 200.0),
    std=(2.0, 50.0),
    min=(0.0, 20.0),
    max=(30.0, 400.0),
    p2=(6.0, 100.0),
    p98=(16.0, 300.0),
)


def image(*values):
    """One pixel per value tuple: (1, bands, 1, pixels)."""
    return torch.tensor(values, dtype=torch.float32).T[None, :, None, :]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", [(12.0, 150.0), (10.0, 200.0)]),
        ("divide", [(12 / 400, 150 / 400), (10 / 400, 0.5)]),
        ("standardize", [(1.0, -1.0), (0.0, 0.0)]),
        ("percentile", [(0.6, 0.25), (0.4, 0.5)]),
    ],
)
def test_each_kind_is_its_formula(kind, expected):
    scaled = Scaling.from_stats(kind, STATS).apply(image((12, 150), (10, 200)))
    torch.testing.assert_close(scaled, image(*expected))
    assert scaled.dtype == torch.float32


def test_percentiles_cut():
    scaled = Scaling.from_stats("percentile", STATS).apply(image((-5, 1000)))
    assert scaled.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["none", "divide", "standardize", "percentile"])
@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf, -9999.0])
def test_missing_values_become_the_scaled_mean(kind, missing):
    scaling = Scaling.from_stats(kind, STATS)
    scaled = scaling.apply(image((missing, 150), (12, missing)), nodata=-9999.0)
    means = scaling.apply(image((10, 200))).flatten()
    assert scaled[0, 0, 0, 0] == means[0] and scaled[0, 1, 0, 1] == means[1]
    assert torch.isfinite(scaled).all()
    assert torch.equal(scaling.fill(2), means)
    if kind == "standardize":
        assert means.tolist() == [0, 0]


def test_a_nodata_value_beyond_float32_digits_is_found():
    nodata = -3.4028234663852886e38
    scaled = Scaling.from_stats("standardize", STATS).apply(image((nodata, 0.1)), nodata=nodata)
    assert scaled[0, 0, 0, 0] == 0
    assert Scaling().apply(image((0.1, 1)), nodata=0.1).flatten().tolist() == [0, 1]
    assert Scaling().apply(image((0, 1)), nodata=math.nan).flatten().tolist() == [0, 1]


def test_the_identity_changes_no_bit():
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("f4"))
    assert torch.equal(Scaling().apply(pixels), pixels)
    assert Scaling().fill(3).tolist() == [0, 0, 0]


def test_bands_without_values_or_spread_stay_finite():
    nan = math.nan
    empty = BandStats(
        count=(0, 9),
        mean=(nan, 5.0),
        std=(nan, 0.0),
        min=(nan, 5.0),
        max=(nan, 5.0),
        p2=(nan, 5.0),
        p98=(nan, 5.0),
    )
    for kind in ("none", "divide", "standardize", "percentile"):
        scaling = Scaling.from_stats(kind, empty)
        assert torch.isfinite(scaling.apply(image((1, 5), (nan, nan)))).all()
        assert Scaling.model_validate_json(scaling.model_dump_json()) == scaling


def test_a_given_divisor_is_used():
    assert Scaling.from_stats("divide", STATS, divisor=10000.0).divisor == 10000


def test_it_works_in_and_after_inference_mode():
    scaling = Scaling(kind="standardize", mean=(123.25,), std=(3.0,))
    with torch.inference_mode():
        scaling.apply(torch.zeros(1, 1, 2, 2))
    weight = torch.ones(1, 1, 2, 2, requires_grad=True)
    scaling.apply(weight).sum().backward()
    assert torch.isfinite(weight.grad).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "zscore"},
        {"kind": "divide", "divisor": 0},
        {"kind": "divide", "divisor": math.inf},
        {"kind": "standardize"},
        {"kind": "standardize", "mean": [1.0], "std": [0.0]},
        {"kind": "standardize", "mean": [1.0, 2.0], "std": [1.0]},
        {"kind": "standardize", "mean": [math.nan], "std": [1.0]},
        {"kind": "percentile", "low": [2.0], "high": [1.0]},
        {"kind": "none", "gain": 2},
    ],
)
def test_wrong_scalings_are_refused(wrong):
    with pytest.raises(ValidationError):
        Scaling.model_validate(wrong)
