"""Run-times agree with PyTorch in fp32, and `auto` takes none that does not."""

import logging
import sys
import time
import weakref
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from exact_networks import (
    CPU,
    SAMPLES,
    SIZE,
    UNITS,
    by_torch,
    identity_bundle,
    kind,
    make_bundle,
    trained_bundle,
    windows,
)

from geoseg.engine import choose as choose_module
from geoseg.engine.backends import CompiledBackend, TorchBackend
from geoseg.engine.choose import BackendChooser
from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import visible
from geoseg.engine.runtimes import Job, check_runtime
from geoseg.errors import ConfigError, WorkError
from geoseg.geo.raster import Scene
from geoseg.nn.device import has_bf16
from geoseg.nn.models import SegmentationModel


def make_scene(path, dtype="uint8", height=200):
    data = np.random.default_rng(0).integers(1, 255, (3, height, 150)).astype(dtype)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=height, width=150, dtype=dtype, nodata=0,
        crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(data)
    return Scene.open(path)


def job_of(scene, window=SIZE, stride=SIZE // 2):
    layout = Layout.of(scene.grid.shape, window, stride)
    return Job(scene=scene, units=UNITS, layout=layout, hide=visible)


def choose(bundle, scene, **options):
    chooser = BackendChooser(bundle, device="cpu", **options)
    return chooser.choose(job_of(scene))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path / "scene.tif")


def test_few_windows_run_in_fp32_without_a_comparison(tmp_path):
    scene = make_scene(tmp_path / "scene.tif", height=60)
    assert str(choose(make_bundle("linear", "none"), scene)) == "torch cpu fp32"


def test_auto_tells_how_far_it_agrees(tmp_path):
    """Scores that are the scene's own bytes, which bf16 holds exactly."""
    scene = make_scene(tmp_path / "scene.tif")
    bundle = identity_bundle()
    choice = choose(bundle, scene)
    assert choice.agreement == 1.0
    assert str(choice).endswith("as fp32")


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16")
def test_numbers_that_change_the_map_are_not_taken(tmp_path, caplog):
    """Logits that differ by less than bf16 can tell."""
    bundle = make_bundle("linear", "none")
    weight = bundle.state["network.weight"]
    weight[:] = weight[:1] + 1e-3 * torch.randn(weight.shape, generator=torch.manual_seed(0))
    bundle.state["network.bias"].zero_()
    choice = choose(bundle, make_scene(tmp_path / "scene.tif"))
    assert choice.precision == "fp32"
    assert "not taken" in caplog.text


def test_scene_without_data_needs_no_comparison(tmp_path):
    path = tmp_path / "scene.tif"
    make_scene(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.zeros((3, 200, 150), np.uint8))
    choice = choose(make_bundle("linear", "none"), Scene.open(path))
    assert choice.agreement is None


def test_a_run_time_that_is_not_installed_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    scene = make_scene(tmp_path / "scene.tif")
    with pytest.raises(ConfigError, match=r"geoseg\[openvino\]"):
        choose(make_bundle("linear", "none"), scene, backend="openvino")


@pytest.mark.parametrize("name", ["torch", "compile", "onnx"])
def test_int8_is_of_openvino_alone(name):
    with pytest.raises(ConfigError, match=f"{name} has no int8.*openvino"):
        BackendChooser(identity_bundle(), backend=name, precision="int8")


def test_int8_tells_how_far_it_agrees_and_warns(caplog):
    """Scores of random numbers have many near-ties, which 8 bits cannot tell apart."""
    if find_spec("nncf") is None:  # the product is to be the first that imports it
        pytest.skip("nncf is not installed")
    bundle, scene = trained_bundle(), Scene.open(SAMPLES / "west.tif")
    torch.manual_seed(0)
    for name, tensor in bundle.state.items():
        if name.endswith("weight") and tensor.ndim == 4:
            tensor.add_(0.5 * tensor.std() * torch.randn(tensor.shape))
    chooser = BackendChooser(bundle, precision="int8", device="cpu")
    choice = chooser.choose(job_of(scene, 160, 160))
    assert (choice.name, choice.precision) == ("openvino", "int8")
    assert logging.getLoggerClass() is logging.Logger  # the quantiser sets its own for everybody
    assert 0.3 < choice.agreement < 0.995
    assert "taken, as you asked for it" in caplog.text


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_a_network_that_cannot_be_exported_runs_by_torch(scene, monkeypatch, caplog, name):
    def only_by_torch(self, image):
        return self.network(image + 0 * torch.special.bessel_j0(image))

    monkeypatch.setattr(SegmentationModel, "forward", only_by_torch)
    choice = choose(identity_bundle(), scene, backend=name, precision="fp32")
    assert str(choice) == "torch cpu fp32"
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert f"{name} is not taken: cannot" in warnings[0].getMessage()
    pixels, valid = windows(count=1)
    assert torch.equal(
        choice.backend.scores(pixels, valid), by_torch(identity_bundle(), kind(), pixels, valid)
    )


def test_a_network_that_cannot_be_compiled_runs_by_torch(scene, monkeypatch, caplog):
    torch._dynamo.reset()
    with torch._inductor.config.patch({"cpp.cxx": ("/no/such/compiler",)}):
        choice = choose(identity_bundle(), scene, backend="compile", precision="fp32")
    assert str(choice) == "torch cpu fp32"
    assert "compile is not taken: torch.compile failed (" in caplog.text


def test_a_trace_that_took_the_wrong_branch_is_not_taken(scene, monkeypatch, caplog):
    """A trace keeps the branch of its example, whose values are all 1."""
    pytest.importorskip("openvino")

    def forward(self, image):
        logits = self.network(image)
        return -logits if image.mean() > 1 else logits

    monkeypatch.setattr(SegmentationModel, "forward", forward)
    choice = choose(identity_bundle(), scene, backend="openvino", precision="fp32")
    assert str(choice) == "torch cpu fp32"
    assert "openvino fp32 gives the class of fp32 for" in caplog.text


def test_networks_not_taken_are_dropped(scene, monkeypatch):
    made = []
    build = TorchBackend.__init__
    monkeypatch.setattr(
        TorchBackend,
        "__init__",
        lambda self, *args, **more: (made.append(weakref.ref(self)), build(self, *args, **more))[1],
    )
    choice = choose(make_bundle(), scene, precision="bf16" if has_bf16(CPU) else "fp32")
    assert [ref() for ref in made if ref() is not None] == [choice.backend]


def test_a_run_time_serves_the_next_scene_too(scene):
    chooser = BackendChooser(identity_bundle(), device="cpu", precision="fp32")
    first = chooser.choose(job_of(scene))
    assert chooser.choose(job_of(scene)).backend is first.backend


def test_measuring_tells_the_seconds_of_a_window(scene):
    class Slow:
        device, classes = CPU, 4

        def scores(self, pixels, valid):
            assert pixels.shape == (2, 3, SIZE, SIZE)
            time.sleep(0.1)
            return torch.zeros(2, 4, SIZE, SIZE)

    chooser = BackendChooser(identity_bundle(), device="cpu", precision="fp32")
    choice = chooser.choose(job_of(scene))
    assert choice.window_seconds is None
    slow = replace(choice, backend=Slow())
    measured = chooser.measure(slow, job_of(scene))
    assert measured.window_seconds == pytest.approx(0.05, rel=0.2)


def test_restored_is_the_same_run_time(scene):
    chooser = BackendChooser(identity_bundle(), device="cpu")
    choice = chooser.restore("torch", "fp32", 3, job_of(scene))
    assert (choice.name, choice.precision, choice.batch_size) == ("torch", "fp32", 3)
    assert choice.agreement is None
    pixels, _ = windows()
    assert torch.equal(choice.backend.scores(pixels, None)[:, :3], pixels.float())


def test_restoring_what_is_not_installed_names_its_extra(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    chooser = BackendChooser(identity_bundle(), device="cpu")
    with pytest.raises(ConfigError, match=r"geoseg\[openvino\]"):
        chooser.restore("openvino", "fp32", 2, job_of(scene))


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_windows_of_another_side_run_by_the_same_run_time(scene, name):
    pytest.importorskip("openvino")
    bundle = make_bundle("linear", "none")
    chooser = BackendChooser(bundle, device="cpu", backend=name, precision="fp32")
    choice = chooser.choose(job_of(scene))
    assert chooser.at_side(choice, SIZE, job_of(scene)) is choice.backend
    backend = chooser.at_side(choice, 96, job_of(scene))
    pixels, valid = windows(side=96)
    expected = by_torch(bundle, kind(side=96), pixels, valid)
    assert (backend.scores(pixels, valid) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        pytest.param({1: 1.0, 2: 1.9, 4: 3.0}, 4, id="grows"),
        pytest.param({1: 1.0, 2: 1.99, 4: 1.0}, 1, id="first-is-best"),
        pytest.param({1: 1.0, 2: 1.8, 4: 3.5}, 2, id="too-little-gain"),
    ],
)
def test_batch_is_enlarged_while_windows_get_cheaper(scene, monkeypatch, costs, expected):
    """Seconds that each size of a batch takes, in place of the clock."""
    monkeypatch.setattr(
        choose_module,
        "seconds_per_window",
        lambda backend, probe, calls: costs[len(probe.pixels)] / len(probe.pixels),
    )
    assert (
        choose(identity_bundle(), scene, precision="fp32", batch_size="auto").batch_size == expected
    )


def test_batch_is_not_enlarged_beyond_the_memory(scene, monkeypatch):
    scores = TorchBackend.scores

    def small(self, pixels, valid):
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("no memory")
        return scores(self, pixels, valid)

    monkeypatch.setattr(TorchBackend, "scores", small)
    monkeypatch.setattr(
        choose_module, "seconds_per_window", lambda _, probe, calls: 1 / len(probe.pixels)
    )
    assert choose(identity_bundle(), scene, precision="fp32", batch_size="auto").batch_size == 2


def test_openvino_needs_the_processor():
    with pytest.raises(ConfigError, match="runs on the processor"):
        check_runtime("openvino", torch.device("cuda", 0), "fp32")


def test_compiled_is_restored_and_refused_before_the_run(scene, monkeypatch):
    def fails(self, pixels, valid):
        raise WorkError("--backend compile", "torch.compile failed (no compiler)", "Choose torch")

    monkeypatch.setattr(CompiledBackend, "scores", fails)
    chooser = BackendChooser(identity_bundle(), device="cpu")
    with pytest.raises(ConfigError, match="no compiler"):
        chooser.restore("compile", "fp32", 2, job_of(scene))
