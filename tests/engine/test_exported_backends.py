"""OpenVINO and ONNX Runtime give what PyTorch gives."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from exact_networks import (
    CPU,
    SAMPLES,
    agreement,
    by_torch,
    identity_bundle,
    kind,
    make_bundle,
    trained_bundle,
    windows,
)

from geoseg.engine import onnx_backend, openvino_backend
from geoseg.engine.backends import WindowKind
from geoseg.engine.layout import Layout
from geoseg.engine.onnx_backend import OnnxBackend, check_onnx
from geoseg.engine.openvino_backend import OpenVinoBackend
from geoseg.engine.pipeline import visible
from geoseg.engine.probe import spread_windows
from geoseg.engine.window_network import Units
from geoseg.errors import ConfigError, WorkError
from geoseg.geo.raster import Scene
from geoseg.geo.workers import processors
from geoseg.nn.models import SegmentationModel


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=["openvino", "onnx"])
def make(request):
    """Makes the backend of one of the run-times."""
    pytest.importorskip("openvino" if request.param == "openvino" else "onnxruntime")

    def make(bundle, kind, precision="fp32"):
        if request.param == "openvino":
            return OpenVinoBackend(bundle, kind, precision)
        return OnnxBackend(bundle, kind, CPU, precision, 2)

    return make


def test_scores_are_those_of_pytorch(make):
    bundle, (pixels, valid) = make_bundle(), windows()
    backend = make(bundle, kind())
    for mask in (valid, None):
        expected = by_torch(bundle, kind(), pixels, mask)
        assert (backend.scores(pixels, mask) - expected).abs().max() < 1e-4


def test_a_sigmoid_for_each_class_is_inside(make):
    bundle, (pixels, valid) = make_bundle("linear", "none", activation="sigmoid"), windows()
    logits = by_torch(make_bundle("linear", "none", activation="none"), kind(), pixels, valid)
    scores = make(bundle, kind()).scores(pixels, valid)
    assert (scores - 1 / (1 + torch.exp(-logits))).abs().max() < 1e-5
    assert (scores.sum(1) - 1).abs().max() > 0.1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_identity_returns_the_raw_values_of_every_tail(make, dtype):
    pixels, valid = windows(dtype)
    backend = make(identity_bundle(), kind(dtype))
    for count in (3, 1):
        scores = backend.scores(pixels[:count], valid[:count])
        expected = pixels[:count].float().where(valid[:count, None], torch.tensor(0.0))
        assert torch.equal(scores[:, :3], expected)
        assert torch.equal(backend.scores(pixels[:count], None)[:, :3], pixels[:count].float())


@pytest.mark.parametrize("side", [32, 96])
def test_windows_of_another_side_are_resized_as_by_pytorch(make, side):
    bundle, own = make_bundle("linear", "none"), kind(side=side)
    pixels, valid = windows(side=side)
    expected = by_torch(bundle, own, pixels, valid)
    assert (make(bundle, own).scores(pixels, valid) - expected).abs().max() < 1e-4


def test_nothing_is_left_behind(make, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = root.level, root.handlers[:], root.filters[:], root.manager.disable
    make(identity_bundle(), kind())
    assert (root.level, root.handlers, root.filters, root.manager.disable) == before
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert capfd.readouterr() == ("", "")


def test_onnxruntime_sends_no_reports(tmp_path):
    pytest.importorskip("onnxruntime")
    code = "from geoseg.engine.onnx_backend import _onnxruntime; _onnxruntime()"
    env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # its database, its number


def test_a_network_from_a_file_is_converted_once(make, monkeypatch):
    bundle, (pixels, valid) = replace(identity_bundle(), sha256="ab"), windows()
    first = make(bundle, kind()).scores(pixels, valid).clone()
    monkeypatch.setattr(openvino_backend, "_converted", None)
    monkeypatch.setattr(torch.onnx, "export", None)
    assert torch.equal(make(bundle, kind()).scores(pixels, valid), first)
    with pytest.raises(WorkError):  # another file
        make(replace(bundle, sha256="cd"), kind())


def test_openvino_takes_the_threads_of_pytorch():
    """Also where the network was compiled by a process that had others."""
    pytest.importorskip("openvino")
    bundle, before = replace(identity_bundle(), sha256="ab"), torch.get_num_threads()
    found = []
    try:
        for count in (2, 1):
            torch.set_num_threads(count)
            model = OpenVinoBackend(bundle, kind(), "fp32")._request.get_compiled_model()
            found.append(model.get_property("INFERENCE_NUM_THREADS"))
    finally:
        torch.set_num_threads(before)
    assert found == [min(2, processors()), 1]


def test_a_network_that_cannot_be_exported_is_told_in_one_line(make, monkeypatch):
    def forward(self, image):
        return torch.from_numpy(image.double().numpy()).unique()[: int(image.sum())].nope

    monkeypatch.setattr(SegmentationModel, "forward", forward)
    with pytest.raises(WorkError, match=r"cannot (convert|export) the network \(") as caught:
        make(make_bundle("linear", "none"), kind())
    assert "\n" not in str(caught.value)


def test_control_flow_that_depends_on_the_data_is_not_exported(monkeypatch):
    """Torch.export refuses it; a trace would keep the branch of the example."""

    def forward(self, image):
        return self.network(image) if image.mean() > 0 else -self.network(image)

    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(SegmentationModel, "forward", forward)
    with pytest.raises(WorkError, match="cannot export"):
        OnnxBackend(make_bundle("linear", "none"), kind(), CPU, "fp32", 1)


@pytest.mark.parametrize("module", onnx_backend._PARTS)
def test_onnx_not_installed_names_the_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"geoseg\[onnx\]"):
        check_onnx("fp32", CPU)


def test_onnx_for_a_gpu_needs_its_own_package():
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this one is for GPUs")
    with pytest.raises(ConfigError, match="onnxruntime-gpu"):
        check_onnx("fp32", torch.device("cuda"))


@pytest.mark.parametrize("precision", ["bf16", "fp16", "int8"])
def test_onnx_tells_what_it_does_not_compute_with(precision):
    with pytest.raises(ConfigError, match=f"no {precision} on this cpu"):
        check_onnx(precision, CPU)


@pytest.mark.parametrize("missing", ["openvino", "nncf"])
def test_openvino_not_installed_names_the_extra(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=r"geoseg\[openvino\]"):
        openvino_backend.check_openvino("int8")


def test_int8_of_a_trained_network_agrees_on_windows_it_was_not_calibrated_on(capfd):
    if find_spec("nncf") is None:  # the product is to be the first that imports it
        pytest.skip("nncf is not installed")
    bundle, scene = trained_bundle(), Scene.open(SAMPLES / "east.tif")
    calibration, others = spread_windows(
        scene, Layout.of(scene.grid.shape, 160, 80), visible, count=12, others=4
    )
    own = WindowKind(units=Units(nodata=0), dtype="uint16", side=160, size=160)
    level = logging.getLogger().level
    assert {handler.level for handler in logging.getLogger().handlers} == {logging.NOTSET}
    backend = OpenVinoBackend(bundle, own, "int8", calibration)
    scores = backend.scores(others.pixels, others.valid)
    expected = by_torch(bundle, own, others.pixels, others.valid)
    assert agreement(scores, expected) > 0.98
    assert (scores - expected).abs().max() > 1e-3  # it is quantised indeed
    assert capfd.readouterr().out == ""
    assert logging.getLogger().level == level
    assert {handler.level for handler in logging.getLogger().handlers} == {logging.NOTSET}
    assert logging.getLoggerClass() is logging.Logger  # the quantiser sets its own for everybody
