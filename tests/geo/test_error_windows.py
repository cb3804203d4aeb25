"""The chosen windows are those that a search through whole arrays finds."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.geo.classes import open_classes
from geoseg.geo.error_map import ErrorCounter
from geoseg.geo.error_windows import choose_windows, view_window
from geoseg.geo.grid import Grid
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.scene_images import SceneImage

LEGEND = Legend.of_values([0, 1, 2], {0: "background", 1: "roof", 2: "tree"})
UNKNOWN = LEGEND.ignore_index
SIDE = 10


def count(reference, prediction):
    height, width = reference.shape
    grid = Grid(height=height, width=width, transform=Affine(1, 0, 0, 0, -1, 0), crs=None)
    counter = ErrorCounter(grid, LEGEND, (), SIDE)
    counter.push(reference, prediction)
    return counter.result()


@pytest.fixture
def scenes():
    """Two scenes of 4 x 5 and 3 x 2 windows, each wrong to another share."""
    rng = np.random.default_rng(5)
    pairs = []
    for rows, cols in ((4, 5), (3, 2)):
        reference = rng.choice(np.uint8([0, 1, 2]), (rows * SIDE, cols * SIDE))
        shares = rng.random((rows, cols)).repeat(SIDE, 0).repeat(SIDE, 1)
        wrong = rng.random(reference.shape) < shares
        prediction = np.where(wrong, (reference + 1) % 3, reference).astype(np.uint8)
        prediction[:, -4:] = UNKNOWN
        pairs.append((reference, prediction))
    return pairs


def shares_of(scenes):
    """The share of wrong pixels of every window, by scene, row and column; by slices alone."""
    found = {}
    for scene, (reference, prediction) in enumerate(scenes):
        for row in range(0, reference.shape[0], SIDE):
            for col in range(0, reference.shape[1], SIDE):
                part = np.s_[row : row + SIDE, col : col + SIDE]
                seen = prediction[part] != UNKNOWN
                wrong = (reference[part] != prediction[part]) & seen
                found[scene, row, col] = wrong.sum() / seen.sum()
    return found


def places(windows):
    return [(window.scene, window.row, window.col) for window in windows]


def test_the_worst_and_the_best_are_those_that_numpy_finds(scenes):
    found = choose_windows([count(*pair) for pair in scenes], 3)
    shares = shares_of(scenes)
    order = sorted(shares, key=shares.get)
    ends = [shares[place] for place in (*order[:4], *order[-4:])]
    assert len(set(ends)) == 8  # no ties
    assert places(found.worst) == order[::-1][:3]
    assert places(found.best) == order[:3]
    assert [window.share for window in found.worst] == [shares[p] for p in order[::-1][:3]]


def test_few_windows_are_worst_or_best_but_not_both(scenes):
    found = choose_windows([count(*scenes[1])], 4)
    assert (len(found.worst), len(found.best)) == (4, 2)
    assert not set(places(found.worst)) & set(places(found.best))


def test_windows_do_not_overlap():
    reference = np.zeros((25, 10), np.uint8)
    prediction = np.ones((25, 10), np.uint8)  # windows from rows 0, 10 and 15
    found = choose_windows([count(reference, prediction)], 9)
    assert places(found.worst) == [(0, 0, 0), (0, 10, 0)]
    assert found.best == ()


def test_windows_that_are_hardly_labelled_are_left_aside():
    reference = np.full((SIDE, 3 * SIDE), UNKNOWN, np.uint8)
    reference[:, : 2 * SIDE] = 1
    reference[0, 2 * SIDE] = 1
    prediction = np.ones_like(reference)
    prediction[0, 0] = prediction[0, 2 * SIDE] = 2
    found = choose_windows([count(reference, prediction)], 5)
    assert places(found.worst) == [(0, 0, 0)]
    assert places(found.best) == [(0, 0, SIDE)]


def test_where_nothing_else_is_labelled_they_are_shown_all_the_same():
    reference = np.full((SIDE, SIDE), UNKNOWN, np.uint8)
    reference[0, 0] = 1
    found = choose_windows([count(reference, np.full_like(reference, 2))], 5)
    assert [window.share for window in found.worst] == [1.0]


def test_finding_nothing_where_nothing_is_is_no_best():
    reference = np.zeros((SIDE, 3 * SIDE), np.uint8)
    reference[:, SIDE:] = 1
    prediction = reference.copy()
    prediction[0, SIDE] = prediction[:5, 2 * SIDE] = 0
    found = choose_windows([count(reference, prediction)], 1)
    assert places(found.worst) == [(0, 0, 2 * SIDE)]
    assert places(found.best) == [(0, 0, SIDE)]


def test_a_perfect_map_has_no_worst_window():
    reference = np.ones((SIDE, SIDE), np.uint8)
    found = choose_windows([count(reference, reference)], 2)
    assert found.worst == () and found.best[0].share == 0


def test_what_is_told_is_what_was_counted(scenes):
    told = choose_windows([count(*pair) for pair in scenes], 1).to_dict()["worst"][0]
    assert told["share"] == told["wrong"] / told["counted"]
    assert (told["height"], told["width"]) == (SIDE, SIDE)


def test_views_are_the_pixels_of_the_files(make_scene):
    rng = np.random.default_rng(12)
    reference, prediction = rng.choice(np.uint8([0, 1, 2]), (2, 20, 30))
    prediction[2:4] = 255
    map_path = make_scene(prediction[None], "map.tif", nodata=255)
    label_path = make_scene(reference[None], "labels.tif", nodata=255)
    image = make_scene((4, 20, 30), "image.tif", names=("blue", "green", "red", "nir"))
    scene = open_classes(str(map_path))
    window = choose_windows([count(reference, prediction)], 1).worst[0]
    view = view_window(
        window,
        scene,
        Labels.open(label_path, LEGEND),
        LEGEND,
        SceneImage.open(str(image), scene.grid),
    )
    part = np.s_[window.row : window.row + SIDE, window.col : window.col + SIDE]
    assert (view.reference == reference[part]).all()
    assert (view.prediction == prediction[part]).all()
    with rasterio.open(image) as dataset:
        assert (view.image.data == dataset.read([3, 2, 1])[:, *part]).all()
