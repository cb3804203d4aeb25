"""Every network out of PyTorch's eager mode gives what it gives in it."""

import pytest
import torch
from network_exports import run_onnx
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
    """Nothing kept from what another network was compiled to."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


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
@pytest.mark.parametrize(
    "arch", ["unet", *(pytest.param(name, marks=pytest.mark.long) for name in AT_ONCE[1:])]
)
def test_torch_compile_by_inductor(make, arch):
    network, image = make(arch)
    assert_same(torch.compile(network, dynamic=False)(image), network(image), 1e-3)


@pytest.mark.parametrize("arch", ONNX)
def test_onnx(make, arch):
    network, image = make(arch)
    assert_same(run_onnx(network, image), network(image), 1e-3)


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
