"""What the tests of single architectures measure: counts, and networks outside of PyTorch."""

import contextlib
import io
import logging
import warnings

import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from geoseg.nn.models import ModelSpec, build_model


def build(arch, *, bands=3, classes=2, encoder="none", **options):
    """The bare network, without padding and resizing."""
    spec = ModelSpec(
        arch=arch, encoder=encoder, in_channels=bands, classes=classes, options=options
    )
    return build_model(spec).network


def count(arch, size=None, **fields):
    """Millions of parameters; with a size, 10^9 multiply-accumulates of one image too."""
    with torch.device("meta"):
        network = build(arch, **fields).eval()
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        if size is None:
            return parameters
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, fields.get("bands", 3), *size))
    return parameters, counter.get_total_flops() / 2e9


def run_exported(network, image):
    """What torch.export's program gives."""
    with torch.no_grad():
        return torch.export.export(network, (image,)).module()(image)


def run_onnx(network, image):
    """What ONNX Runtime gives for what torch's exporter writes."""
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
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    return torch.from_numpy(output)
