import logging
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from geoseg.nn.compiling import compile_forward


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)).train()


def unchanged(network, before):
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def copied(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_trial_leaves_weights_statistics_and_names(network):
    before, seen, inside = copied(network), [], []

    @contextmanager
    def numbers():
        inside.append(True)
        yield
        inside.pop()

    def compiler(forward):
        def compiled(image):
            seen.append((image.shape, bool(inside)))
            return forward(image)

        return compiled

    compiled = compile_forward(network, torch.ones(2, 2, 4, 4), numbers, compiler)
    assert seen == [((2, 2, 4, 4), True)]
    unchanged(network, before)
    image = torch.randn(2, 2, 4, 4)
    assert torch.equal(compiled(image), network(image))


@pytest.mark.parametrize("when", ["compiled", "run", "backward"])
def test_what_cannot_be_compiled_trains_without(network, caplog, when):
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(_, value):
            return value.clone()

        @staticmethod
        def backward(_, __):
            raise RuntimeError("no compiler found\nlong story")

    def compiler(forward):
        if when == "compiled":
            raise RuntimeError("no compiler found\nlong story")

        def compiled(image):
            if when == "run":
                raise RuntimeError("no compiler found\nlong story")
            return Broken.apply(forward(image))

        return compiled

    before = copied(network)
    with caplog.at_level(logging.WARNING):
        forward = compile_forward(network, torch.ones(2, 2, 4, 4), torch.enable_grad, compiler)
    assert caplog.messages == [
        "the network cannot be compiled and trains without (no compiler found)"
    ]
    unchanged(network, before)
    network.eval()
    image = torch.randn(1, 2, 4, 4)
    assert torch.equal(forward(image), network(image))


def test_too_small_a_memory_is_no_matter_of_compiling(network):
    def compiler(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        compile_forward(network, torch.ones(2, 2, 4, 4), torch.enable_grad, compiler)
