"""Fixtures of the tests of encoders."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them only wait for each other on networks this small
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
