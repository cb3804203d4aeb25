"""What OpenVINO does to a thread's signal stack must not outlive its models."""

import ctypes
import subprocess
import sys

import pytest

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


SCRIPT = """
import ctypes, gc, openvino, torch
from geoseg.engine.signal_stack import _Stack, same_signal_stack

def stack():
    found = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.pointer, found.flags, found.size

before, models = stack(), []
for size in (8, 16):
    network, image = torch.nn.Conv2d(1, 1, 1).eval(), torch.zeros(1, 1, size, size)
    with same_signal_stack():
        model = openvino.convert_model(network, example_input=image)
        models.append(openvino.Core().compile_model(model, "CPU"))
    assert stack() == before
while models:
    models.pop(0)
    gc.collect()
    assert stack() == before
print("as it was")
"""


def test_models_that_go_in_the_order_they_came_leave_the_stack_as_it_was():
    """In a process of its own: OpenVINO's converter silences the root logger for good."""
    pytest.importorskip("openvino")
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "as it was", done.stderr
