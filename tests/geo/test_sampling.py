from itertools import islice

import numpy as np
import pytest

from geoseg.errors import ConfigError, LegendError
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.geo.sampling import (
    Sampling,
    class_chances,
    draw_windows,
    find_places,
    layout_windows,
)

LEGEND = Legend.of_values([0, 1, 2, 3], {0: "ground", 1: "roof", 2: "road", 3: "absent"})


@pytest.fixture
def classes():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:8, 10:14] = 1
    mask[30, :] = 2
    mask[:, :4] = 255
    return mask


@pytest.fixture
def labelled(make_scene, classes):
    path = str(make_scene(classes[None], "labels.tif"))
    return Labels.open(path, LEGEND), Scene.open(path).grid


def test_places_are_pixels_of_their_class(labelled, classes):
    places = find_places(*labelled, LEGEND, (0,), per_class=50)
    counts = [int((classes == value).sum()) for value in LEGEND.values]
    assert places.counts == tuple(counts)
    for value, count, positions in zip(LEGEND.values, counts, places.positions, strict=True):
        assert len(positions) == min(count, 50)
        assert (classes[positions[:, 0], positions[:, 1]] == value).all()
        assert len(np.unique(positions, axis=0)) == len(positions)


def test_places_are_sampled_evenly_over_strips(labelled, classes, monkeypatch):
    monkeypatch.setattr("geoseg.geo.sampling._STRIP_PIXELS", 60 * 7)
    hits = np.zeros(classes.shape)
    for seed in range(300):
        positions = find_places(*labelled, LEGEND, (seed,), per_class=200).positions[0]
        hits[positions[:, 0], positions[:, 1]] += 1
    ground = hits[classes == 0]
    chance = 200 / ground.size
    sigma = np.sqrt(300 * chance * (1 - chance))
    assert abs(ground - 300 * chance).max() < 5 * sigma
    # Rows of the first and of the last strip alike.
    assert hits[:7].sum() / (classes[:7] == 0).sum() == pytest.approx(300 * chance, rel=0.1)
    assert hits[35:].sum() / (classes[35:] == 0).sum() == pytest.approx(300 * chance, rel=0.1)


def test_balanced_draws_have_each_class_at_the_centre_alike(labelled, classes):
    labels, grid = labelled
    places = find_places(labels, grid, LEGEND, (1,))
    sampling = Sampling(method="balanced", size=5)
    draws = list(islice(draw_windows(grid, sampling, np.random.default_rng(0), places), 3000))
    inner = [w for w in draws if 0 < w.row_off < 35 and 0 < w.col_off < 55]
    centres = [classes[w.row_off + 2, w.col_off + 2] for w in inner]
    assert all(w.height == w.width == 5 for w in draws)
    assert centres.count(1) / len(draws) == pytest.approx(1 / 3, abs=0.04)
    assert centres.count(255) == centres.count(3) == 0


def test_weights_name_classes(labelled):
    labels, grid = labelled
    places = find_places(labels, grid, LEGEND, (1,))
    chances = class_chances(places, {"roof": 3, "ground": 1, "absent": 9}, LEGEND)
    assert chances.tolist() == [0.25, 0.75, 0, 0]
    with pytest.raises(LegendError, match="rooof"):
        class_chances(places, {"rooof": 1}, LEGEND)
    sampling = Sampling(method="balanced", size=5, weights={"absent": 1})
    rng = np.random.default_rng(0)
    assert list(draw_windows(grid, sampling, rng, places, LEGEND)) == []


@pytest.mark.parametrize("size", [1, 7, 40, 100])
def test_random_draws_are_seeded_and_inside(labelled, size):
    grid = labelled[1]
    sampling = Sampling(method="random", size=size)
    draws = [
        list(islice(draw_windows(grid, sampling, np.random.default_rng(seed)), 100))
        for seed in (5, 5)
    ]
    assert draws[0] == draws[1]
    for window in draws[0]:
        assert (window.height, window.width) == (min(size, 40), min(size, 60))
        assert 0 <= window.row_off <= 40 - window.height
        assert 0 <= window.col_off <= 60 - window.width


def test_layout_covers_the_scene(labelled):
    grid = labelled[1]
    seen = np.zeros(grid.shape, int)
    for window in layout_windows(grid, Sampling(size=16, stride=9)):
        seen[window.row_off :, window.col_off :][: window.height, : window.width] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"size": 0}, "--size: 0 is below 1 pixel"),
        ({"size": 8, "stride": 9}, "--stride: 9"),
        ({"stride": 0}, "--stride: 0"),
        ({"method": "grid"}, "--method: 'grid'"),
        ({"count": 0}, "--count: 0"),
        ({"weights": {"roof": -1}}, "--weight: "),
        ({"weights": {"roof": 0}}, "--weight: "),
        ({"weights": {"roof": float("nan")}}, "--weight: "),
    ],
)
def test_wrong_options_are_refused(wrong, named):
    with pytest.raises(ConfigError, match=f"^{named}"):
        Sampling(**wrong)


def test_balanced_wants_places(labelled):
    draws = draw_windows(labelled[1], Sampling(method="balanced"), np.random.default_rng(0))
    with pytest.raises(ConfigError, match="places"):
        next(draws)
