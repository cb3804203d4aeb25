"""Calibration counted in parts, against torchmetrics and scikit-learn on the whole."""

import numpy as np
import pytest
import rasterio
import torch
from sklearn import metrics
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from geoseg.errors import SceneError
from geoseg.geo.calibrating import Calibrator, find_probabilities
from geoseg.geo.calibration import CalibrationCounts
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import Scene

NAMES = ("ground", "roof", "tree", "water")
LEGEND = Legend(
    classes=tuple(
        LegendClass(value=value, name=name, color=f"#0000{value:02x}")
        for value, name in zip((0, 3, 7, 9), NAMES, strict=True)
    )
)


def drawn(seed, shape=(5000,), sharpness=1.5):
    """Probabilities (4, ...) that are too sure of themselves, and the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4, *shape)) * 2
    noisy = logits + rng.gumbel(size=logits.shape)
    shares = np.exp(sharpness * logits)
    return (shares / shares.sum(axis=0)).astype(np.float32), noisy.argmax(axis=0).astype(np.uint8)


@pytest.mark.parametrize("parts", [1, 7])
def test_errors_equal_those_of_others(parts):
    shares, truth = drawn(0)
    counts = CalibrationCounts.empty(4)
    for places in np.array_split(np.arange(5000), parts):
        counts += CalibrationCounts.of(shares[:, places], truth[places], 1e-7)
    found = counts.scores(NAMES)
    tensors = torch.from_numpy(shares.T.copy()), torch.from_numpy(truth.astype(np.int64))
    for norm, key in (("l1", "expected"), ("max", "maximum")):
        expected = multiclass_calibration_error(*tensors, num_classes=4, n_bins=15, norm=norm)
        assert found[f"{key}_calibration_error"] == pytest.approx(expected.item(), abs=1e-6)
    assert found["expected_calibration_error"] > 0.02
    exact = shares.T.astype(np.float64)
    assert found["negative_log_likelihood"] == pytest.approx(
        metrics.log_loss(truth, exact / exact.sum(axis=1, keepdims=True)), rel=1e-5
    )
    by_class = [metrics.brier_score_loss(truth == index, shares[index]) for index in range(4)]
    assert [row["brier"] for row in found["classes"]] == pytest.approx(by_class, rel=1e-5)
    assert found["brier"] == pytest.approx(sum(by_class), rel=1e-5)
    assert found["accuracy"] == pytest.approx((shares.argmax(axis=0) == truth).mean())
    assert found["mean_confidence"] == pytest.approx(shares.max(axis=0).mean(), rel=1e-5)
    assert found["pixels"] == 5000


def test_errors_of_classes_are_those_of_one_against_all():
    """By their own definition: torchmetrics' binary error is of the winning one of both sides."""
    shares, truth = drawn(1)
    found = CalibrationCounts.of(shares, truth, 1e-7).scores(NAMES, left_out=(2,))
    errors = []
    for index, share in enumerate(shares):
        places = np.minimum((share * 15).astype(int), 14)
        gaps = [
            abs(share[places == p].mean() - (truth == index)[places == p].mean())
            * (places == p).mean()
            for p in np.unique(places)
        ]
        errors.append(sum(gaps))
    own = [row["calibration_error"] for row in found["classes"]]
    assert np.isnan(own[2])
    del own[2], errors[2]
    assert own == pytest.approx(errors, rel=1e-4)
    assert found["classwise_calibration_error"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_two_classes_above_a_half_equal_the_binary_error():
    rng = np.random.default_rng(2)
    share = rng.uniform(0.5, 1, 4000).astype(np.float32)
    truth = (rng.random(4000) < share**2).astype(np.uint8)
    found = CalibrationCounts.of(np.stack([1 - share, share]), truth, 1e-7).scores(("no", "yes"))
    expected = binary_calibration_error(
        torch.from_numpy(share), torch.from_numpy(truth.astype(np.int64)), n_bins=15
    ).item()
    assert found["classes"][1]["calibration_error"] == pytest.approx(expected, abs=1e-6)


def test_the_curve_has_all_bins():
    shares, truth = drawn(3)
    curve = CalibrationCounts.of(shares, truth, 1e-7).scores(NAMES)["reliability"]
    winning, right = shares.max(axis=0), shares.argmax(axis=0) == truth
    assert [(row["from"], row["to"]) for row in curve][::7] == [
        (0, 1 / 15),
        (7 / 15, 8 / 15),
        (14 / 15, 1),
    ]
    for row in curve:
        own = (winning >= row["from"]) & ((winning < row["to"]) | (row["to"] == 1))
        assert row["pixels"] == own.sum()
        if own.any():
            assert row["accuracy"] == pytest.approx(right[own].mean())
            assert row["confidence"] == pytest.approx(winning[own].mean(), rel=1e-5)
        else:
            assert np.isnan(row["accuracy"])


def test_no_pixels_have_no_errors():
    found = CalibrationCounts.empty(4).scores(NAMES)
    keys = ("expected_calibration_error", "maximum_calibration_error", "brier")
    assert np.isnan([found[key] for key in keys]).all()
    assert found["pixels"] == 0


@pytest.fixture
def raster(make_scene):
    """Bytes of steps of 0.005 with bands in another order than the legend's, and truth."""
    shares, truth = drawn(4, (30, 20))
    stored = np.round(shares / 0.005).astype(np.uint8)
    stored[:, :2, :3] = 255
    order = [2, 0, 1, 3]
    path = make_scene(stored[order], "p.tif", nodata=255, photometric="minisblack")
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.005,) * 4
        dataset.descriptions = [NAMES[index] for index in order]
    truth[5, 5] = 255
    return str(path), stored.astype(np.float64) * 0.005, truth


@pytest.mark.parametrize("values", [1, 300, 1 << 22])
def test_a_raster_is_read_in_parts(raster, monkeypatch, values):
    monkeypatch.setattr("geoseg.geo.calibrating._VALUES", values)
    path, shares, truth = raster
    calibrator = Calibrator(path, Scene.open(path).grid, LEGEND, None)
    for row in range(0, 30, 11):
        calibrator.count(truth[row : row + 11], row)
    found = calibrator.result().scores(NAMES)
    seen = truth != 255
    seen[:2, :3] = False
    assert found["pixels"] == seen.sum()
    flat, own = shares[:, seen], truth[seen]
    expected = np.mean(np.square(flat - (own == np.arange(4)[:, None])).sum(axis=0))
    assert found["brier"] == pytest.approx(expected, rel=1e-5)
    likely = np.maximum(np.take_along_axis(flat, own[None].astype(int), 0)[0], 0.0025)
    assert found["negative_log_likelihood"] == pytest.approx(-np.log(likely).mean(), rel=1e-4)


def test_what_does_not_sum_to_one_is_refused_with_the_numbers(make_scene):
    shares, truth = drawn(5, (10, 10))
    shares[0, 3:] += 0.2
    path = make_scene(shares, "p.tif")
    calibrator = Calibrator(str(path), Scene.open(path).grid, LEGEND, None)
    with pytest.raises(SceneError, match=r"4 bands sum to 1\.2 to 1\.2 in 70 of 100 pixels"):
        calibrator.count(truth, 0)
    path = make_scene(
        np.round(drawn(5, (10, 10))[0] * 200).astype(np.uint8),
        "unscaled.tif",
        photometric="minisblack",
    )
    calibrator = Calibrator(str(path), Scene.open(path).grid, LEGEND, None)
    with pytest.raises(SceneError, match="must tell their scale"):
        calibrator.count(truth, 0)


def test_another_grid_and_too_few_bands_are_refused(make_scene):
    path = str(make_scene(drawn(6, (10, 10))[0], "p.tif"))
    with pytest.raises(SceneError, match="lies on another grid"):
        Calibrator(path, Scene.open(make_scene((1, 9, 10), "c.tif")).grid, LEGEND, None)
    few = str(make_scene(drawn(6, (10, 10))[0][:3], "few.tif"))
    with pytest.raises(SceneError, match=r"has 3 bands .* the legend 4 classes"):
        Calibrator(few, Scene.open(few).grid, LEGEND, None)


def test_rasters_are_found_by_name(tmp_path):
    for name in ("a.tif", "b.tif", "a_p.tif", "b_p.tif"):
        (tmp_path / name).touch()
    maps = ["maps/a.tif", "maps/b.tif"]
    assert find_probabilities(str(tmp_path), maps) == [str(tmp_path / f"{n}.tif") for n in "ab"]
    pattern = str(tmp_path / "{stem}_p.tif")
    assert find_probabilities(pattern, maps) == [str(tmp_path / f"{n}_p.tif") for n in "ab"]
    assert find_probabilities(str(tmp_path / "a.tif"), maps[:1]) == [str(tmp_path / "a.tif")]
    with pytest.raises(SceneError, match="is one file for 2 predictions"):
        find_probabilities(str(tmp_path / "a.tif"), maps)
    with pytest.raises(SceneError, match=r"c.tif: has no probabilities: .* does not exist"):
        find_probabilities(str(tmp_path), ["c.tif"])
