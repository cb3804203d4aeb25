import numpy as np
import pytest

from geoseg.engine.layout import Layout, make_axis
from geoseg.errors import ConfigError

AXES = [
    pytest.param(1, 8, 4, id="one pixel"),
    pytest.param(7, 8, 4, id="shorter than a window"),
    pytest.param(8, 8, 4, id="one window"),
    pytest.param(9, 8, 4, id="one pixel more"),
    pytest.param(29, 8, 3, id="stride that does not divide"),
    pytest.param(29, 8, 8, id="no overlap"),
    pytest.param(29, 7, 1, id="densest"),
    pytest.param(31, 9, 5, id="odd window"),
]
BLENDS = ["mean", "hann", "gaussian", "crop"]


@pytest.mark.parametrize(("length", "size", "stride"), AXES)
@pytest.mark.parametrize("blend", BLENDS)
def test_totals_are_the_summed_weights_and_above_zero(length, size, stride, blend):
    axis = make_axis(length, size, stride, blend)
    totals = np.zeros(max(length, size))
    for place, offset in enumerate(axis.offsets):
        totals[offset : offset + size] += axis.weight(place)
    np.testing.assert_allclose(axis.totals, totals, rtol=1e-6)
    assert axis.totals.min() > 1e-3


@pytest.mark.parametrize("blend", BLENDS)
def test_weight_stays_at_its_peak_toward_the_borders_of_the_scene(blend):
    axis = make_axis(100, 16, 8, blend)
    assert (axis.weight(0)[:8] == 1).all()
    assert (axis.weight(-1)[8:] == 1).all()


def test_mean_counts_windows():
    axis = make_axis(10, 4, 3, "mean")
    assert axis.offsets == (0, 3, 6)
    assert axis.totals.tolist() == [1, 1, 1, 2, 1, 1, 2, 1, 1, 1]


def test_hann_is_the_raised_cosine():
    weights = make_axis(100, 16, 8, "hann").weight(3)
    expected = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(16) + 0.5) / 16)
    np.testing.assert_allclose(weights, expected / expected.max(), atol=1e-6)


def test_crop_keeps_the_centres_which_tile_the_axis():
    axis = make_axis(64, 16, 8, "crop")
    assert axis.weight(2).tolist() == [0] * 4 + [1] * 8 + [0] * 4
    assert axis.totals.tolist() == [1] * 64


def test_count_is_that_of_rows_times_columns():
    assert Layout.of((20, 33), 8, 5).count == 4 * 6


@pytest.mark.parametrize(("size", "stride"), [(0, 1), (8, 0), (8, 9), (-3, 1)])
def test_impossible_windows_are_refused(size, stride):
    with pytest.raises(ConfigError):
        Layout.of((20, 20), size, stride)


def test_unknown_blend_is_refused():
    with pytest.raises(ConfigError, match="mean"):
        Layout.of((20, 20), 8, 4, "median")
