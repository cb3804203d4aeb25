"""Models of unlike windows, scaling, bands and resolution on one scene; numpy is the oracle."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio
from linear_models import BANDS, softmax, write_bundle, write_scene
from PIL import Image
from rasterio.enums import ColorInterp

from geoseg.errors import BundleError, ConfigError, SceneError
from geoseg.geo.raster import SceneOptions
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, estimate, predict

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", prob_dtype="float32")


@pytest.fixture
def data():
    return np.random.default_rng(2).integers(200, 3000, (4, 90, 130)).astype(np.uint16)


@pytest.fixture
def scene(tmp_path, data):
    return write_scene(tmp_path / "scene.tif", data)


@pytest.fixture
def unlike(tmp_path, data):
    """Two bundles that have nothing in common but the classes, and what numpy says they give."""
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=(3, 2)), rng.normal(size=(3, 3))
    mean, std = (1500.0, 1700.0), (600.0, 900.0)
    low, high = (300.0, 400.0, 500.0), (2500.0, 2000.0, 2900.0)
    bundles = [
        write_bundle(
            tmp_path / "first.safetensors", first, bands=("nir", "green"), window=32, stride=32,
            scaling=Scaling(kind="standardize", mean=mean, std=std),
        ),
        write_bundle(
            tmp_path / "second.safetensors", second, bands=("Red", "blue", "nir"), window=50,
            stride=21, scaling=Scaling(kind="percentile", low=low, high=high),
        ),
    ]  # fmt: skip
    pixels = data.astype(np.float64)

    def column(values):
        return np.array(values)[:, None, None]

    seen_first = (pixels[[3, 1]] - column(mean)) / column(std)
    seen_second = (pixels[[2, 0, 3]] - column(low)) / (column(high) - column(low))
    scores = [
        softmax(np.einsum("cb,bij->cij", first, seen_first)),
        softmax(np.einsum("cb,bij->cij", second, seen_second.clip(0, 1))),
    ]
    return bundles, scores


def outcome(scene, bundles, folder, **changes):
    """Probabilities and classes as they are in the files."""
    options = dataclasses.replace(FP32, probabilities=folder / "p.tif", **changes)
    predict(scene, bundles, folder / "c.tif", options)
    with rasterio.open(folder / "p.tif") as made, rasterio.open(folder / "c.tif") as classes:
        return made.read(), classes.read(1), classes.tags()


@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_the_mean_of_unlike_models_is_that_of_numpy(tmp_path, scene, unlike, blend):
    bundles, scores = unlike
    made, classes, tags = outcome(scene, bundles, tmp_path, blend=blend)
    expected = np.mean(scores, 0)
    np.testing.assert_allclose(made, expected, atol=2e-6)
    first, second = np.sort(expected, 0)[-2:]
    clear = second - first > 1e-5
    assert (classes == expected.argmax(0))[clear].all()
    assert clear.mean() > 0.99
    assert (tags["GEOSEG_WINDOW"], tags["GEOSEG_STRIDE"]) == ("32,50", "32,21")


def test_the_votes_of_unlike_models_are_those_of_numpy(tmp_path, scene, unlike):
    """Each has one vote; of two unlike votes the one with the higher mean wins."""
    bundles, scores = unlike
    made, classes, _ = outcome(scene, bundles, tmp_path, combine="vote")
    votes = sum(np.eye(3)[each.argmax(0)].transpose(2, 0, 1) for each in scores) / 2
    np.testing.assert_allclose(made, votes, atol=2e-4)
    decided = votes + 1e-3 * np.mean(scores, 0)
    assert (classes == decided.argmax(0)).mean() > 0.999
    assert (votes.max(0) == 0.5).any()


def test_bands_are_those_of_each_by_name_in_any_order_of_the_file(tmp_path, data, unlike):
    bundles, scores = unlike
    order = [2, 3, 0, 1]
    names = [BANDS[place] for place in order]
    scene = write_scene(tmp_path / "shuffled.tif", data[order], names)
    made, _, _ = outcome(scene, bundles, tmp_path)
    np.testing.assert_allclose(made, np.mean(scores, 0), atol=2e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"names": ("ground", "roof", "lake")},
        {"names": ("roof", "ground", "water")},
        {"values": (0, 1, 3)},
    ],
)
def test_unlike_legends_are_refused(tmp_path, scene, unlike, other):
    stranger = write_bundle(
        tmp_path / "stranger.safetensors", np.eye(3), bands=("red", "green", "blue"), window=32,
        stride=16, scaling=Scaling(), **other,
    )  # fmt: skip
    with pytest.raises(BundleError, match=r"stranger\.safetensors: has the classes .*Combine"):
        predict(scene, [*unlike[0], stranger], tmp_path / "c.tif", FP32)
    assert not Path(tmp_path / "c.tif").exists()


def test_a_band_that_one_of_them_misses_is_refused(tmp_path, data, unlike):
    scene = write_scene(tmp_path / "three.tif", data[:3], BANDS[:3])
    with pytest.raises(BundleError, match="has no band nir"):
        predict(scene, unlike[0], tmp_path / "c.tif", FP32)


@pytest.fixture
def plain(tmp_path):
    """Two that give the scene back, of pixels of 1 m and 0.5 m."""

    def make(name, window, resolution):
        return write_bundle(
            tmp_path / f"{name}.safetensors", np.eye(3), bands=("a", "b", "c"), activation="none",
            window=window, stride=window // 2, resolution=resolution, scaling=Scaling(),
        )  # fmt: skip

    return make


def smoothed(band, side):
    """A band made smaller and larger again, by another library."""
    small = Image.fromarray(band.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    return np.array(small.resize(band.shape[::-1], Image.Resampling.BILINEAR))


def test_each_sees_the_scene_at_its_own_resolution(tmp_path, data, plain):
    """Half as large where it was trained on pixels twice as large: one window is the scene."""
    square = data[:3, :64, :64]
    scene = write_scene(tmp_path / "square.tif", square, ("a", "b", "c"))
    bundles = [plain("coarse", 32, 1.0), plain("fine", 32, 0.5)]
    options = {"model_resolution": True}
    made, _, tags = outcome(scene, bundles, tmp_path, **options)
    expected = np.stack([(smoothed(band, 32) + band) / 2 for band in square])
    np.testing.assert_allclose(made, expected, rtol=2e-3)
    assert [float(zoom) for zoom in tags["GEOSEG_ZOOM"].split(",")] == pytest.approx(
        [0.5, 1], rel=1e-3
    )
    told = dataclasses.replace(FP32, **options)
    [estimated] = estimate(scene, bundles, tmp_path / "other.tif", told)
    assert estimated.windows == 1 + 9


def test_without_the_option_the_pixels_are_taken_as_they_are(tmp_path, data, plain, caplog):
    scene = write_scene(tmp_path / "square.tif", data[:3, :64, :64], ("a", "b", "c"))
    made, _, _ = outcome(scene, plain("coarse", 32, 1.0), tmp_path)
    np.testing.assert_allclose(made, data[:3, :64, :64], rtol=1e-6)
    assert "--model-resolution" in caplog.text


@pytest.mark.parametrize(
    ("changes", "resolution", "crs", "error", "told"),
    [
        ({"mode": "resize"}, 1.0, "EPSG:32632", ConfigError, "means nothing with --mode resize"),
        (
            {"scene": SceneOptions(resolution=1.0)}, 1.0, "EPSG:32632", ConfigError,
            "together with --resolution",
        ),
        ({}, None, "EPSG:32632", BundleError, "does not tell its ground resolution"),
        ({}, 10.0, "EPSG:32632", BundleError, r"pixels are 0\.5 m, the model was trained on 10"),
        ({"scene": SceneOptions(assume_crs="none")}, 1.0, None, SceneError, "has no CRS"),
    ],
)  # fmt: skip
def test_resolutions_that_cannot_be_had_are_refused(  # noqa: PLR0917 - a table of cases
    tmp_path, data, plain, changes, resolution, crs, error, told
):
    scene = write_scene(tmp_path / "square.tif", data[:3, :64, :64], ("a", "b", "c"), crs)
    options = dataclasses.replace(FP32, model_resolution=True, **changes)
    with pytest.raises(error, match=told):
        predict(scene, plain("one", 32, resolution), tmp_path / "c.tif", options)


@pytest.mark.parametrize("bands", [(1, 2, 3, 4), ("1", "2", "3", "4")])
def test_alpha_that_is_named_is_data_for_each_of_several_models(tmp_path, bands):
    """The fourth of four bytes is infrared, and hides nothing, whatever a model makes of it."""
    data = np.random.default_rng(5).integers(1, 250, (4, 40, 40)).astype(np.uint16)
    data[3, :20] = 0
    path = write_scene(tmp_path / "scene.tif", data, ("", "", "", ""))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    rng = np.random.default_rng(8)
    weights = [rng.normal(size=(3, 4)) / 100, rng.normal(size=(3, 4)) / 100]
    weights[0][:, 3] = 0  # looks at red, green and blue alone
    models = [
        write_bundle(
            tmp_path / f"{place}.safetensors", each, bands=("", "", "", ""), window=32, stride=32,
            scaling=Scaling(kind="divide", divisor=1),
        )
        for place, each in enumerate(weights)
    ]  # fmt: skip
    chosen = dataclasses.replace(
        FP32, scene=SceneOptions(bands=bands), probabilities=tmp_path / "p.tif"
    )
    predict(path, models, tmp_path / "c.tif", chosen)
    with rasterio.open(tmp_path / "p.tif") as file:
        made = file.read()
    seen = data.astype(np.float64)
    expected = np.mean([softmax(np.einsum("cb,bij->cij", each, seen)) for each in weights], axis=0)
    np.testing.assert_allclose(made, expected, atol=2e-6)


def test_a_model_of_three_bands_is_not_given_four_that_are_named(tmp_path, data, plain):
    scene = write_scene(tmp_path / "four.tif", data)
    four = write_bundle(
        tmp_path / "four.safetensors", np.ones((3, 4)), bands=BANDS, window=32, stride=16,
        scaling=Scaling(),
    )  # fmt: skip
    chosen = dataclasses.replace(FP32, scene=SceneOptions(bands=(1, 2, 3, 4)))
    with pytest.raises(BundleError, match=r"4 bands.* 3"):
        predict(scene, [four, plain("three", 32, None)], tmp_path / "c.tif", chosen)
