import math

import numpy as np
import pytest

from geoseg.geo.stats import BandStats, BandStatsAccumulator


def accumulate(data, valid=None, pieces=1):
    total = BandStatsAccumulator(len(data), str(data.dtype))
    valid = np.ones(data.shape[1:], bool) if valid is None else valid
    for part, known in zip(
        np.array_split(data, pieces, axis=1), np.array_split(valid, pieces, axis=0), strict=True
    ):
        other = BandStatsAccumulator(len(data), str(data.dtype))
        other.update(part, known)
        total.merge(other)
    return total.result()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_short_integers_are_exact(dtype, pieces):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    data = rng.integers(limits.min, limits.max + 1, (2, 60, 50)).astype(dtype)
    valid = rng.random((60, 50)) > 0.3
    stats = accumulate(data, valid, pieces)
    for band in range(2):
        values = data[band][valid].astype(float)
        assert stats.count[band] == values.size
        assert stats.mean[band] == pytest.approx(values.mean(), rel=1e-12)
        assert stats.std[band] == pytest.approx(values.std(), rel=1e-12)
        assert (stats.min[band], stats.max[band]) == (values.min(), values.max())
        for share, found in ((2, stats.p2[band]), (98, stats.p98[band])):
            assert found == np.percentile(values, share, method="inverted_cdf")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint32"])
def test_wide_types_have_percentiles_within_a_fifth_of_a_percent(dtype):
    data = (np.random.default_rng(2).normal(1000, 400, (1, 200, 200))).astype(dtype)
    stats = accumulate(data, pieces=5)
    values = data.astype(float)
    assert stats.mean[0] == pytest.approx(values.mean(), rel=1e-9)
    assert stats.std[0] == pytest.approx(values.std(), rel=1e-9)
    for share, found in ((2, stats.p2[0]), (98, stats.p98[0])):
        exact = np.percentile(values, share, method="inverted_cdf")
        assert found == pytest.approx(exact, rel=2e-3)


def test_negative_and_tiny_floats_keep_their_order():
    data = np.linspace(-1e-6, 1e-6, 10_001, dtype=np.float32).reshape(1, 1, -1)
    stats = accumulate(data)
    assert stats.p2[0] == pytest.approx(-0.96e-6, rel=3e-3)
    assert stats.p98[0] == pytest.approx(0.96e-6, rel=3e-3)


def test_what_is_not_finite_is_not_counted():
    data = np.array([[[1, np.nan, np.inf, -np.inf, 3]]], np.float32)
    stats = accumulate(data)
    assert stats.count == (2,)
    assert stats.mean == (2.0,)
    assert (stats.min, stats.max) == ((1.0,), (3.0,))


def test_large_offsets_do_not_cancel():
    data = (1e9 + np.arange(10, dtype=np.float64)).reshape(1, 2, 5)
    stats = accumulate(data, pieces=2)
    assert stats.std[0] == pytest.approx(np.arange(10).std(), rel=1e-9)


def test_a_band_without_pixels_is_nan_and_null():
    data = np.zeros((1, 2, 2), np.uint8)
    stats = accumulate(data, np.zeros((2, 2), bool))
    assert stats.count == (0,)
    assert math.isnan(stats.mean[0])
    assert stats.to_dict()["mean"] == [None]
    assert math.isnan(BandStats.from_dict(stats.to_dict()).p98[0])


def test_order_of_merging_changes_nothing_for_short_integers():
    data = np.random.default_rng(3).integers(0, 5000, (1, 40, 40)).astype("uint16")
    parts = [BandStatsAccumulator(1, "uint16") for _ in range(4)]
    for part, rows in zip(parts, np.array_split(data, 4, axis=1), strict=True):
        part.update(rows, np.ones(rows.shape[1:], bool))
    results = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        total = BandStatsAccumulator(1, "uint16")
        for place in order:
            total.merge(parts[place])
        results.append(total.result())
    assert results[0].p2 == results[1].p2
    assert results[0].count == results[1].count
    assert results[0].mean[0] == pytest.approx(results[1].mean[0], rel=1e-14)


def test_round_trip():
    stats = accumulate(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert BandStats.from_dict(stats.to_dict()) == stats
