"""Processes end with the one that started them, also while they still import what they need."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells of a parent's death"
)

STARTER = """
import multiprocessing, sys, time
from geoseg.nn.tie import Tie, begin_tied

def dawdle():
    print("unpickling", flush=True)
    time.sleep(600)

class Slow:
    # Takes its time to be unpickled, as what has to import torch does.
    def __reduce__(self):
        return dawdle, ()

if __name__ == "__main__":
    first = (Tie(),) if sys.argv[1] == "tied" else (None,)
    process = multiprocessing.get_context("spawn").Process(
        target=begin_tied, args=(*first, print, Slow())
    )
    process.start()
    print(process.pid, flush=True)
    process.join()
"""


def start(folder, how):
    (folder / "starter.py").write_text(STARTER)
    words = [sys.executable, "-W", "ignore", folder / "starter.py", how]
    return subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, text=True)


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


@pytest.mark.parametrize("how", ["tied", "loose"])
def test_a_process_that_starts_ends_with_its_parent(tmp_path, how):
    with start(tmp_path, how) as process:
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "unpickling\n"
        process.send_signal(signal.SIGKILL)
    if how == "tied":
        deadline = time.monotonic() + 60
        while state(pid) not in (None, "Z") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert state(pid) in (None, "Z")
    else:  # else the above would tell nothing
        assert state(pid) not in (None, "Z")
        os.kill(pid, signal.SIGKILL)
