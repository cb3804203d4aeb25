"""ONNX files of strangers are refused in one line; those of ours are read whole."""

import json

import numpy as np
import onnx
import pytest
from exported_card import CARD
from onnx import TensorProto, helper, numpy_helper

from geoseg.errors import BundleError, ConfigError
from geoseg.nn import onnx_file
from geoseg.nn.bundle import METADATA_KEY
from geoseg.nn.exported_model import EXPORT_KEY, ExportNote
from geoseg.nn.onnx_file import graph_digest, open_onnx, weights_digest, with_metadata
from geoseg.nn.open_model import open_model

WEIGHT = np.arange(6, dtype="float32").reshape(2, 3, 1, 1)


def graph(*, shape=(3, 8, 8), classes=2, nodes=None, constants=None):
    """A 1x1 convolution, or what takes its place."""
    nodes = nodes or [helper.make_node("Conv", ["input", "w"], ["output"])]
    constants = constants or [numpy_helper.from_array(WEIGHT, "w")]
    value = helper.make_tensor_value_info
    taken = value("input", TensorProto.FLOAT, ["batch", *shape])
    given = value("output", TensorProto.FLOAT, ["batch", classes, *shape[1:]])
    made = helper.make_graph(nodes, "g", [taken], [given], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def entries(model, card=CARD, **changes):
    note = ExportNote(divisor=255.0, weights=weights_digest(model))
    made = {METADATA_KEY: card.model_dump_json(), EXPORT_KEY: note.model_dump_json()}
    return {key: text for key, text in (made | changes).items() if text is not None}


def note_of(model):
    """As it is written now."""
    note = ExportNote(divisor=255.0, weights=weights_digest(model), graph=graph_digest(model))
    return note.model_dump_json()


@pytest.fixture
def write(tmp_path):
    def write(model, **changes):
        path = tmp_path / "model.onnx"
        path.write_bytes(with_metadata(model, entries(model, **changes)))
        return str(path)

    return write


def refused(path, message):
    with pytest.raises(BundleError, match=message) as caught:
        open_onnx(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_was_written_is_read(write):
    path = write(graph())
    model = open_model(path)
    assert (model.card, model.divisor, model.format) == (CARD, 255.0, "onnx")
    assert len(model.sha256) == 64
    assert list(model.legend.names) == ["c0", "c1"]
    inner = model.inner.card
    assert (inner.scaling.kind, inner.scaling.divisor) == ("divide", 255.0)
    assert inner.scaling.mean == (9.0, 9.0, 9.0)
    assert inner.activation == "none"
    for act in (model.build, lambda: model.save("x.safetensors")):
        with pytest.raises(BundleError, match="is an exported model"):
            act()


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_cut(write, tmp_path, share):
    content = (tmp_path / write(graph())).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(len(content) * share)])
    refused(str(tmp_path / "cut.onnx"), "cut.onnx: ")


def test_no_onnx_at_all(tmp_path):
    for name, content in (("text", b"hello" * 99), ("zip", b"PK\x03\x04" + bytes(99))):
        (tmp_path / name).write_bytes(content)
        refused(str(tmp_path / name), "no ONNX file|no card")
    refused(str(tmp_path), "is no file")
    refused(str(tmp_path / "none.onnx"), "no such file")


def test_too_large(write, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 100)
    refused(write(graph()), "more than 100")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({METADATA_KEY: None}, "holds no card"),
        ({EXPORT_KEY: None}, "holds no card"),
        ({METADATA_KEY: "{"}, "card is no JSON"),
        ({METADATA_KEY: "[" * 99999}, "card is no JSON"),
        ({METADATA_KEY: '{"format_version": 99}'}, "format version 99"),
        ({METADATA_KEY: '{"format_version": 1}'}, "card is wrong: spec"),
        ({EXPORT_KEY: "{"}, "note of the export is wrong"),
        ({EXPORT_KEY: '{"divisor": 0, "weights": ""}'}, "note of the export is wrong: divisor"),
        ({EXPORT_KEY: '{"divisor": "nan", "weights": ""}'}, "wrong: divisor"),
        ({EXPORT_KEY: json.dumps({"divisor": 255, "weights": "0" * 64})}, "checksum"),
    ],
)
def test_broken_metadata(write, changes, message):
    refused(write(graph(), **changes), message)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (graph(shape=(4, 8, 8)), "its input is 0 x 4 x 8 x 8"),
        (graph(shape=(3, 9, 9)), "its card tells of n x 3 x 8 x 8"),
        (graph(classes=3), "its output is"),
    ],
)
def test_a_graph_that_its_card_does_not_tell_of(write, model, message):
    refused(write(model), message)


def test_one_input_and_one_output(write):
    model = graph()
    model.graph.input.append(model.graph.input[0])
    refused(write(model), "its input is")
    model = graph()
    del model.graph.output[:]
    refused(write(model), "its output is none")


@pytest.mark.parametrize("location", ["/etc/passwd", "../../secret", "weights.bin"])
def test_weights_in_other_files_are_never_looked_for(write, location):
    model = graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    refused(write(model), "wants weights of other files")


def test_weights_of_other_files_inside_of_nodes(write):
    tensor = TensorProto(name="t", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(helper.make_attribute("value", tensor))
    refused(write(graph(nodes=[constant])), "wants weights of other files")


def test_operators_of_plugins(write):
    node = helper.make_node("Evil", ["input"], ["output"], domain="com.evil")
    refused(write(graph(nodes=[node])), "operators that are not those of ONNX")


def test_functions(write):
    model = graph()
    opsets = [helper.make_opsetid("", 18)]
    node = helper.make_node("Relu", ["x"], ["y"])
    model.functions.append(helper.make_function("d", "f", ["x"], ["y"], [node], opsets))
    refused(write(model), "functions")


def test_loops_without_end(write):
    node = helper.make_node("Loop", ["", "", "input"], ["output"])
    node.attribute.append(helper.make_attribute("body", graph().graph))
    refused(write(graph(nodes=[node])), "branches or loops")


def test_a_flipped_bit_of_a_weight(write, tmp_path):
    path = tmp_path / write(graph())
    content = path.read_bytes()
    place = content.index(WEIGHT.tobytes())
    path.write_bytes(content[: place + 6] + bytes([content[place + 6] ^ 1]) + content[place + 7 :])
    onnx.checker.check_model(onnx.load(path))
    refused(str(path), "is damaged or was changed")


def resized(node):
    """Another meaning with the same weights."""
    node.attribute.append(helper.make_attribute("group", 1))


def renamed(node):
    node.op_type = "ConvInteger"


@pytest.mark.parametrize("change", [resized, renamed])
def test_a_changed_operator(tmp_path, change):
    """What the checksum of the weights does not see."""
    model = graph()
    written = entries(model, **{EXPORT_KEY: note_of(model)})
    change(model.graph.node[0])
    path = tmp_path / "model.onnx"
    path.write_bytes(with_metadata(model, written))
    refused(str(path), "changed: the checksum of its operators differs")


def test_a_changed_version_of_the_operators(tmp_path):
    model = graph()
    written = entries(model, **{EXPORT_KEY: note_of(model)})
    model.opset_import[0].version = 17
    path = tmp_path / "model.onnx"
    path.write_bytes(with_metadata(model, written))
    refused(str(path), "the checksum of its operators differs")


def test_files_of_earlier_versions_tell_less(write):
    model = graph()
    open_onnx(write(model))  # tells of weights alone, see `entries`
    open_onnx(write(model, **{EXPORT_KEY: note_of(model)}))


def test_onnx_not_installed_names_the_extra(write, monkeypatch):
    path = write(graph())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"geoseg\[onnx\]"):
        open_onnx(path)
