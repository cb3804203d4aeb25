"""`predict` where there is little memory: what does not fit, and how much it takes."""

import dataclasses
import logging

import numpy as np
import pytest
import rasterio
from linear_models import BANDS, write_bundle, write_scene
from memory_runs import smooth_scene, thirds, told

from geoseg.errors import WorkError
from geoseg.nn.models import SegmentationModel
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A scene of 40 windows, a bundle, and the bytes that it gives."""
    folder = tmp_path_factory.mktemp("material")
    data = np.random.default_rng(0).integers(1, 3000, (4, 100, 160)).astype(np.uint16)
    scene = write_scene(folder / "scene.tif", data)
    weights = np.random.default_rng(1).normal(size=(3, 4)) / 1000
    card = {"bands": BANDS, "window": 32, "stride": 20, "scaling": Scaling()}
    bundle = write_bundle(folder / "m.safetensors", weights, **card)
    return scene, bundle, pixels(predict(scene, bundle, folder / "whole.tif", FP32)[0])


def pixels(result):
    with rasterio.open(result.classes) as made:
        return made.read()


def allow(monkeypatch, most):
    """Memory for so many windows at once; the sizes that were tried."""
    tried, forward = [], SegmentationModel.forward

    def limited(self, x):
        tried.append(len(x))
        if len(x) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return forward(self, x)

    monkeypatch.setattr(SegmentationModel, "forward", limited)
    return tried


@pytest.mark.parametrize("most", [1, 3])
def test_batches_that_do_not_fit_are_halved_and_the_map_is_the_same(
    tmp_path, monkeypatch, caplog, material, most
):
    scene, bundle, expected = material
    tried = allow(monkeypatch, most)
    with caplog.at_level(logging.WARNING, "geoseg"):
        (result,) = predict(
            scene, bundle, tmp_path / "made.tif", dataclasses.replace(FP32, batch_size=8)
        )
    assert np.array_equal(pixels(result), expected)
    refused = [size for size in (8, 4, 2) if size > most]
    assert [size for size in tried if size > most] == refused
    assert [record.getMessage().partition("going on with ")[2] for record in caplog.records] == [
        f"{size // 2} windows at once" for size in refused
    ]


@pytest.mark.parametrize("mode", ["stride", "resize"])
def test_no_memory_for_one_window_is_one_line_with_a_cure(tmp_path, monkeypatch, material, mode):
    scene, bundle, _ = material
    allow(monkeypatch, 0)
    with pytest.raises(WorkError) as caught:
        predict(scene, bundle, tmp_path / "made.tif", dataclasses.replace(FP32, mode=mode))
    assert str(caught.value) == (
        f"{scene}: cpu has no memory for one window. Give a smaller --window, or --max-memory."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A scene so wide that what grows with the width weighs as much as libraries do."""
    folder = tmp_path_factory.mktemp("wide")
    return smooth_scene(folder / "wide.tif", 16_000, 1024), thirds(folder / "m.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"polygons": "polygons.fgb"}], ids=["classes", "polygons"])
def test_what_is_estimated_is_near_what_is_taken(tmp_path, wide, more):
    scene, bundle = wide
    options = {"backend": "torch", **{key: str(tmp_path / name) for key, name in more.items()}}
    places = scene, tmp_path / "classes.tif", bundle
    estimated, taken = told("estimate", options, *places), told("predict", options, *places)
    assert estimated["memory"] == pytest.approx(taken["peak"], rel=0.25)


@pytest.mark.slow
def test_the_ceiling_is_kept_by_panels(tmp_path, wide):
    scene, bundle = wide
    options = {"backend": "torch", "probabilities": str(tmp_path / "p.tif")}
    places = scene, tmp_path / "classes.tif", bundle
    whole = told("estimate", options, *places)
    ceiling = whole["memory"] - (200 << 20)
    options["max_memory"] = ceiling
    estimated, taken = told("estimate", options, *places), told("predict", options, *places)
    assert estimated["panels"] > 1
    assert estimated["memory"] <= ceiling
    assert taken["peak"] <= ceiling
