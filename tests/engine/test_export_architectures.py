"""Exported networks of every kind give the classes of PyTorch in ONNX Runtime and OpenVINO."""

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from exact_networks import agreement
from small_networks import small_spec

from geoseg.engine.export_check import LEAST, made_up_windows
from geoseg.engine.graph_writer import GraphPlan, write_onnx
from geoseg.geo.legend import Legend
from geoseg.models import list_models
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import build_model
from geoseg.nn.scaling import Scaling

SIDE, BANDS, CLASSES = 64, 4, 3
MEAN, STD = (100.0, 110.0, 90.0, 120.0), (40.0, 35.0, 30.0, 50.0)
AT_ONCE = ["unet", "deeplabv3plus", "pspnet", "segformer", "fcn8s", "psanet", "linknet"]
"""In every run of the tests; the others by `pytest -m long`, as they are many."""

ARCHS = [
    pytest.param(name, marks=pytest.mark.slow if name in AT_ONCE else pytest.mark.long)
    for name in list_models()
]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def make_bundle(arch, activation):
    """A network whose statistics have seen images, so that every class is found somewhere."""
    spec = small_spec(arch, in_channels=BANDS, classes=CLASSES)
    network = build_model(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():  # scores that begin at zero hide all before them
                parameter.normal_(std=0.1)
        for _ in range(3):
            network(torch.randn(2, BANDS, SIDE, SIDE))
    card = ModelCard(
        spec=spec,
        activation=activation,
        legend=Legend.of_values(range(CLASSES)).to_dict(),
        bands=("",) * BANDS,
        dtype="uint8",
        scaling=Scaling(kind="standardize", mean=MEAN, std=STD),
        window=SIDE,
        stride=SIDE // 2,
    )
    return ModelBundle.of(network, card)


def by_onnxruntime(path, fed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    return session.run(None, {"input": fed})[0]


def by_openvino(path, fed):
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return openvino.Core().compile_model(str(path), "CPU", settings)([fed])[0]


@pytest.mark.parametrize("arch", ARCHS)
def test_classes_are_those_of_pytorch(arch, tmp_path):
    activation = "sigmoid" if arch == "linknet" else "softmax"
    bundle, path = make_bundle(arch, activation), tmp_path / "model.onnx"
    write_onnx(GraphPlan(bundle=bundle, divisor=255.0, opset=18, keys={}), path)
    raw = made_up_windows(bundle)[0].pixels[:3]
    with torch.no_grad():
        logits = bundle.build()((raw - column(MEAN)) / column(STD))
    expected = logits.softmax(1) if activation == "softmax" else logits.sigmoid()
    # Untrained networks like one class best; by how far each lies above its mean all are seen.
    usual = expected.log().mean((0, 2, 3), keepdim=True)
    likely = expected.log() - usual
    assert len(likely.argmax(1).unique()) == CLASSES
    for run in (by_onnxruntime, by_openvino):
        for batch in (raw[:1], raw):  # the batch is of any size
            found = torch.from_numpy(np.array(run(path, (batch / 255).numpy())))
            assert agreement(found, expected[: len(batch)]) >= LEAST
            assert agreement(found.log() - usual, likely[: len(batch)]) >= LEAST
            assert (found - expected[: len(batch)]).abs().max() < 2e-3


def column(values):
    return torch.tensor(values)[:, None, None]
