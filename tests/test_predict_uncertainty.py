"""Uncertainty rasters of whole predictions; numpy and scipy are the oracle."""

import dataclasses

import numpy as np
import pytest
import rasterio
from linear_models import BANDS, softmax, write_bundle, write_scene
from scipy.stats import entropy

from geoseg.errors import ConfigError
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict

MEASURES = ("entropy", "margin", "disagreement")
FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", measures=MEASURES)


@pytest.fixture
def data():
    return np.random.default_rng(2).integers(200, 3000, (4, 90, 130)).astype(np.uint16)


@pytest.fixture
def scene(tmp_path, data):
    return write_scene(tmp_path / "scene.tif", data)


@pytest.fixture
def models(tmp_path, data):
    """Two linear models with windows of their own, and the probabilities they give."""
    scaling = Scaling(kind="standardize", mean=(1500.0,) * 4, std=(600.0,) * 4)
    bundles, scores = [], []
    for number, (window, stride) in enumerate([(32, 20), (50, 25)]):
        weights = np.random.default_rng(number).normal(size=(3, 4))
        path = tmp_path / f"{number}.safetensors"
        bundles.append(
            write_bundle(path, weights, bands=BANDS, window=window, stride=stride, scaling=scaling)
        )
        scores.append(softmax(np.einsum("cb,bij->cij", weights, (data - 1500.0) / 600)))
    return bundles, scores


def outcome(scene, bundles, folder, **changes):
    options = dataclasses.replace(FP32, uncertainty=folder / "u.tif", **changes)
    (result,) = predict(scene, bundles, folder / "c.tif", options)
    assert result.uncertainty == folder / "u.tif"
    with rasterio.open(folder / "u.tif") as made:
        assert made.descriptions == options.measures
        assert (made.nodata, set(made.scales)) == (255, {0.005})
        return made.read(), made.read(masked=True)


def steps(values):
    return np.rint(values / 0.005)


@pytest.mark.parametrize("blend", ["mean", "gaussian"])
@pytest.mark.parametrize("tta", ["none", "d4"])
def test_two_models_disagree_as_numpy_says(tmp_path, scene, models, blend, tta):
    bundles, scores = models
    made, _ = outcome(scene, bundles, tmp_path, blend=blend, tta=tta)
    mean = np.mean(scores, 0)
    total, single = entropy(mean, base=3, axis=0), entropy(scores, base=3, axis=1).mean(0)
    ordered = np.sort(mean, 0)
    expected = np.stack([total, ordered[-1] - ordered[-2], total - single])
    np.testing.assert_allclose(made, steps(expected), atol=1)
    assert made[2].max() > 40


def test_windows_and_views_of_a_model_without_surroundings_agree(tmp_path, scene, models):
    bundles, scores = models
    made, _ = outcome(scene, bundles[:1], tmp_path, tta="flip")
    assert made[2].max() == 0
    np.testing.assert_allclose(made[0], steps(entropy(scores[0], base=3, axis=0)), atol=1)


def test_votes_are_counted(tmp_path, scene, models):
    bundles, scores = models
    made, _ = outcome(scene, bundles, tmp_path, combine="vote", measures=("disagreement",))
    agree = scores[0].argmax(0) == scores[1].argmax(0)
    clear = np.min([np.diff(np.sort(s, 0)[-2:], axis=0)[0] for s in scores], 0) > 1e-4
    assert set(np.unique(made[0][agree & clear])) == {0}
    # one vote each: the entropy of two halves among three classes
    assert set(np.unique(made[0][~agree & clear])) == {round(np.log(2) / np.log(3) / 0.005)}


def test_the_map_is_the_same_with_and_without(tmp_path, scene, models):
    bundles, _ = models
    outcome(scene, bundles, tmp_path, probabilities=tmp_path / "p.tif")
    options = dataclasses.replace(FP32, measures=("entropy",), probabilities=tmp_path / "q.tif")
    predict(scene, bundles, tmp_path / "d.tif", options)
    for one, other in (("c.tif", "d.tif"), ("p.tif", "q.tif")):
        with rasterio.open(tmp_path / one) as a, rasterio.open(tmp_path / other) as b:
            np.testing.assert_array_equal(a.read(), b.read())


def test_nodata_stays_nodata(tmp_path, data, models):
    data[:, :40, :70] = 0
    scene = write_scene(tmp_path / "holes.tif", data)
    with rasterio.open(scene, "r+") as dataset:
        dataset.nodata = 0
    _, masked = outcome(scene, models[0], tmp_path)
    assert masked.mask[:, :40, :70].all()
    assert not masked.mask[:, 40:].any()


WRONG = {"doubt": ("doubt",), "doubled": ("entropy", "entropy"), "empty": ()}


@pytest.mark.parametrize(("told", "measures"), WRONG.items())
def test_other_measures_are_refused(tmp_path, scene, models, told, measures):
    with pytest.raises(ConfigError, match=f"{told}.*Give some of entropy, margin, disagreement"):
        outcome(scene, models[0], tmp_path, measures=measures)
    assert not (tmp_path / "u.tif").exists()


def test_measures_of_a_raster_that_is_not_asked_for_are_refused(tmp_path, scene, models):
    with pytest.raises(ConfigError, match=r"--measures: .* Give --uncertainty, too"):
        predict(scene, models[0], tmp_path / "c.tif", FP32)
    assert not (tmp_path / "c.tif").exists()
