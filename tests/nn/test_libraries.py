"""The libraries that networks come from work as they do when torch's compiler comes with them."""

import subprocess
import sys

CODE = """
import sys

import torch

from geoseg.nn import libraries

assert torch.compiler.disable.__module__ == "torch.compiler"
assert not any(name.startswith("torch._dynamo") for name in sys.modules)
roi_align, naflexvit = (sys.modules[name] for name in (
    "torchvision.ops.roi_align", "timm.models.naflexvit"
))

# A library that asks for anything else gets the real one at once.
with libraries._compiler_left_out():
    from torch._dynamo.utils import counters
from torch._dynamo import testing, utils
assert sys.modules["torch._dynamo.utils"] is utils and utils.counters is counters

# What torchvision asks for is answered, by the real one.
assert roi_align.is_compile_supported("cpu") and not roi_align.is_compile_supported("meta")
assert utils.is_compile_supported is not roi_align.is_compile_supported

# What timm marks is left out when torch compiles, as by torch's own mark.
def half(x):
    return x.sin() / 2

def around(mark):
    marked = mark(half)
    return lambda x: marked(x + 1) * 3

found = []
for mark in (naflexvit.disable_compiler, torch.compiler.disable):
    torch._dynamo.reset()
    counter = testing.CompileCounter()
    value = torch.compile(around(mark), backend=counter)(torch.ones(2))
    found.append((value.tolist(), counter.frame_count, counter.op_count))
assert naflexvit.disable_compiler is not torch.compiler.disable
assert found[0] == found[1], found
assert isinstance(naflexvit.disable_compiler(type("Marked", (), {})), type)
assert found[0][1:] == (2, 2), found  # before and behind, one operation each
"""


def test_the_compiler_comes_when_it_is_used():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
