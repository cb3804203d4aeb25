"""What all tests of networks begin with, and downloads that are there already."""

from functools import partial

import pytest
import torch
from foreign_weights import keep_download
from torch_threads import one_thread


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    with one_thread():
        yield


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """`downloaded(weights, state)` puts a file where torch.hub keeps what it has downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return partial(keep_download, tmp_path / "torch")
