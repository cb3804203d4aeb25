"""`export` writes what QGIS plugins, other run-times and geoseg read; numpy is the oracle."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
import torch
from exact_networks import SAMPLES, SIZE, make_bundle, trained_bundle
from exported_demo import DEMO, export_demo, write_part
from qgis_plugin import TYPES_OF_METADATA, Plugin
from rasterio.windows import Window

from geoseg.errors import BundleError, ConfigError, OutputError, WorkError
from geoseg.export import ExportOptions, export
from geoseg.info import describe
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.scaling import Scaling
from geoseg.predict import predict

PERCENTILE = Scaling(kind="percentile", low=(20.0,) * 3, high=(200.0,) * 3)
DIVIDE = Scaling(kind="divide", divisor=255.0)

pytestmark = pytest.mark.slow  # torch.onnx and the run-times alone take seconds to load


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_demo(tmp_path_factory.mktemp("exported"), "onnx", "openvino", "torch")


@pytest.fixture
def scene(tmp_path):
    return write_part(tmp_path / "part.tif")


@pytest.mark.parametrize(
    ("kind", "runtimes"),
    [
        ("onnx", {"onnx", "openvino"}),
        ("openvino", {"openvino"}),
        ("torch", {"torch.export"}),
    ],
)
def test_each_format_agrees_with_pytorch(exported, kind, runtimes):
    made = exported[kind]
    assert made.format == kind
    assert set(made.agreement) == runtimes
    assert min(made.agreement.values()) >= 0.999
    assert made.windows == 4
    assert all(path.is_file() for path in made.files)
    names = {path.name for path in made.path.parent.iterdir()}
    assert names == {path.name for path in made.files}


def test_the_file_is_what_the_plugins_read(exported):
    made = exported["onnx"]
    model = onnx.load(made.path, load_external_data=False)
    assert model.ir_version == 8
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    (taken,), (given,) = model.graph.input, model.graph.output
    for value, channels in ((taken, 4), (given, 5)):
        batch, *lengths = value.type.tensor_type.shape.dim
        assert batch.dim_param
        assert [length.dim_value for length in lengths] == [channels, 160, 160]
    plugin = Plugin(made.path)
    assert set(plugin.keys) == set(TYPES_OF_METADATA)
    for key, kind in TYPES_OF_METADATA.items():
        assert isinstance(plugin.keys[key], kind)
    assert plugin.keys["model_type"] == "Segmentor"
    names = ["background", "building", "road", "trees", "water"]
    assert plugin.keys["class_names"] == {str(place): name for place, name in enumerate(names)}
    assert (plugin.keys["resolution"], plugin.keys["tiles_overlap"]) == (50, 50)
    assert (plugin.keys["seg_thresh"], plugin.keys["seg_small_segment"]) == (0, 0)


def test_a_plugin_draws_the_map_of_pytorch(exported):
    """The plugin's own windows, so that nothing but the network and its feeding is compared."""
    plugin = Plugin(exported["onnx"].path)
    with rasterio.open(SAMPLES / "west.tif") as dataset:
        image = dataset.read(window=Window(200, 300, 330, 250))
    bundle = trained_bundle()
    network = bundle.build()

    def by_pytorch(block):
        raw = torch.from_numpy(block.astype("float32"))
        with torch.no_grad():
            return network(bundle.card.scaling.apply(raw)).argmax(1).numpy().astype("uint8")

    found = plugin.map(image)
    plugin.run = by_pytorch
    expected = plugin.map(image)
    assert (found == expected).mean() >= 0.999
    assert len(np.unique(expected)) >= 4


@pytest.mark.parametrize(
    ("make", "profile"),
    [
        (lambda: make_bundle("linear", "none", activation="sigmoid"), "deepness"),
        (lambda: make_bundle("linear", "none", PERCENTILE), "deepness"),
        (lambda: make_bundle("linear", "none", PERCENTILE), "raw"),
        (lambda: make_bundle("linear", "none", DIVIDE), "deepness"),
        (lambda: make_bundle("linear", "none", Scaling()), "raw"),
    ],
    ids=["sigmoid", "percentile", "raw percentile", "divide", "none"],
)
def test_scaling_and_activation_are_inside(tmp_path, make, profile):
    bundle = make().save(tmp_path / "model.safetensors")
    options = ExportOptions(profile=profile, window=32)
    export(bundle.path, tmp_path / "model.onnx", options)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=providers)
    raw = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32)).astype("float32")
    fed = raw / np.float32(255) if profile == "deepness" else raw
    (found,) = session.run(None, {"input": fed})
    weight = bundle.state["network.weight"].double().numpy()[:, :, 0, 0]
    bias = bundle.state["network.bias"].double().numpy()
    logits = np.einsum("cb,nbhw->nchw", weight, by_hand(bundle.card.scaling, raw))
    logits += bias[:, None, None]
    if bundle.card.activation == "sigmoid":
        expected = 1 / (1 + np.exp(-logits))
    else:
        powers = np.exp(logits - logits.max(1, keepdims=True))
        expected = powers / powers.sum(1, keepdims=True)
    assert np.abs(found - expected).max() < 1e-4


def by_hand(scaling, raw):
    raw = raw.astype("float64")
    match scaling.kind:
        case "none":
            return raw
        case "divide":
            return raw / scaling.divisor
        case "standardize":
            return (raw - scaling.mean[0]) / scaling.std[0]
        case "percentile":
            return ((raw - scaling.low[0]) / (scaling.high[0] - scaling.low[0])).clip(0, 1)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_info_shows_the_card(exported, kind):
    told = describe(exported[kind].path)
    card = describe(DEMO)
    assert told["format"] == kind
    assert told["input_divisor"] == (255 if kind == "onnx" else 1)
    for key in ("spec", "legend", "bands", "scaling", "stats", "window", "stride", "resolution"):
        assert told[key] == card[key]


def test_a_program_is_written_but_never_read(exported, scene, tmp_path):
    path = exported["torch"].path
    with pytest.raises(BundleError, match="could run code"):
        predict(scene, path, tmp_path / "a.tif")
    with pytest.raises(BundleError, match="could run code"):
        describe(path)


def test_the_program_runs_with_pytorch_alone(exported):
    files = {"geoseg": ""}
    program = torch.export.load(exported["torch"].path, extra_files=files)
    assert json.loads(files["geoseg"])["bands"] == ["red", "green", "blue", "nir"]
    bundle, raw = trained_bundle(), torch.rand(3, 4, 160, 160) * 1000
    with torch.no_grad():
        expected = bundle.build()(bundle.card.scaling.apply(raw)).softmax(1)
        found = program.module()(raw)
    assert (found - expected).abs().max() < 1e-4


def test_a_graph_that_gives_other_classes_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "geoseg.engine.graph_writer.activate", lambda logits, _: (-logits).softmax(1)
    )
    with pytest.raises(WorkError, match=r"onnx gives the class of PyTorch for [\d.]+% "):
        export(DEMO, tmp_path / "bad.onnx", ExportOptions(stac=True))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_openvino_reads_otherwise_is_warned_of(tmp_path, monkeypatch, caplog):
    job = sys.modules["geoseg.export"]  # the face offers the function of this name
    monkeypatch.setattr(job, "agreement", lambda *given: next(shares))
    shares = iter([1.0, 0.99])
    made = export(DEMO, tmp_path / "a.onnx")
    assert made.agreement == {"onnx": 1.0, "openvino": 0.99}
    assert "99.00% of the pixels only: run this file by ONNX Runtime" in caplog.text
    shares = iter([0.99])
    with pytest.raises(WorkError, match="openvino gives the class"):
        export(DEMO, tmp_path / "a.xml")


def test_outputs_are_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(ModelBundle, "open", None)
    (tmp_path / "old.onnx").touch()
    (tmp_path / "new.json").touch()
    for name, options in (("old.onnx", ExportOptions()), ("new.onnx", ExportOptions(stac=True))):
        with pytest.raises(OutputError, match="already exists"):
            export(DEMO, tmp_path / name, options)
    with pytest.raises(OutputError, match="does not exist"):
        export(DEMO, tmp_path / "none" / "a.onnx")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.tif", {}, "suffix of another format"),
        ("a.onnx", {"format": "torch"}, "suffix of another format"),
        ("a.onnx", {"opset": 17}, "not within 18 to"),
        ("a.onnx", {"window": 0}, "below 1"),
    ],
)
def test_options_that_make_no_sense(tmp_path, name, options, message):
    with pytest.raises(ConfigError, match=message):
        export(DEMO, tmp_path / name, ExportOptions(**options))


def test_an_exported_model_is_not_exported_again(exported, tmp_path):
    with pytest.raises(BundleError, match="exported already"):
        export(exported["onnx"].path, tmp_path / "a.onnx")


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_tools_that_are_missing_are_named(tmp_path, monkeypatch, module):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == module else find_spec(name)
    )
    with pytest.raises(ConfigError, match=rf"{module}, .*geoseg\[onnx\]"):
        export(DEMO, tmp_path / "a.onnx")


def test_a_folder_gets_the_name_of_the_bundle(tmp_path):
    make_bundle("linear", "none").save(tmp_path / "roofs.safetensors")
    made = export(tmp_path / "roofs.safetensors", tmp_path / "out")
    assert made.path == tmp_path / "out" / "roofs.onnx"
    assert made.window == SIZE
