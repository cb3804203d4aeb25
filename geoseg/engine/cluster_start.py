"""Starting Dask: processes of this machine, jobs of SLURM, and the way to a scheduler."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, Security, SpecCluster

from geoseg.engine.cluster_forks import METHOD, ONE_ARENA, THREAD_VARIABLES
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.memory_size import format_size, parse_size
from geoseg.errors import ConfigError, WorkError
from geoseg.geo.temporary import remove_temporary_folder, temporary_path
from geoseg.geo.workers import processors

_NOISY = ("distributed", "tornado", "bokeh", "asyncio")

_END_SECONDS = 0.5
"""For which the threads of Dask in this process are waited for in the end."""


class Address:
    """Where a scheduler is, and how it is spoken to."""

    def __init__(
        self,
        text: str,
        security: Security | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.text, self.security = text, security
        self.end = end
        """Ends the workers at once, where they are processes of this machine."""


def silence() -> None:
    """Keep Dask's own log off stderr: what the user must know is told by errors and by us."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def connect(address: str | Address, seconds: float) -> Iterator[Client]:
    """A client of a scheduler.

    Raises:
        WorkError: If there is none within so many seconds.
    """
    where = Address(address) if isinstance(address, str) else address
    try:
        client = Client(
            where.text,
            timeout=seconds,
            security=where.security,
            set_as_default=False,
            name="geoseg",
        )
    except (OSError, ValueError, TypeError) as error:
        raise WorkError(
            where.text,
            "no scheduler can be reached there",
            "Check the address, and that dask scheduler runs there",
        ) from error
    with _closing(client):
        try:
            yield client
        finally:
            where.end()


@contextmanager
def start_local(spec: ClusterSpec, gpus: int) -> Iterator[Address]:
    """Processes of this machine, which end with this one; spoken to in secret, on loopback.

    Any user of a machine can reach its loopback, and a scheduler runs what it is told: so it asks
    for a key that only this process and its workers know.

    Raises:
        ConfigError: If there are GPUs, but fewer than workers.
        WorkError: If they cannot be started.
    """
    assert spec.workers is not None
    if 0 < gpus < spec.workers:
        problem = f"{spec.text} asks for {spec.workers} GPUs, {gpus} are there"
        raise ConfigError("--cluster", problem, f"Give local:{gpus}, or --device cpu")
    scratch = temporary_path(Path(tempfile.gettempdir()) / "cluster")
    security = Security.temporary()
    threads = max(processors() // spec.workers, 1)
    common = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "security": security,
        "protocol": "tls://",
        "local_directory": str(scratch),
        "memory_limit": 0,  # a limit of the machine's share would end what the plain run may take
        "silence_logs": logging.CRITICAL + 1,
        "dashboard": False,
        "preload": ["geoseg.engine.cluster_preload"],
    }
    workers = {
        place: {"cls": Nanny, "options": {**common, "env": _environment(threads, place, gpus)}}
        for place in range(spec.workers)
    }
    dashboard = None if spec.dashboard is None else f"127.0.0.1:{spec.dashboard}"
    scheduler = {
        "cls": Scheduler,
        "options": {
            "host": "127.0.0.1",
            "port": 0,
            "protocol": "tls://",
            "security": security,
            "dashboard": dashboard is not None,
            "dashboard_address": dashboard,
        },
    }
    try:
        with _quiet_config(), _told_where_it_fails(spec):
            cluster = SpecCluster(
                workers=workers,
                scheduler=scheduler,
                security=security,
                silence_logs=logging.CRITICAL + 1,
                name="geoseg",
                shutdown_on_close=False,  # else it is waited for when the interpreter ends
            )
        silence()
        with _closing(cluster):
            try:
                yield Address(cluster.scheduler_address, security, partial(_kill, cluster))
            finally:
                _kill(cluster)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def start_slurm(spec: ClusterSpec, gpus: int) -> Iterator[Address]:
    """Jobs of SLURM, one worker each; they are cancelled in the end."""
    del gpus  # those of the nodes count, not those of this machine
    from dask_jobqueue import SLURMCluster

    assert spec.workers is not None
    # Whoever is logged in there can reach the scheduler, which runs what it is told: so it asks for
    # a key, which lies where the jobs see it and nobody else may read it.
    keys = temporary_path(Path.home() / "cluster")
    keys.mkdir(0o700)
    cluster = SLURMCluster(
        **slurm_options(spec), security=Security.temporary(), shared_temp_directory=str(keys)
    )
    try:
        cluster.scale(jobs=spec.workers)
        silence()
        yield Address(cluster.scheduler_address, cluster.security)
    finally:
        with suppress(Exception):
            cluster.close(timeout=10)
        remove_temporary_folder(keys)


def slurm_options(spec: ClusterSpec) -> dict[str, Any]:
    """What `dask_jobqueue.SLURMCluster` is called with: one process a job that has all its cores.

    Args:
        spec: Of SLURM.
    """
    keys = dict(spec.slurm)
    cores = int(keys.get("cores", "4"))
    memory = parse_size(keys.get("memory", f"{4 * cores}G"), "--cluster")
    extra = [f"-G {keys['gpus']}"] if "gpus" in keys else []
    return {
        "queue": keys.get("partition"),
        "account": keys.get("account"),
        "walltime": keys.get("walltime", "08:00:00"),
        "cores": 1,  # tasks at a time; the threads of each are told by the variables below
        "job_cpu": cores,
        "processes": 1,
        "memory": format_size(memory),
        "job_extra_directives": extra,
        "job_script_prologue": [
            *(f"export {name}={cores}" for name in THREAD_VARIABLES),
            *(f"export {name}={text}" for name, text in ONE_ARENA.items()),
            "export DASK_DISTRIBUTED__WORKER__PRELOAD=geoseg.engine.cluster_preload",
        ],
        "local_directory": None,
    }


def _environment(threads: int, place: int, gpus: int) -> dict[str, str]:
    """Of a worker: its share of the processors, and a GPU of its own."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if gpus > 0:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = seen.split(",") if seen else [str(index) for index in range(gpus)]
        variables["CUDA_VISIBLE_DEVICES"] = names[place]
    return variables


def _quiet_config() -> AbstractContextManager[object]:
    """Settings of Dask that workers of this machine inherit."""
    settings: AbstractContextManager[object] = dask.config.set(
        {
            "logging": dict.fromkeys(_NOISY, "critical"),
            "distributed.worker.multiprocessing-method": METHOD,
            "distributed.scheduler.allowed-failures": 3,
            "distributed.admin.low-level-log-length": 0,
        }
    )
    return settings


@contextmanager
def _told_where_it_fails(spec: ClusterSpec) -> Iterator[None]:
    """Name what keeps workers of this machine from starting, which Dask raises as it likes."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        problem = " ".join(f"its workers cannot be started ({error})".split())
        cure = f"See whether {tempfile.gettempdir()} has room, and memory is left"
        raise WorkError(spec.text, problem, cure) from error


@contextmanager
def _closing(what: Client | SpecCluster) -> Iterator[None]:
    """Close a part of Dask in the end; after a signal it is told to, but not waited for."""
    seconds = _END_SECONDS
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        seconds = 0.0
        raise
    finally:
        with suppress(Exception):
            what.close(timeout=seconds)


def _kill(cluster: SpecCluster) -> None:
    """End all workers at once: they have nothing to save, and to ask them takes seconds."""
    for nanny in list(cluster.workers.values()):
        nanny.auto_restart = False
        with suppress(ProcessLookupError, TypeError):
            os.kill(nanny.pid, signal.SIGKILL)
