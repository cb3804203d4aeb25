"""`predict` with exported models gives the map of their bundle by PyTorch in fp32."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from exported_demo import DEMO, export_demo, write_part
from qgis_plugin import Plugin

from geoseg.errors import ConfigError
from geoseg.export import ExportOptions, export
from geoseg.info import describe
from geoseg.predict import PredictOptions, predict

FP32 = PredictOptions(backend="torch", precision="fp32", device="cpu")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_demo(tmp_path_factory.mktemp("exported"), "onnx", "openvino")


@pytest.fixture
def scene(tmp_path):
    return write_part(tmp_path / "part.tif")


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize(
    ("kind", "backend"), [("onnx", "auto"), ("onnx", "openvino"), ("openvino", "auto")]
)
def test_the_map_of_the_file_alone_is_that_of_the_bundle(exported, scene, tmp_path, kind, backend):
    expected = predict(scene, DEMO, tmp_path / "bundle.tif", FP32)[0]
    options = PredictOptions(backend=backend, probabilities=tmp_path / "p.tif")
    found = predict(scene, exported[kind].path, tmp_path / "export.tif", options)[0]
    bundle, graph = read(tmp_path / "bundle.tif"), read(tmp_path / "export.tif")
    assert (bundle == graph).mean() >= 0.999
    assert ((bundle == 255) == (graph == 255)).all()
    assert len(np.unique(bundle)) > 3
    runtime = "onnx" if (kind, backend) == ("onnx", "auto") else "openvino"
    assert found.runtime.startswith(f"{runtime} cpu fp32")
    assert (found.windows, found.skipped) == (expected.windows, expected.skipped)
    with rasterio.open(tmp_path / "export.tif") as dataset:
        assert dataset.colormap(1)[1] == (207, 74, 74, 255)  # the legend is that of the card


def test_probabilities_symmetries_and_scales_are_those_of_the_bundle(exported, scene, tmp_path):
    many = {"tta": "flip", "scales": (0.8, 1.0), "prob_dtype": "float32"}
    for name, model, options in (
        ("a", DEMO, FP32),
        ("b", exported["onnx"].path, PredictOptions()),
    ):
        options = replace(options, **many, probabilities=tmp_path / f"p{name}.tif")
        predict(scene, model, tmp_path / f"{name}.tif", options)
    first, second = read(tmp_path / "pa.tif"), read(tmp_path / "pb.tif")
    assert np.nanmax(np.abs(first - second)) < 1e-4


def test_a_bundle_and_an_exported_model_work_together(exported, scene, tmp_path):
    result = predict(
        scene,
        [DEMO, exported["onnx"].path],
        tmp_path / "both.tif",
        PredictOptions(precision="fp32", device="cpu"),
    )[0]
    predict(scene, DEMO, tmp_path / "one.tif", FP32)
    assert (read(tmp_path / "both.tif") == read(tmp_path / "one.tif")).mean() >= 0.999
    assert "onnx" in result.runtime
    assert "torch" in result.runtime


def test_resume_and_resize_work_with_exported_models(exported, scene, tmp_path):
    model = exported["onnx"].path
    predict(scene, model, tmp_path / "a.tif")
    before = (tmp_path / "a.tif").read_bytes()
    predict(scene, model, tmp_path / "a.tif", PredictOptions(resume=True))
    assert (tmp_path / "a.tif").read_bytes() == before
    small = PredictOptions(mode="resize")
    predict(scene, model, tmp_path / "b.tif", small)
    predict(scene, DEMO, tmp_path / "c.tif", replace(FP32, mode="resize"))
    assert (read(tmp_path / "b.tif") == read(tmp_path / "c.tif")).mean() >= 0.999


def test_another_window_is_in_the_graph_and_on_the_card(tmp_path, scene):
    made = export(DEMO, tmp_path / "w.onnx", ExportOptions(window=96, check=str(scene)))
    assert made.window == 96
    card = describe(made.path)
    assert (card["kind"], card["window"], card["stride"]) == ("export", 96, 48)
    assert Plugin(made.path).side == 96
    predict(scene, made.path, tmp_path / "a.tif")
    predict(scene, DEMO, tmp_path / "b.tif", replace(FP32, window=96))
    assert (read(tmp_path / "a.tif") == read(tmp_path / "b.tif")).mean() >= 0.999
    with pytest.raises(ConfigError, match="exported for windows of 96"):
        predict(scene, made.path, tmp_path / "c.tif", PredictOptions(window=160))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "torch"}, "torch cannot run"),
        ({"backend": "compile"}, "Give onnx or openvino"),
        ({"precision": "bf16"}, "onnx has no bf16"),
        ({"precision": "int8", "backend": "openvino"}, "openvino has no int8"),
    ],
)
def test_what_an_exported_model_cannot_do(exported, scene, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        predict(scene, exported["onnx"].path, tmp_path / "a.tif", PredictOptions(**options))


def test_onnx_runtime_does_not_read_the_files_of_openvino(exported, scene, tmp_path):
    options = PredictOptions(backend="onnx")
    with pytest.raises(ConfigError, match="Give openvino"):
        predict(scene, exported["openvino"].path, tmp_path / "a.tif", options)


def test_a_scene_is_compared_with_what_an_exported_model_was_trained_on(exported, scene):
    shifts = [describe(scene, model)["shift"] for model in (DEMO, exported["onnx"].path)]
    assert shifts[0] == shifts[1]
    assert len(shifts[0]) == 4
