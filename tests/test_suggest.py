"""Places to label next; what numpy finds in the uncertainty raster of `predict` is the oracle."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from linear_models import BANDS, CLASSES, write_bundle, write_scene
from scipy.spatial.distance import cdist

from geoseg.engine.options import PredictOptions
from geoseg.errors import ConfigError, OutputError, SceneError
from geoseg.geo.raster import SceneOptions
from geoseg.nn.scaling import Scaling
from geoseg.predict import predict
from geoseg.suggest import SuggestOptions, suggest

GEOSEG = Path(sys.executable).with_name("geoseg")
PREDICT = PredictOptions(precision="fp32", device="cpu", backend="torch")
SCALING = Scaling(kind="standardize", mean=(1500.0,) * 4, std=(600.0,) * 4)


@pytest.fixture
def data():
    """Three textures, each of other values; the right third is the unsure one."""
    rng = np.random.default_rng(2)
    data = rng.normal(1500, 600, (4, 96, 160))
    data[:, :, :100] += 1200
    return data.clip(1, 60000).astype(np.uint16)


@pytest.fixture
def scene(tmp_path, data):
    return write_scene(tmp_path / "scene.tif", data)


@pytest.fixture
def model(tmp_path):
    weights = np.random.default_rng(0).normal(size=(3, 4))
    path = tmp_path / "model.safetensors"
    return write_bundle(path, weights, bands=BANDS, window=32, stride=16, scaling=SCALING)


def options(**changes):
    return SuggestOptions(**{"count": 4, "predict": PREDICT, **changes})


def test_the_first_place_explains_most_by_the_uncertainty_raster(tmp_path, scene, model, data):
    target = tmp_path / "places.gpkg"
    (first,) = suggest(scene, model, target, options(count=1))
    predict(scene, model, tmp_path / "c.tif", replace(PREDICT, uncertainty=tmp_path / "u.tif"))
    with rasterio.open(tmp_path / "u.tif") as made, rasterio.open(tmp_path / "c.tif") as classes:
        doubt, shown = made.read(1) * 0.005, classes.read(1)
    places, means, looks, most = [], [], [], []
    for row in range(0, 96 - 31, 16):
        for col in range(0, 160 - 31, 16):
            part = np.s_[row : row + 32, col : col + 32]
            places.append((row, col, 32, 32))
            means.append(doubt[part].mean())
            bands = data[:, *part].reshape(4, -1).astype(float)
            looks.append([*bands.mean(1), *bands.std(1)])
            most.append(np.bincount(shown[part].ravel()).argmax())
    weights = 1 + np.array(means) / np.mean(means)
    inverse = np.linalg.inv(np.cov(np.transpose(looks), ddof=0))
    costs = weights @ cdist(looks, looks, "mahalanobis", VI=inverse) ** 2
    assert first.window == places[costs.argmin()]  # nothing is labelled
    assert first.choice.doubt == pytest.approx(means[costs.argmin()] / max(means), rel=1e-3)
    assert first.class_name == CLASSES[most[costs.argmin()]]


def test_squares_lie_on_the_scene_and_do_not_overlap(tmp_path, scene, model):
    places = suggest(scene, model, tmp_path / "places.gpkg", options())
    frame = geopandas.read_file(tmp_path / "places.gpkg", layer="places")
    assert frame["rank"].tolist() == [1, 2, 3, 4]
    assert frame["score"].is_monotonic_decreasing
    assert frame.crs == "EPSG:32632"
    assert frame.area.tolist() == [256.0] * 4  # 32 pixels of 0.5 m
    for one, other in zip(*np.triu_indices(4, 1), strict=True):
        assert frame.geometry[one].intersection(frame.geometry[other]).area == 0
    with rasterio.open(scene) as dataset:
        for place, shape in zip(places, frame.geometry, strict=True):
            x, y = dataset.transform @ (place.window[1], place.window[0])
            assert shape.bounds == (x, y - 16, x + 16, y)


def test_labelled_ground_is_left_out(tmp_path, scene, model):
    done = geopandas.GeoDataFrame(
        geometry=[shapely.box(5e5 + 50, 5e6 - 48, 5e5 + 80, 5e6)], crs="EPSG:32632"
    ).to_crs("EPSG:4326")
    done.to_file(tmp_path / "done.gpkg")
    places = suggest(
        scene, model, tmp_path / "p.gpkg", options(labelled=tmp_path / "done.gpkg", count=9)
    )
    assert all(place.window[1] + 32 <= 100 + 4 for place in places)  # a tenth of 32 columns at most
    assert max(place.choice.strangeness for place in places) < 1


def test_ground_without_data_is_left_out(tmp_path, data, model):
    data[:, :, 90:] = 0
    scene = write_scene(tmp_path / "half.tif", data)
    with rasterio.open(scene, "r+") as dataset:
        dataset.nodata = 0
    for place in suggest(scene, model, tmp_path / "p.gpkg", options(min_valid=1, count=99)):
        assert place.window[1] + 32 <= 90


def test_size_is_in_metres(tmp_path, scene, model):
    (place, *_) = suggest(scene, model, tmp_path / "p.gpkg", options(size=10))
    assert place.window[2:] == (20, 20)


def test_the_same_ground_in_two_scenes_is_chosen_once(tmp_path, data, scene, model):
    twin = write_scene(tmp_path / "twin.tif", data)
    places = suggest([scene, twin], model, tmp_path / "p.gpkg", options(count=30))
    assert len({place.window[:2] for place in places}) == len(places)


def test_places_of_scenes_of_unlike_pixels_are_equal_ground(tmp_path, data, model):
    fine = write_scene(tmp_path / "fine.tif", data)
    coarse = tmp_path / "coarse.tif"
    with rasterio.open(fine) as dataset:
        place = dataset.transform @ Affine.translation(0, 96) @ Affine.scale(2)
        profile = {**dataset.profile, "height": 48, "width": 80}
    with rasterio.open(coarse, "w", **{**profile, "transform": place}) as dataset:
        dataset.write(data[:, ::2, ::2])
        dataset.descriptions = BANDS
    places = suggest([coarse, fine], model, tmp_path / "p.gpkg", options(count=99))
    assert {place.window[2:] for place in places if place.scene_number == 0} == {(32, 32)}
    assert {place.window[2:] for place in places if place.scene_number == 1} == {(64, 64)}
    frame = geopandas.read_file(tmp_path / "p.gpkg")
    assert frame.area.tolist() == [32.0**2] * len(frame)


def test_another_resolution_makes_the_window_larger(tmp_path, scene, model):
    how = replace(PREDICT, scene=SceneOptions(resolution=1.0))
    (place, *_) = suggest(scene, model, tmp_path / "p.gpkg", options(predict=how))
    assert place.window[2:] == (64, 64)  # 32 pixels of 1 m


def test_a_wrong_suffix_is_refused_before_the_work(tmp_path, scene, model):
    with pytest.raises(OutputError, match="cannot be written as"):
        suggest(scene, tmp_path / "no model", tmp_path / "p.txt", options())


def test_the_command_prints_json(tmp_path, scene, model):
    words = [GEOSEG, "suggest", scene, "-m", model, "-o", tmp_path / "p.gpkg", "--json"]
    done = subprocess.run(
        [*words, "--count", "2", "--measure", "margin"], capture_output=True, text=True, check=True
    )
    assert [place["rank"] for place in json.loads(done.stdout)] == [1, 2]


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"size": 0.0}, {"size": float("nan")}, {"min_valid": 2.0}]
)
def test_senseless_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        options(**wrong)


def test_a_scene_that_is_labelled_all_over_is_refused(tmp_path, scene, model):
    with rasterio.open(scene) as dataset:
        done = geopandas.GeoDataFrame(geometry=[shapely.box(*dataset.bounds)], crs=dataset.crs)
    done.to_file(tmp_path / "done.gpkg")
    with pytest.raises(SceneError, match="no place left to label"):
        suggest(scene, model, tmp_path / "p.gpkg", options(labelled=tmp_path / "done.gpkg"))
    assert not (tmp_path / "p.gpkg").exists()


def test_an_output_that_exists_stays(tmp_path, scene, model):
    (tmp_path / "p.gpkg").write_text("mine")
    with pytest.raises(OutputError):
        suggest(scene, model, tmp_path / "p.gpkg", options())
    assert (tmp_path / "p.gpkg").read_text() == "mine"
