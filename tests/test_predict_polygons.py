"""Polygons of predictions: their confidence comes from the network, whatever else is written."""

import dataclasses

import geopandas
import numpy as np
import pytest
import rasterio
from linear_models import BANDS, softmax, write_bundle, write_scene
from stopped_runs import Stop

from geoseg.engine import parts, sink
from geoseg.errors import OutputError, WorkError
from geoseg.geo.cog import RasterWriter
from geoseg.geo.polygon_columns import PolygonColumns
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict
from geoseg.vectorize import VectorizeOptions, vectorize

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", window=64, stride=64)
WEIGHTS = np.array([[2, 0, 0, 1], [0, 2, 0, 0.5], [0, 0, 2, 0]]) / 100


@pytest.fixture
def data():
    """Patches of 10 pixels, so that there are polygons of some size."""
    patches = np.random.default_rng(3).integers(1, 200, (4, 30, 13)).astype(np.uint16)
    return np.kron(patches, np.ones((1, 10, 10), np.uint16))


@pytest.fixture
def scene(tmp_path, data):
    return write_scene(tmp_path / "scene.tif", data)


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(
        tmp_path / "model.safetensors", WEIGHTS, bands=BANDS, window=64, stride=64,
        scaling=Scaling(kind="divide", divisor=1),
    )  # fmt: skip


def read(path):
    return geopandas.read_file(path, layer="segments")


def test_confidence_needs_no_probability_raster(tmp_path, scene, data, bundle):
    options = dataclasses.replace(FP32, polygons=tmp_path / "p.gpkg", margin=True)
    predict(scene, bundle, tmp_path / "c.tif", options)
    scores = softmax(np.einsum("cb,bhw->chw", WEIGHTS, data.astype(float)))
    ordered = np.sort(scores, axis=0)
    frame = read(tmp_path / "p.gpkg")
    weights = frame["area_m2"].to_numpy()
    assert weights.sum() == data[0].size / 4
    steps = np.round(ordered / 0.005) * 0.005
    assert np.average(frame["mean_prob"], weights=weights) == pytest.approx(
        steps[-1].mean(), abs=1e-5
    )
    margins = (steps[-1] - steps[-2]).mean()
    assert np.average(frame["margin"], weights=weights) == pytest.approx(margins, abs=1e-5)
    assert (frame["scene"] == "scene.tif").all()
    assert {path.name for path in tmp_path.iterdir()} == {
        *("scene.tif", "model.safetensors", "p.gpkg", "c.tif", "c.tif.aux.xml", "c.qml")
    }


def test_it_is_that_of_a_probability_raster(tmp_path, scene, bundle):
    options = dataclasses.replace(
        FP32, polygons=tmp_path / "p.gpkg", probabilities=tmp_path / "prob.tif", margin=True
    )
    predict(scene, bundle, tmp_path / "c.tif", options)
    again = vectorize(
        tmp_path / "c.tif", tmp_path / "v.gpkg", VectorizeOptions(margin=True, scene="scene.tif"),
        probabilities=tmp_path / "prob.tif",
    )  # fmt: skip
    assert read(tmp_path / "p.gpkg").equals(read(again.path))
    alone = dataclasses.replace(FP32, polygons=tmp_path / "alone.gpkg", margin=True)
    predict(scene, bundle, tmp_path / "alone.tif", alone)
    assert read(tmp_path / "alone.gpkg").equals(read(again.path))


def test_an_excluded_class_counts_as_second(tmp_path, scene, data, bundle):
    options = dataclasses.replace(
        FP32, polygons=tmp_path / "p.gpkg", margin=True, exclude=("roof",)
    )
    predict(scene, bundle, tmp_path / "c.tif", options)
    frame = read(tmp_path / "p.gpkg")
    assert set(frame["class_name"]) == {"ground", "water"}
    scores = (
        np.round(softmax(np.einsum("cb,bhw->chw", WEIGHTS, data.astype(float))) / 0.005) * 0.005
    )
    own = scores[[0, 2]].max(0)
    second = np.maximum(scores[1], scores[[0, 2]].min(0))
    found = np.average(frame["margin"], weights=frame["area_m2"])
    assert found == pytest.approx((own - second).mean(), abs=1e-5)
    assert frame["margin"].min() < 0


@pytest.mark.parametrize("panels", [False, True])
def test_a_run_gone_on_with_gives_the_same_polygons(tmp_path, monkeypatch, scene, bundle, panels):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(sink, "BLOCK", 64)
    monkeypatch.setattr(parts, "BLOCK", 64)
    if panels:
        monkeypatch.setattr(parts, "panel_width", lambda *_: 64)
    options = dataclasses.replace(FP32, max_memory=1 if panels else None)
    # FlatGeobuf tells no time, so that the whole file is to be the same.
    predict(
        scene, bundle, tmp_path / "a.tif", dataclasses.replace(FP32, polygons=tmp_path / "a.fgb")
    )
    options = dataclasses.replace(options, polygons=tmp_path / "b.fgb")
    # While predicting, and while the polygons are made: of rows that are read back, or in the end.
    for rows in (130, 350 if panels else 50):
        with pytest.raises(KeyboardInterrupt):
            predict(scene, bundle, tmp_path / "b.tif", options, progress=Stop(rows, seconds=0))
        assert not list(tmp_path.glob("b.*"))
        assert list(tmp_path.glob(".geoseg-*"))
        options = dataclasses.replace(options, resume=True)
    predict(scene, bundle, tmp_path / "b.tif", options)
    assert (tmp_path / "a.fgb").read_bytes() == (tmp_path / "b.fgb").read_bytes()
    assert not list(tmp_path.glob(".geoseg-*"))


def test_polygons_are_made_meanwhile_and_nothing_is_read_back(tmp_path, monkeypatch, scene, bundle):
    def refuse(self, window):
        raise AssertionError("is read again")

    monkeypatch.setattr(RasterWriter, "read", refuse)
    options = dataclasses.replace(FP32, polygons=tmp_path / "p.gpkg", margin=True)
    predict(scene, bundle, tmp_path / "c.tif", options)
    assert len(read(tmp_path / "p.gpkg"))
    panels = dataclasses.replace(options, overwrite=True, max_memory=1 << 40)
    with pytest.raises(AssertionError, match="is read again"):  # memory is counted
        predict(scene, bundle, tmp_path / "c.tif", panels)


def test_polygons_that_cannot_be_written_end_the_run(tmp_path, monkeypatch, scene, bundle):
    monkeypatch.setattr(sink, "BLOCK", 64)
    monkeypatch.setattr(parts, "BLOCK", 64)
    rows = PolygonColumns.rows
    given = []

    def fail(self, batch):
        given.append(batch)
        raise WorkError(tmp_path / "p.gpkg", "no space left on device")

    monkeypatch.setattr(PolygonColumns, "rows", fail)
    before = {path.name for path in tmp_path.iterdir()}
    options = dataclasses.replace(FP32, polygons=tmp_path / "p.gpkg", resume=True)
    with pytest.raises(WorkError, match="no space left"):
        predict(scene, bundle, tmp_path / "c.tif", options)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert given
    monkeypatch.setattr(PolygonColumns, "rows", rows)
    predict(scene, bundle, tmp_path / "c.tif", options)
    assert (tmp_path / "p.gpkg").exists()


def test_rasters_that_are_finished_get_the_same_polygons(tmp_path, scene, bundle):
    predict(scene, bundle, tmp_path / "c.tif", FP32)
    made = (tmp_path / "c.tif").stat().st_mtime_ns
    options = dataclasses.replace(FP32, polygons=tmp_path / "late.gpkg", resume=True)
    predict(scene, bundle, tmp_path / "c.tif", options)
    assert (tmp_path / "c.tif").stat().st_mtime_ns == made
    options = dataclasses.replace(FP32, polygons=tmp_path / "at_once.gpkg", overwrite=True)
    predict(scene, bundle, tmp_path / "c.tif", options)
    assert read(tmp_path / "late.gpkg").equals(read(tmp_path / "at_once.gpkg"))
    assert not list(tmp_path.glob(".geoseg-*"))


def test_what_is_finished_is_left_alone(tmp_path, scene, bundle):
    options = dataclasses.replace(FP32, polygons=tmp_path / "p.gpkg")
    predict(scene, bundle, tmp_path / "c.tif", options)
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    resumed = dataclasses.replace(options, resume=True)
    (result,) = predict(scene, bundle, tmp_path / "c.tif", resumed)
    assert result.windows == 0
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made


def test_a_failed_run_leaves_no_polygons(tmp_path, monkeypatch, scene, bundle):
    def fail(self, finished):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RasterWriter, "_verify", fail)
    options = dataclasses.replace(FP32, polygons=tmp_path / "p.gpkg")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(Exception, match=r"(?i)no space left"):
        predict(scene, bundle, tmp_path / "c.tif", options)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_geojson_of_a_plain_image_is_refused_before_the_work(tmp_path, data, bundle):
    with rasterio.open(
        tmp_path / "plain.tif", "w", driver="GTiff", count=4, height=300, width=130, dtype="uint16"
    ) as dataset:
        dataset.write(data)
    options = dataclasses.replace(
        FP32,
        polygons=tmp_path / "p.geojson",
        scene=dataclasses.replace(FP32.scene, assume_crs="none"),
    )
    with pytest.raises(OutputError, match="have no CRS"):
        predict(tmp_path / "plain.tif", bundle, tmp_path / "c.tif", options)
    assert not (tmp_path / "c.tif").exists()
