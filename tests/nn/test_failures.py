from types import SimpleNamespace

import pytest
import torch

from geoseg.errors import ConfigError, WorkError
from geoseg.nn.failures import told

GIB = 2**30


@pytest.fixture
def setup():
    crop = SimpleNamespace(data=SimpleNamespace(crop=512))
    return SimpleNamespace(batch_size=32, config=crop, device=torch.device("cuda"))


def test_too_small_a_gpu_is_told_in_numbers(monkeypatch, setup):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (GIB // 2, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 23 * GIB)
    error = told(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), setup)
    assert isinstance(error, WorkError)
    assert error.exit_code == 1
    assert str(error) == (
        "train.batch_size: batches of 32 samples of 512 x 512 pixels do not fit the GPU's memory: "
        "it has 24.0 GiB, 0.5 are free, training had taken 23.0 at most. "
        'Set it to "auto", or set a smaller data.crop or train.precision to bf16.'
    )


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed.", WorkError, "train.workers"),
        ("nll_loss2d_forward_out_cuda does not have a deterministic implementation, but",
         ConfigError, "train.deterministic: nll_loss2d_forward_out_cuda"),
    ],
)  # fmt: skip
def test_keys_that_mend_it_are_named(setup, text, kind, key):
    error = told(RuntimeError(text), setup)
    assert isinstance(error, kind)
    assert str(error).startswith(key)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), MemoryError(),
     RuntimeError("std::bad_alloc")],
)  # fmt: skip
def test_too_small_a_memory_of_the_host_is_told(setup, error):
    setup.device = torch.device("cpu")
    assert str(told(error, setup)).startswith("train.batch_size: batches of 32 samples do not fit")


@pytest.mark.parametrize("text", ["CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED"])
def test_what_the_libraries_of_a_gpu_say_is_understood(monkeypatch, setup, text):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (GIB // 2, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 23 * GIB)
    assert "do not fit the GPU's memory" in str(told(RuntimeError(text), setup))


def test_other_errors_stay(setup):
    error = RuntimeError("shape mismatch")
    assert told(error, setup) is error
