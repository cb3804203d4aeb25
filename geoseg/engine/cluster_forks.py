"""How workers of a cluster on this machine begin: forked from a process that has imported PyTorch.

That takes a processor for seconds. It is done once for all workers, and while the process that they
work for imports it as well: so this module imports next to nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.nn.fork_server import start_fork_server

METHOD = "forkserver" if sys.platform.startswith("linux") else "spawn"
"""How workers of this machine are started; Windows cannot fork, and what macOS itself brings may
crash in a process that is forked after it was loaded."""

THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("NUMBA_NUM_THREADS", "GDAL_NUM_THREADS"),
)
"""Variables by which libraries are told how many threads they may have."""

ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Dask has its tasks done by a thread. To threads glibc gives memory of their own, which it takes
from the system, and gives back, for each large tensor: a tenth of the time of a network."""

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
    # No threads before workers are forked off: they would be missing there.
    start_fork_server(modules, ONE_ARENA | dict.fromkeys(THREAD_VARIABLES, "1"))
