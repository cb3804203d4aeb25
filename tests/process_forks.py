"""Processes that train together, forked from one that has imported torch and Lightning.

A fresh interpreter takes six seconds of a core to import both. That geoseg starts fresh ones, tied
to the one that starts them, `tests/nn/test_launch.py`, `tests/nn/test_tie.py` and
`tests/faults/test_kills.py` show.
"""

import multiprocessing
from multiprocessing import forkserver
from types import SimpleNamespace

from geoseg.nn import launch

_SERVER = forkserver.ForkServer()  # not the one of Python, which geoseg has import other modules
_SERVER.set_forkserver_preload(["geoseg.train"])


class Untied:
    """Stands for `Tie`: who forks is the server, which a process would take for a stranger."""

    def __reduce__(self):
        return _untie, ()


def _untie():
    launch.end_as_orphan = lambda _: None
    return Untied()


def fork_processes(monkeypatch):
    """Have `run_processes` fork what it would have spawned."""
    fork = multiprocessing.get_context("forkserver")
    stand_in = SimpleNamespace(
        get_context=lambda method: fork,
        Pipe=multiprocessing.Pipe,
        parent_process=multiprocessing.parent_process,
    )
    monkeypatch.setattr(forkserver, "connect_to_new_process", _SERVER.connect_to_new_process)
    monkeypatch.setattr(launch, "multiprocessing", stand_in)
    monkeypatch.setattr(launch, "Tie", Untied)
