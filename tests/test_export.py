"""`export`, and `predict` with what it made; PyTorch on the same windows is the oracle."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import rasterio
import torch
from exact_networks import SAMPLES, SIZE, make_bundle, trained_bundle
from qgis_plugin import TYPES_OF_METADATA, Plugin
from rasterio.windows import Window

from geoseg.errors import BundleError, ConfigError, OutputError, WorkError
from geoseg.export import ExportOptions, export
from geoseg.info import describe
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict

DEMO = SAMPLES / "demo.safetensors"
FP32 = PredictOptions(backend="torch", precision="fp32", device="cpu")
PERCENTILE = Scaling(kind="percentile", low=(20.0,) * 3, high=(200.0,) * 3)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The network of the sample data in every format, and what was told of it."""
    folder = tmp_path_factory.mktemp("exported")
    names = {"onnx": "demo.onnx", "openvino": "demo.xml", "torch": "demo.pt2"}
    made = {
        kind: export(DEMO, folder / kind / name, ExportOptions(stac=True))
        for kind, name in names.items()
        if not (folder / kind).mkdir()
    }
    return made


@pytest.fixture
def scene(tmp_path):
    """A part of a sample scene with ground without data."""
    path = tmp_path / "part.tif"
    window = Window(600, 0, 424, 300)
    with rasterio.open(SAMPLES / "east.tif") as source:
        data = source.read(window=window)
        profile = {"crs": source.crs, "transform": source.window_transform(window), "nodata": 0}
        named = source.descriptions
    data[1, 50:60, 40:90] = 0  # nodata in one band alone
    shape = {"count": 4, "height": 300, "width": 424, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as target:
        target.write(data)
        target.descriptions = named
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


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


@pytest.mark.parametrize(("kind", "backend"), [("onnx", "auto"), ("onnx", "openvino"), ("openvino", "auto")])  # fmt: skip
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
    result = predict(scene, [DEMO, exported["onnx"].path], tmp_path / "both.tif", FP32_OR_OWN)[0]
    predict(scene, DEMO, tmp_path / "one.tif", FP32)
    assert (read(tmp_path / "both.tif") == read(tmp_path / "one.tif")).mean() >= 0.999
    assert "onnx" in result.runtime
    assert "torch" in result.runtime


FP32_OR_OWN = PredictOptions(precision="fp32", device="cpu")


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
    "make",
    [
        lambda: make_bundle("linear", "none", activation="sigmoid"),
        lambda: make_bundle("linear", "none", PERCENTILE),
        lambda: make_bundle("linear", "none", Scaling(kind="divide", divisor=255.0)),
        lambda: make_bundle("linear", "none", Scaling()),
    ],
    ids=["sigmoid", "percentile", "divide", "none"],
)
@pytest.mark.parametrize("profile", ["deepness", "raw"])
def test_scaling_and_activation_are_inside(tmp_path, make, profile):
    bundle = make().save(tmp_path / "model.safetensors")
    options = ExportOptions(profile=profile, window=32)
    export(bundle.path, tmp_path / "model.onnx", options)
    session = Plugin.__new__(Plugin)
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
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
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == module else found(name)
    )
    with pytest.raises(ConfigError, match=rf"{module}, .*geoseg\[onnx\]"):
        export(DEMO, tmp_path / "a.onnx")


def test_a_folder_gets_the_name_of_the_bundle(tmp_path):
    make_bundle("linear", "none").save(tmp_path / "roofs.safetensors")
    made = export(tmp_path / "roofs.safetensors", tmp_path / "out")
    assert made.path == tmp_path / "out" / "roofs.onnx"
    assert made.window == SIZE
