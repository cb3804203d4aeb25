"""Borders counted in parts, against the published definitions on the whole array by scipy."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.errors import ConfigError
from geoseg.geo.boundary_scores import BoundaryCounter
from geoseg.geo.grid import Grid
from geoseg.geo.near import are_near, column_gaps, reach_table

UTM = CRS.from_epsg(32632)
NAMES = ("ground", "roof", "tree")


def grid_of(shape, across=1.0, down=1.0, crs=UTM):
    transform = Affine(across, 0, 4e5, 0, -down, 5e6)
    return Grid(height=shape[0], width=shape[1], transform=transform, crs=crs)


def blobs(seed, shape, share_unknown=0.03):
    """A map of three classes in blobs, and one with errors, both with unknown ground."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    other = field + 0.4 * field.std() * ndimage.gaussian_filter(rng.normal(size=shape), 1)
    cuts = np.quantile(field, [0.5, 0.8])
    maps = [np.digitize(each, cuts).astype(np.uint8) for each in (field, other)]
    for each in maps:
        each[rng.random(shape) < share_unknown] = 255
    return maps


def naive(reference, prediction, sides, tolerance, left_out=()):
    """Cheng's zones and Csurka's contours, by distance transforms of the whole maps."""

    def distance(features):
        if not features.any():
            return np.full(features.shape, np.inf)
        return ndimage.distance_transform_edt(~features, sampling=(sides[1], sides[0]))

    def contour(values, index):
        other = (values != index) & (values != 255)
        beside = ndimage.binary_dilation(other, ndimage.generate_binary_structure(2, 1))
        return (values == index) & beside

    known = (reference != 255) & (prediction != 255) & ~np.isin(reference, left_out)
    within, found = tolerance * (1 + 1e-9), []
    for index in range(3):
        zones = [
            (v == index) & (distance((v != index) & (v != 255)) <= within) & known
            for v in (reference, prediction)
        ]
        lines = [contour(v, index) for v in (reference, prediction)]
        common, union = (zones[0] & zones[1]).sum(), (zones[0] | zones[1]).sum()
        recall = (distance(lines[1]) <= within)[lines[0] & known]
        precision = (distance(lines[0]) <= within)[lines[1] & known]
        found.append((common, union, recall.sum(), recall.size, precision.sum(), precision.size))
    return np.array(found)


def counted(reference, prediction, grid, tolerance, rows, left_out=()):
    counter = BoundaryCounter(grid, tolerance, 3, 255, left_out)
    for row in range(0, len(reference), rows):
        counter.push(reference[row : row + rows], prediction[row : row + rows])
    return counter.finish()


def as_naive(counts):
    zone_r, zone_p, common, line_r, hit_r, line_p, hit_p = counts.counts
    return np.stack([common, zone_r + zone_p - common, hit_r, line_r, hit_p, line_p], axis=1)


@pytest.mark.parametrize(
    ("sides", "tolerance"),
    [((1, 1), 1), ((1, 1), 3), ((1, 1), 5), ((0.5, 2), 4.1), ((3, 0.7), 6), ((2, 2), 60)],
)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_counts_equal_the_definition(monkeypatch, sides, tolerance, rows):
    monkeypatch.setattr("geoseg.geo.boundary_scores._PIXELS", 500)
    maps = blobs(0, (80, 61))
    found = counted(*maps, grid_of((80, 61), *sides), tolerance, rows)
    np.testing.assert_array_equal(as_naive(found), naive(*maps, sides, tolerance))
    assert found.counts.min() > 0


@given(seed=st.integers(0, 10**6), tolerance=st.floats(1, 12), rows=st.integers(1, 40))
def test_any_map_and_any_cut(seed, tolerance, rows):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    maps = rng.choice(np.uint8([0, 1, 1, 1, 2, 255]), (2, *shape))
    found = counted(*maps, grid_of(shape), tolerance, rows)
    np.testing.assert_array_equal(as_naive(found), naive(*maps, (1, 1), tolerance))


def test_zones_are_those_of_the_published_code():
    """There, masks are eroded d times by 3 x 3; that is this definition for d = 1."""
    rng = np.random.default_rng(3)
    shape = (60, 60)
    maps = np.zeros((2, *shape), np.uint8)
    for each in maps:
        field = ndimage.gaussian_filter(rng.normal(size=shape), 4)
        each[2:-2, 2:-2] = (field > 0)[2:-2, 2:-2]
    zones = [m.astype(bool) & ~ndimage.binary_erosion(m, np.ones((3, 3))) for m in maps]
    expected = (zones[0] & zones[1]).sum() / (zones[0] | zones[1]).sum()
    found = counted(*maps, grid_of(shape), 1.5, 60).scores(NAMES)
    assert found["classes"][1]["iou"] == pytest.approx(expected)


def test_scores_follow_from_the_counts():
    maps = blobs(1, (60, 60))
    found = counted(*maps, grid_of((60, 60)), 2, 60).scores(NAMES)
    expected = naive(*maps, (1, 1), 2).astype(float).T
    iou, recall, precision = expected[0] / expected[1], *(expected[[2, 4]] / expected[[3, 5]])
    f1 = 2 * precision * recall / (precision + recall)
    for key, values in (("iou", iou), ("recall", recall), ("precision", precision), ("f1", f1)):
        assert [row[key] for row in found["classes"]] == pytest.approx(values)
    assert found["mean_iou"] == pytest.approx(iou.mean())
    assert found["mean_f1"] == pytest.approx(f1.mean())
    assert (found["tolerance"], found["unit"]) == (2, "m")


def test_a_map_of_the_truth_is_perfect_and_one_side_alone_is_zero():
    truth = blobs(2, (40, 40), 0)[0]
    same = counted(truth, truth, grid_of((40, 40)), 1, 40).scores(NAMES)
    assert (same["mean_iou"], same["mean_f1"]) == (1, 1)
    flat = np.zeros_like(truth)
    found = counted(truth, flat, grid_of((40, 40)), 1, 40).scores(NAMES)["classes"]
    assert [(row["iou"], row["f1"]) for row in found] == [(0, 0)] * 3
    assert np.isnan(found[0]["precision"])
    empty = counted(flat, flat, grid_of((40, 40)), 1, 40).scores(NAMES)
    assert np.isnan([empty["mean_iou"], empty["mean_f1"]]).all()


def test_left_out_reference_pixels_do_not_count():
    maps = blobs(4, (50, 50))
    found = counted(*maps, grid_of((50, 50)), 2, 9, left_out=(0,))
    np.testing.assert_array_equal(as_naive(found), naive(*maps, (1, 1), 2, left_out=(0,)))
    assert np.isnan(found.scores(NAMES, (0,))["classes"][0]["f1"])


def test_degrees_are_metres_on_the_ground():
    """At 60 degrees north a degree of longitude is half as long as one of latitude."""
    maps = blobs(5, (60, 50))
    size = 1e-5
    transform = Affine(size, 0, 10, 0, -size, 60)
    grid = Grid(height=60, width=50, transform=transform, crs=CRS.from_epsg(4326))
    found = counted(*maps, grid, 4, 13)
    radians = np.deg2rad(60)
    down = 111132.92 - 559.82 * np.cos(2 * radians) + 1.175 * np.cos(4 * radians)
    across = 111412.84 * np.cos(radians) - 93.5 * np.cos(3 * radians)
    expected = naive(*maps, (across * size, down * size), 4)
    np.testing.assert_array_equal(as_naive(found), expected)


def test_pixels_count_where_there_is_no_crs():
    maps = blobs(6, (30, 30))
    found = counted(*maps, grid_of((30, 30), 0.1, 0.1, crs=None), 3, 30)
    np.testing.assert_array_equal(as_naive(found), naive(*maps, (1, 1), 3))
    assert found.unit == "pixels"


def test_sums_are_those_of_both():
    first = counted(*blobs(7, (30, 30)), grid_of((30, 30)), 2, 30)
    second = counted(*blobs(8, (40, 20)), grid_of((40, 20)), 2, 20)
    np.testing.assert_array_equal((first + second).counts, first.counts + second.counts)


def test_less_than_a_pixel_is_refused():
    with pytest.raises(ConfigError, match=r"--boundary: 1 m is less than a pixel, 2 x 2 m"):
        BoundaryCounter(grid_of((4, 4), 2, 2), 1, 3, 255)


def test_the_rows_of_unlike_pixels_have_their_own_reach():
    rng = np.random.default_rng(9)
    features = rng.random((30, 30)) < 0.02
    across = np.linspace(1, 3, 30)
    reach = reach_table(across, np.ones(30), 7.0, 30)
    near = are_near(np.ones((30, 30), bool), column_gaps(features), reach)
    rows, cols = np.nonzero(features)
    for row in range(30):
        for col in range(30):
            distance = np.hypot((cols - col) * across[row], rows - row)
            assert near[row, col] == (distance.min() <= 7)
