"""Graphs that are made to fail are told in one line, by either run-time."""

import numpy as np
import onnx
import pytest
import torch
from exported_card import CARD
from onnx import TensorProto, helper, numpy_helper

from geoseg.engine.exported_backend import ExportedGraph
from geoseg.errors import BundleError, ConfigError, WorkError
from geoseg.nn.exported_model import ExportedModel

WEIGHT = np.arange(6, dtype="float32").reshape(2, 3, 1, 1)
IMAGE = torch.rand(2, 3, 8, 8)


def model(*nodes, constants=()):
    value = helper.make_tensor_value_info
    taken = value("input", TensorProto.FLOAT, ["batch", 3, 8, 8])
    given = value("output", TensorProto.FLOAT, ["batch", 2, 8, 8])
    tensors = [numpy_helper.from_array(array, name) for name, array in constants]
    made = helper.make_graph(list(nodes), "g", [taken], [given], tensors)
    opsets = [helper.make_opsetid("", 18)]
    content = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    return ExportedModel(
        card=CARD, state={}, path="m.onnx", format="onnx", graph=content, divisor=255.0
    )


@pytest.fixture(params=["onnx", "openvino"])
def name(request):
    return request.param


def refused(kind, act, capfd):
    with pytest.raises(kind, match=r"^m\.onnx: ") as caught:
        act()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_convolution_is_that_of_numpy(name):
    node = helper.make_node("Conv", ["input", "w"], ["output"])
    graph = ExportedGraph(model(node, constants=[("w", WEIGHT)]), name)
    expected = np.einsum("cb,nbhw->nchw", WEIGHT[:, :, 0, 0], IMAGE.numpy())
    assert np.abs(graph(IMAGE).numpy() - expected).max() < 1e-5


def test_unknown_operators(name, capfd):
    node = helper.make_node("Unheard", ["input"], ["output"])
    refused(BundleError, lambda: ExportedGraph(model(node), name), capfd)


def test_a_graph_that_fails_when_it_runs(name, capfd):
    """It asks for an array of some 10^17 numbers."""
    nodes = [
        helper.make_node("Mul", ["input", "far"], ["places"]),
        helper.make_node("Cast", ["places"], ["whole"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["whole"], ["length"], keepdims=0),
        helper.make_node("Reshape", ["length", "one"], ["lengths"]),
        helper.make_node("ConstantOfShape", ["lengths"], ["vast"]),
        helper.make_node("ReduceSum", ["vast"], ["sum"], keepdims=0),
        helper.make_node("Conv", ["input", "w"], ["classes"]),
        helper.make_node("Add", ["classes", "sum"], ["output"]),
    ]
    constants = [
        ("far", np.float32(1e17)),
        ("one", np.array([1])),
        ("w", WEIGHT),
    ]
    hostile = model(*nodes, constants=constants)
    onnx.checker.check_model(onnx.load_from_string(hostile.graph))
    with pytest.raises((BundleError, WorkError, torch.OutOfMemoryError)) as caught:
        ExportedGraph(hostile, name)(IMAGE)
    if caught.type is not torch.OutOfMemoryError:  # that has the batch halved, and is told later
        assert str(caught.value).startswith("m.onnx: ")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_not_installed_names_the_extra(monkeypatch, name, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed. Install geoseg\[{name}\]"):
        ExportedGraph(model(), name)
