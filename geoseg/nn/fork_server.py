"""The process that workers are forked from: of a loader, or of a cluster on this machine.

It imports what they need once for all of them, and while the process that they work for goes on: so
this module imports nothing but Python's own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

MARK = "GEOSEG_FORK_SERVER"
"""Variable that tells `geoseg.nn.forks_first` that it is imported there."""

_NO_VARIABLES: Mapping[str, str] = {}


def start_fork_server(modules: Sequence[str], variables: Mapping[str, str] = _NO_VARIABLES) -> None:
    """Start the process, unless there is one; what it imports is not waited for.

    Args:
        modules: What workers will need.
        variables: Of its environment, and of theirs.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geoseg.nn.forks_first", *modules])
    resource_tracker.ensure_running()  # else it lets Ctrl-C through again while that is kept off
    with _variables({**variables, MARK: "1"}), _interrupts_kept_off():
        forkserver.ensure_running()


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment that a process inherits which is started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


@contextmanager
def _interrupts_kept_off() -> Iterator[None]:
    """Have a process that is started meanwhile, and its own, hear nothing of Ctrl-C.

    It reaches all processes of a terminal; the one in front ends the others in order.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
