"""Every network out of PyTorch's eager mode gives what it gives in it."""

import contextlib
import io
import logging
import warnings

import pytest
import torch
from small_networks import small_spec

from geoseg.models import list_models
from geoseg.nn.models import build_model

SIZE = 64
AT_ONCE = ["unet", "pspnet", "segformer"]
"""Exported to ONNX in every run of the tests; the others by `pytest -m long`, as they are many."""

ONNX = [
    pytest.param(name, marks=() if name in AT_ONCE else pytest.mark.long) for name in list_models()
]


ROUNDED = {"pidnet_s": 0.3, "pidnet_m": 0.3, "pidnet_l": 0.3, "segnet": 0.3, "segresnet": 0.3}
"""What bfloat16 changes at most, as a share of the spread of the logits, where it is more than a
tenth. PIDNet has a single cell in its last level at this size, and so small variances; SegNets
remember the places of maxima, which jump between nearly equal values."""


@pytest.fixture(autouse=True)
def _alone():
    """One thread, and nothing kept from what another network was compiled to."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    torch.set_num_threads(threads)


@pytest.fixture
def make():
    """`make(arch)`: a network in evaluation mode whose statistics have seen images, and one."""

    def make(arch):
        network = build_model(small_spec(arch, in_channels=4, classes=3))
        with torch.no_grad():
            for parameter in network.parameters():
                if not parameter.any():  # scores that begin at zero hide all before them
                    parameter.normal_(std=0.1)
            for _ in range(3):
                network(torch.randn(2, 4, SIZE, SIZE))
        return network.eval().requires_grad_(False), torch.randn(1, 4, SIZE, SIZE)

    return make


def assert_same(found, expected, share=1e-4):
    """Equal but for rounding, measured by the spread of the logits."""
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    assert (found.float() - expected.float()).abs().max() <= share * expected.float().std()


@pytest.mark.parametrize("arch", list_models())
def test_torch_export(make, arch):
    network, image = make(arch)
    program = torch.export.export(network, (image,))
    assert_same(program.module()(image), network(image))


@pytest.mark.parametrize("arch", list_models())
def test_torch_compile_without_a_break(make, arch):
    network, image = make(arch)
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    assert_same(compiled(image), network(image))


@pytest.mark.slow
@pytest.mark.parametrize("arch", AT_ONCE)
def test_torch_compile_by_inductor(make, arch):
    network, image = make(arch)
    assert_same(torch.compile(network, dynamic=False)(image), network(image), 1e-3)


@pytest.mark.parametrize("arch", ONNX)
def test_onnx(make, arch):
    onnxruntime = pytest.importorskip("onnxruntime")
    network, image = make(arch)
    session = onnxruntime.InferenceSession(to_onnx(network, image), options_of(onnxruntime))
    (name,) = (each.name for each in session.get_inputs())
    (found,) = session.run(None, {name: image.numpy()})
    assert_same(found, network(image), 1e-3)


@pytest.mark.parametrize("arch", list_models())
def test_channels_last(make, arch):
    network, image = make(arch)
    expected = network(image)
    network.to(memory_format=torch.channels_last)
    assert_same(network(image.contiguous(memory_format=torch.channels_last)), expected, 1e-3)


@pytest.mark.parametrize("arch", list_models())
def test_autocast(make, arch):
    """Bfloat16 has 8 bits, and these networks have not learnt anything yet."""
    network, image = make(arch)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(image).float()
    expected = network(image)
    assert torch.isfinite(found).all()
    assert (found - expected).square().mean().sqrt() <= ROUNDED.get(arch, 0.1) * expected.std()


def to_onnx(network, image):
    """As `geoseg.engine.onnx_backend` does it, of which the tests of the engine tell more."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network, (image,), dynamo=True, verbose=False, optimize=False, external_data=False
            )
    finally:
        logging.disable(before)
    return program.model_proto.SerializeToString()


def options_of(onnxruntime):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return options
