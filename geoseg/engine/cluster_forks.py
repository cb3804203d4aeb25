"""The process that workers of this machine are forked from.

To import PyTorch takes a processor for seconds. It is done once for all workers, and while the
process that they work for imports it as well: so this module imports nothing but Python's own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

from geoseg.engine.cluster_spec import ClusterSpec

METHOD = "forkserver" if sys.platform.startswith("linux") else "spawn"
"""How workers of this machine are started; Windows cannot fork, and what macOS itself brings may
crash in a process that is forked after it was loaded."""

THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("NUMBA_NUM_THREADS", "GDAL_NUM_THREADS"),
)
"""Variables by which libraries are told how many threads they may have."""

TO_PREDICT = ("distributed", "geoseg.engine.cluster_worker")
"""What workers import that predict."""

TO_CUT = ("distributed", "geoseg.engine.cluster_tiles")
"""What workers import that cut tiles."""


def begin_to_import(cluster: str, modules: Sequence[str]) -> None:
    """Start the process, unless there is one; what it imports is not waited for.

    Args:
        cluster: As the user wrote it; without processes of this machine nothing happens.
        modules: What workers will need.

    Raises:
        ConfigError: If that is no cluster.
    """
    if ClusterSpec.parse(cluster).kind != "local" or METHOD == "spawn":
        return
    context = multiprocessing.get_context(METHOD)
    context.set_forkserver_preload(["geoseg.nn.forks_first", *modules])
    resource_tracker.ensure_running()  # else it lets Ctrl-C through again while that is kept off
    # No threads before workers are forked off: they would be missing there.
    with _variables(dict.fromkeys(THREAD_VARIABLES, "1")), _interrupts_kept_off():
        forkserver.ensure_running()


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
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
