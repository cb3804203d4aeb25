"""Networks outside of PyTorch's eager mode."""

import contextlib
import io
import logging
import warnings

import pytest
import torch


def run_exported(network, image):
    """What torch.export's program gives."""
    with torch.no_grad():
        return torch.export.export(network, (image,)).module()(image)


def run_onnx(network, image):
    """What ONNX Runtime gives for what torch's exporter writes; the test skips without it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(
        _to_onnx(network, image), options, providers=["CPUExecutionProvider"]
    )
    (name,) = (each.name for each in session.get_inputs())
    (output,) = session.run(None, {name: image.numpy()})
    return torch.from_numpy(output)


def assert_exports_agree(network, image):
    """Both give what the network gives."""
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(run_exported(network, image), expected)
    torch.testing.assert_close(run_onnx(network, image), expected, atol=1e-4, rtol=1e-3)


def _to_onnx(network, image):
    """As `geoseg.engine.onnx_backend` does it, of which the tests of the engine tell more."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")  # of the exporter about itself
            program = torch.onnx.export(
                network, (image,), dynamo=True, verbose=False, optimize=False, external_data=False
            )
    finally:
        logging.disable(before)
    return program.model_proto.SerializeToString()
