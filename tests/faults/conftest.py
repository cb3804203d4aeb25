"""One set of inputs, and one process that runs and kills jobs, for all tests of faults."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from fault_work import JOBS, OTHER_JOBS, WorkServer, make_inputs, visible
from torch_threads import one_thread

MEMORY = Path("/dev/shm")
"""A folder in memory: jobs bring dozens of files to the disk, each in milliseconds, of which the
end of a process tells nothing."""


@pytest.fixture
def tmp_path():
    """A folder in memory, where there is room for some."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 1 << 28
    with tempfile.TemporaryDirectory(dir=MEMORY if roomy else None) as folder:
        yield Path(folder)


class Unbroken(NamedTuple):
    files: dict
    folder: Path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """The folder with everything that jobs read."""
    with one_thread():
        return make_inputs(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def server(inputs):
    """Runs jobs in processes of their own."""
    if not sys.platform.startswith("linux"):
        pytest.skip("looks for processes as Linux tells them")
    server = WorkServer(inputs)
    yield server
    server.close()


@pytest.fixture(scope="session")
def unbroken(server, tmp_path_factory):
    """`unbroken("tile")`: what a run did that nobody disturbed."""
    known = {}

    def run(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(f"unbroken_{name}")
            done = server.run((JOBS | OTHER_JOBS)[name], folder)
            assert done.code == 0, done.log
            known[name] = Unbroken(visible(folder), folder)
        return known[name]

    return run
