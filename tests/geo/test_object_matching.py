"""Objects matched row by row, against scipy's regions compared one by one."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.geo.grid import Grid
from geoseg.geo.object_matching import ObjectMatcher

NAMES = ("ground", "roof", "tree")
UTM = CRS.from_epsg(32632)


def grid_of(shape, side=2.0, crs=UTM):
    transform = Affine(side, 0, 4e5, 0, -side, 5e6)
    return Grid(height=shape[0], width=shape[1], transform=transform, crs=crs)


def objects(seed, shape, noise=0.01, unknown=0.01):
    """Rectangles of two classes, and the same moved, lost, grown, with noise and unknown ground."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((2, *shape), np.uint8)
    for _ in range(shape[0] * shape[1] // 60):
        row, col = rng.integers(0, shape)
        size = rng.integers(1, 9, 2)
        kind = rng.integers(1, 3)
        for each in maps:
            if rng.random() < 0.85:
                top, left = np.maximum(np.array([row, col]) + rng.integers(-1, 2, 2), 0)
                each[top : top + size[0], left : left + size[1]] = kind
    for each in maps:
        spots = rng.random(shape) < noise
        each[spots] = rng.integers(0, 3, spots.sum())
        each[rng.random(shape) < unknown] = 255
    return maps


def naive(reference, prediction, wanted, sizes, area):
    """All regions of both maps by scipy, and all pairs of them."""
    unknown = (reference == 255) | (prediction == 255)
    counts, ious = np.zeros((2, 2, 3, len(sizes) + 1), int), np.zeros(3)
    for index in wanted:
        maps = [ndimage.label((each == index) & ~unknown) for each in (reference, prediction)]
        (first, many), (second, others) = maps
        used = set()
        matches = np.zeros((2, max(many, others) + 1), bool)
        for number in range(1, many + 1):
            own = first == number
            for other in np.unique(second[own]):
                both = (own & (second == other)).sum()
                iou = both / (own | (second == other)).sum()
                if other and other not in used and iou >= 0.5:
                    used.add(other)
                    ious[index] += iou
                    matches[0, number] = matches[1, other] = True
                    break
        for side, (labels, _) in enumerate(maps):
            for number, pixels in enumerate(np.bincount(labels.ravel())[1:], start=1):
                size = sum(pixels * area >= edge for edge in sizes)
                counts[side, 0, index, size] += 1
                counts[side, 1, index, size] += matches[side, number]
    return counts, ious


def matched(reference, prediction, rows, *, wanted=(1, 2), sizes=(20.0, 80.0), grid=None):
    matcher = ObjectMatcher(grid or grid_of(reference.shape), 3, 255, wanted, sizes)
    for row in range(0, len(reference), rows):
        matcher.push(reference[row : row + rows], prediction[row : row + rows])
    return matcher.finish()


@pytest.mark.parametrize("rows", [1, 5, 90])
@pytest.mark.parametrize("wanted", [(1, 2), (0, 1, 2), (2,)])
def test_objects_equal_those_of_scipy(rows, wanted):
    maps = objects(0, (90, 70))
    found = matched(*maps, rows, wanted=wanted)
    counts, ious = naive(*maps, wanted, (20, 80), 4)
    np.testing.assert_array_equal(found.reference, counts[0])
    np.testing.assert_array_equal(found.predicted, counts[1])
    np.testing.assert_allclose(found.ious, ious)
    assert counts[:, 1].sum() > 15


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 12), noise=st.sampled_from([0, 0.1, 0.6]))
def test_any_map_and_any_cut(seed, rows, noise):
    rng = np.random.default_rng(seed)
    maps = objects(seed, tuple(rng.integers(1, 25, 2)), noise, noise / 5)
    found = matched(*maps, rows)
    counts, ious = naive(*maps, (1, 2), (20, 80), 4)
    np.testing.assert_array_equal(found.reference, counts[0])
    np.testing.assert_array_equal(found.predicted, counts[1])
    np.testing.assert_allclose(found.ious, ious)


@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("turned", [False, True])
def test_one_half_is_enough(rows, turned):
    """An IoU of exactly 0.5 is enough."""
    exact = np.zeros((2, 4, 8), np.uint8)
    exact[0, 1:3, 1:7] = 1
    exact[1, 1, 1:7] = 1
    maps = exact[::-1] if turned else exact
    found = matched(*maps, rows, sizes=())
    assert found.reference[1].sum() == found.predicted[1].sum() == 1
    assert found.scores(NAMES)["mean_matched_iou"] == 0.5


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_half_of_a_region_is_enough(rows, turned):
    """Half of the pixels, in another shape: it is matched."""
    whole = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.uint8)
    halves = np.array([[1, 1, 0, 0], [0, 1, 0, 0]], np.uint8)
    maps = (whole, halves)[:: -1 if turned else 1]
    one = matched(*maps, rows, sizes=()).scores(NAMES)
    assert (one["matched"], one["mean_matched_iou"]) == (1, 0.5)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("turned", [False, True])
def test_polygons_that_touch_are_apart(rows, turned):
    """Three houses side by side, of which the map shows the first alone, the others as one."""
    reference, prediction = np.zeros((2, 7, 14), np.uint8)
    numbers = np.zeros((7, 14), np.int32)
    reference[1:5, 1:13] = 1
    for place in range(3):
        numbers[1:5, 1 + 4 * place : 5 + 4 * place] = (7, 3, 9)[place]
    prediction[1:5, 1:4] = 1
    prediction[1:5, 5:13] = 1
    parts = [reference, prediction, numbers]
    if turned:
        parts = [np.ascontiguousarray(each[::-1, ::-1]) for each in parts]
    matcher = ObjectMatcher(grid_of((7, 14)), 3, 255, (1, 2), ())
    for row in range(0, 7, rows):
        matcher.push(*(each[row : row + rows] for each in parts))
    found = matcher.finish().scores(NAMES)
    # One of IoU 12 / 16; of the two halves of the second region one of IoU 0.5.
    assert (found["reference"], found["predicted"], found["matched"]) == (3, 2, 2)
    assert found["mean_matched_iou"] == pytest.approx((12 / 16 + 0.5) / 2)


def test_scores_follow_from_the_counts():
    maps = objects(3, (80, 60))
    found = matched(*maps, 16).scores(NAMES)
    counts, ious = naive(*maps, (1, 2), (20, 80), 4)
    total = counts.sum(axis=(2, 3))
    hits = total[0, 1]
    assert (found["reference"], found["predicted"]) == (total[0, 0], total[1, 0])
    assert found["matched"] == hits == total[1, 1]
    precision, recall = hits / total[1, 0], hits / total[0, 0]
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert found["mean_matched_iou"] == pytest.approx(ious.sum() / hits)
    assert [row["name"] for row in found["classes"]] == ["roof", "tree"]
    tree = found["classes"][1]
    assert tree["sizes"][1]["recall"] == pytest.approx(counts[0, 1, 2, 1] / counts[0, 0, 2, 1])
    assert tree["sizes"][1]["precision"] == pytest.approx(counts[1, 1, 2, 1] / counts[1, 0, 2, 1])
    assert [(size["from"], size["to"]) for size in found["sizes"]] == [
        (0, 20),
        (20, 80),
        (80, None),
    ]


def test_no_objects_have_no_scores():
    empty = np.zeros((5, 5), np.uint8)
    found = matched(empty, empty, 2).scores(NAMES)
    assert np.isnan([found["precision"], found["recall"], found["f1"]]).all()
    spot = empty.copy()
    spot[2, 2] = 1
    assert matched(spot, empty, 2).scores(NAMES)["f1"] == 0


def test_areas_are_true_ones():
    """Of a grid in degrees: at 60 degrees north 0.001 x 0.001 degrees are about 6200 m2."""
    transform = Affine(0.001, 0, 10, 0, -0.001, 60)
    grid = Grid(height=4, width=4, transform=transform, crs=CRS.from_epsg(4326))
    spot = np.zeros((4, 4), np.uint8)
    spot[1, 1] = 1
    for edge, expected in ((6100.0, [0, 1]), (6300.0, [1, 0])):
        found = matched(spot, spot, 3, sizes=(edge,), grid=grid)
        assert found.reference[0, 1].tolist() == expected


def test_memory_is_of_open_regions_only():
    maps = objects(5, (400, 30), noise=0.2)
    matcher = ObjectMatcher(grid_of(maps[0].shape), 3, 255, (1, 2), ())
    most = 0
    for row in range(0, 400, 4):
        matcher.push(*(each[row : row + 4] for each in maps))
        most = max(most, *(len(table.numbers) for table in matcher._tables))
    counts = matcher.finish()
    assert most < 120 < counts.predicted[0].sum() / 3


def test_sums_are_those_of_both():
    first, second = (matched(*objects(seed, (40, 40)), 10) for seed in (6, 7))
    both = first + second
    np.testing.assert_array_equal(both.predicted, first.predicted + second.predicted)
    assert both.scores(NAMES)["reference"] == first.reference[0].sum() + second.reference[0].sum()
