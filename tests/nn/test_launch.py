"""Processes of one machine: what the one that starts them gets from them."""

import logging
import os
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial

import process_work
import pytest

from geoseg.errors import ConfigError, WorkError
from geoseg.nn.distributed import Process
from geoseg.nn.launch import run_processes
from geoseg.progress import Progress

pytestmark = pytest.mark.slow  # the first test has two processes import torch and Lightning


class Recorded(Progress):
    def __init__(self):
        super().__init__("none")
        self.told = []

    @contextmanager
    def task(self, name, total=None, unit="it"):
        self.told.append((name, total, unit))
        yield self
        self.told.append("done")

    def advance(self, count=1):
        self.told.append(count)

    def event(self, kind, **fields):
        self.told.append((kind, fields))


def test_the_first_process_speaks_for_all(caplog):
    progress = Recorded()
    with caplog.at_level(logging.WARNING):
        process, total, largest, losses, mean = run_processes(process_work.add_up, 2, progress)
    assert process == Process(rank=0, world=2, local_rank=0)
    assert total == [2.0, 11.0]
    assert largest == (1, 0)
    assert losses == [0, 1, 10, 11, 20, 21]  # in the order of one process
    assert mean == (0 + 1 + 10 + 11 + 20 + 21 + 100 + 101) / 8
    added = ("added", {"total": [2.0, 11.0]})
    assert progress.told == [("add", 2, "step"), 2, "done", added]
    messages = {r.getMessage() for r in caplog.records if r.name == "geoseg.work"}
    assert messages == {"rank 0", "rank 1"}


@pytest.mark.usefixtures("_forked_processes")
@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("error", ConfigError, r"data\.tiles: is broken\. Mend it\."),
        ("defect", RuntimeError, "ZeroDivisionError: 0 / 0"),
        ("killed", WorkError, r"process 1: ended without a word \(signal SIGKILL\)"),
    ],
)
def test_an_error_of_any_process_is_raised_here(how, error, text):
    with pytest.raises(error, match=text):
        run_processes(partial(process_work.fail, how), 2, Progress())


@pytest.mark.usefixtures("_forked_processes")
def test_ctrl_c_is_passed_on(tmp_path):
    def send():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_processes(partial(process_work.wait_for_signal, tmp_path), 2, Progress())
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
