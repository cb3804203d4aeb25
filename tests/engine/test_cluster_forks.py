"""The process that workers of this machine are forked from: what it has, and when it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from geoseg.engine import cluster_preload

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks for processes as Linux shows them"
)

STARTER = """
import multiprocessing, os, signal, sys
from geoseg.engine.cluster_forks import begin_to_import

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    os.environ["OMP_NUM_THREADS"] = "7"
    begin_to_import(sys.argv[1], ("slow",))
    print(os.environ["OMP_NUM_THREADS"], "GDAL_NUM_THREADS" in os.environ, flush=True)
    if sys.argv[1].startswith("local"):
        import forked
        process = multiprocessing.get_context("forkserver").Process(target=forked.tell)
        process.start()
        process.join()
"""
SLOW = """
import gc, os, time
is_looking = gc.isenabled()
print(os.getpid(), flush=True)
names = "OMP_NUM_THREADS", "GDAL_NUM_THREADS", "MALLOC_ARENA_MAX"
threads = [os.environ[name] for name in names]
time.sleep(float(os.environ["SLEEP"]))
"""
FORKED = """
import gc, json, os, signal, sys

def tell():
    is_imported, slow = "slow" in sys.modules, __import__("slow")
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    found = [is_imported, slow.threads, len(os.listdir("/proc/self/task")), blocked]
    found += [slow.is_looking, gc.isenabled(), gc.get_freeze_count() > 0]
    print(json.dumps(found), flush=True)
"""


def start(folder, cluster, seconds):
    (folder / "starter.py").write_text(STARTER)
    (folder / "slow.py").write_text(SLOW)
    (folder / "forked.py").write_text(FORKED)
    variables = {name: text for name, text in os.environ.items() if "NUM_THREADS" not in name}
    variables |= {"SLEEP": str(seconds), "PYTHONPATH": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", folder / "starter.py", cluster], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables,
    )  # fmt: skip


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_have_what_was_imported_before_and_no_thread_more(tmp_path):
    said, told = start(tmp_path, "local:2", 0).communicate(timeout=60)
    assert told == ""
    lines = [line for line in said.splitlines() if not line.isdigit()]
    assert lines[0] == "7 False", "the process that starts it keeps its own variables"
    assert json.loads(lines[1]) == [True, ["1", "1", "1"], 1, True, False, True, True]


@pytest.mark.parametrize("cluster", ["tcp://host:8786", "slurm:workers=2"])
def test_workers_elsewhere_need_no_such_process(tmp_path, cluster):
    assert start(tmp_path, cluster, 600).communicate(timeout=60) == ("7 False\n", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent_while_it_imports(tmp_path, number):
    with start(tmp_path, "local:2", 600) as process:
        lines = [process.stdout.readline().strip() for _ in range(2)]
        pid = int(next(line for line in lines if line.isdigit()))
        os.kill(pid, signal.SIGINT)  # a terminal tells all of its processes
        time.sleep(0.1)
        assert lives(pid)
        process.send_signal(number)
        process.wait(30)
        deadline = time.monotonic() + 30
        while lives(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not lives(pid)


def test_a_worker_takes_its_share_of_the_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    try:
        cluster_preload.dask_setup(None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
