"""What OpenVINO does to a thread's signal stack must not outlive its models."""

import ctypes
import gc
import logging
import sys

import pytest
import torch

from geoseg.engine.signal_stack import _Stack, same_signal_stack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells what Linux does")


def stack():
    found = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.pointer, found.flags, found.size


def test_stack_is_given_back():
    before = stack()
    memory = ctypes.create_string_buffer(1 << 16)
    with same_signal_stack():
        other = _Stack(ctypes.addressof(memory), 0, len(memory))
        ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None)
        assert stack() == (ctypes.addressof(memory), 0, len(memory))
    assert stack() == before


@pytest.fixture
def root_level():
    """OpenVINO's converter silences the root logger for good."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.mark.usefixtures("root_level")
def test_models_that_go_in_the_order_they_came_leave_the_stack_as_it_was():
    openvino = pytest.importorskip("openvino")
    before = stack()
    with same_signal_stack():
        models = []
        for size in (8, 16):
            convolution = torch.nn.Conv2d(1, 1, 1).eval()
            model = openvino.convert_model(convolution, example_input=torch.zeros(1, 1, size, size))
            with same_signal_stack():
                models.append(openvino.Core().compile_model(model, "CPU"))
    while models:
        models.pop(0)
        gc.collect()
        assert stack() == before
