"""The workers of a Dask cluster: started or found, checked, given work, and ended.

Dask schedules: it hands tasks to workers, does those of a lost worker again elsewhere, and tells
where they stand. Here is what it leaves open: no more tasks than are soon needed, one thread's
share of the machine for each worker, and an end within the time that a signal leaves.

Nothing here needs PyTorch, so that `tile` can use it as well.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import logging
import pkgutil
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from geoseg import __version__
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.errors import ConfigError, GeosegError, WorkError

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
"""After which a scheduler counts as not to be reached."""

WORKER_SECONDS = 60.0
"""For which a scheduler without workers is waited for; jobs that must queue have no such limit."""

AHEAD = 2
"""Tasks for each worker that may be under way, so that none waits for the next."""

_LOOK_SECONDS = 0.2
"""How often somebody who waits looks whether it is in vain."""


class Cluster:
    """Workers that take tasks; use it in a `with` block.

    Args:
        spec: Where they are.
        gpus: Of this machine; each of its workers gets one where there are any.

    Raises:
        ConfigError: If Dask is not installed, or there are fewer GPUs than workers.
        WorkError: If the scheduler or its workers are not to be had.
    """

    def __init__(self, spec: ClusterSpec, *, gpus: int = 0) -> None:
        self.spec, self._gpus = spec, gpus
        self.ended = threading.Event()
        """Set when whoever waits for a task shall give up."""
        self._stack = ExitStack()
        self._told: set[str] = set()
        self._here = 1
        self._taken = 0
        self._free = threading.Condition()

    def __enter__(self) -> Self:
        _need_dask(self.spec)
        try:
            self._client = self._connect()
            self._check_versions()
            self._client.subscribe_topic("all", self._hear)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        self._here = self.workers
        logger.info("%s: %d workers%s", self.spec.text, self.workers, self._dashboard())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ended.set()
        self._stack.close()

    @property
    def workers(self) -> int:
        """Workers that there are, or will be."""
        return self.spec.workers or max(len(self._client.nthreads()), 1)

    def submit(
        self, function: Callable[..., object], *arguments: object, priority: int = 0
    ) -> Future:
        """Give a task to the next worker; a slot must have been taken for it.

        Args:
            function: At the top of a module.
            arguments: What it is called with.
            priority: Higher goes first.
        """
        return self._client.submit(function, *arguments, pure=False, priority=priority)

    def take_slot(self, *, wait: bool) -> bool:
        """Take the right to one more task under way.

        Args:
            wait: Whether to wait until there is one.

        Returns:
            Whether there was one.

        Raises:
            WorkError: If the cluster was lost while waiting.
            ClusterEndedError: If the work was stopped.
        """
        with self._free:
            while self._taken >= AHEAD * max(self._here, 1):
                if not wait:
                    return False
                self._free.wait(_LOOK_SECONDS)
                self.check()
            self._taken += 1
        return True

    def give_slot(self) -> None:
        """Give it back, once what the task gave has left the memory."""
        with self._free:
            self._taken -= 1
            self._free.notify()

    def check(self) -> None:
        """See whether there is any use in waiting.

        Raises:
            WorkError: If the scheduler is gone.
            ClusterEndedError: If the work was stopped.
        """
        if self.ended.is_set():
            raise ClusterEndedError
        if self._client.status != "running":
            raise self._lost()

    def call(
        self, function: Callable[..., object], *arguments: object, priority: int = 0
    ) -> object:
        """Have a worker do something small, and wait for the answer.

        Raises:
            GeosegError: As the function does.
            WorkError: If the cluster is lost, or the worker is killed by it each time.
        """
        return self.wait(self.submit(function, *arguments, priority=priority))

    def wait(self, future: Future) -> object:
        """Wait for a task; see `result`."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK_SECONDS):
            self.check()
        return self.result(future)

    def result(self, future: Future) -> object:
        """What came of a task that is done; the workers forget it.

        Raises:
            GeosegError: As the task did.
            MemoryError: If a worker had not enough.
            WorkError: If something else went wrong, or the scheduler is lost meanwhile.
            ClusterEndedError: If the work was stopped meanwhile.
        """
        from distributed import KilledWorker

        try:
            result = self._fetch(future)
        except (GeosegError, MemoryError):
            raise
        except concurrent.futures.CancelledError as error:
            # Of a lost connection, even if another scheduler has answered there since.
            raise self._lost() from error
        except KilledWorker as error:
            problem = "one task ended every worker that it was given to"
            cure = "See the workers' logs; give each more memory, or start fewer"
            raise WorkError(self.spec.text, problem, cure) from error
        except ModuleNotFoundError as error:
            problem = f"a worker lacks {error.name}"
            raise WorkError(self.spec.text, problem, f"Install geoseg {__version__}") from error
        except Exception as error:
            self.check()
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise WorkError(self.spec.text, f"a task failed ({text})") from error
        else:
            return result
        finally:
            future.release()

    def tell(self, messages: list[tuple[int, str]]) -> None:
        """Log what workers had to say; each message once."""
        for level, text in messages:
            if text not in self._told:
                self._told.add(text)
                logger.log(level, "%s", text)

    def _fetch(self, future: Future) -> object:
        """What a task gave, brought here as long as there is any use in waiting."""
        loop = self._client.loop.asyncio_loop
        gathered = self._client.gather(future, asynchronous=True)
        answer: concurrent.futures.Future[object]
        answer = asyncio.run_coroutine_threadsafe(gathered, loop)
        try:
            while not concurrent.futures.wait([answer], _LOOK_SECONDS).done:
                self.check()
        except BaseException:
            answer.cancel()
            raise
        return answer.result()

    def _lost(self) -> WorkError:
        return WorkError(self.spec.text, "its scheduler is gone", "Start it, and --resume")

    def _connect(self) -> Client:
        from geoseg.engine.cluster_start import connect, silence, start_local, start_slurm

        silence()
        with warnings.catch_warnings():
            # Other versions of Dask's own libraries are told as a warning of many lines.
            warnings.simplefilter("ignore")
            if self.spec.kind == "scheduler":
                return self._stack.enter_context(connect(self.spec.text, CONNECT_SECONDS))
            start = start_local if self.spec.kind == "local" else start_slurm
            address = self._stack.enter_context(start(self.spec, self._gpus))
            return self._stack.enter_context(connect(address, CONNECT_SECONDS))

    def _check_versions(self) -> None:
        """Refuse workers of another geoseg; those that come later tell it themselves."""
        seconds = WORKER_SECONDS if self.spec.kind == "scheduler" else None
        try:
            self._client.wait_for_workers(1, timeout=seconds)
        except TimeoutError as error:
            raise WorkError(
                self.spec.text, f"has no workers within {seconds:.0f} s", "Start dask worker"
            ) from error
        found: Mapping[str, Any] = self._client.run(
            pkgutil.resolve_name, "geoseg:__version__", on_error="return"
        )
        for worker, version in sorted(found.items()):
            if version != __version__:
                has = f"geoseg {version}" if isinstance(version, str) else "no geoseg"
                problem = f"{worker} has {has}, this is geoseg {__version__}"
                raise WorkError("--cluster", problem, f"Install geoseg {__version__} there")

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Count workers that come to a running scheduler, and go; tell of one that was lost.

        Dask has the tasks of a lost one done again.
        """
        _, told = event
        change = {"add-worker": 1, "remove-worker": -1}.get(told.get("action", ""), 0)
        if self.spec.workers is None:
            with self._free:
                self._here += change
        if change < 0 and not self.ended.is_set():
            text = "%s: lost the worker %s; what it was at is done again"
            logger.warning(text, self.spec.text, told.get("worker"))

    def _dashboard(self) -> str:
        if self.spec.kind == "local" and self.spec.dashboard is None:
            return ""
        return f", dashboard at {self._client.dashboard_link}"


class ClusterEndedError(BaseException):
    """Ends a thread that waits for a task when the work is stopped; why is told elsewhere."""


def _need_dask(spec: ClusterSpec) -> None:
    wanted = {"distributed": "geoseg[cluster]"}
    if spec.kind != "scheduler":
        wanted["cryptography"] = "geoseg[cluster]"
    if spec.kind == "slurm":
        wanted["dask_jobqueue"] = "dask-jobqueue"
    if spec.dashboard is not None:
        wanted["bokeh"] = "bokeh"
    for module, package in wanted.items():
        if importlib.util.find_spec(module) is None:
            problem = f"{spec.text} needs {module}, which is not installed"
            raise ConfigError("--cluster", problem, f'pip install "{package}"')
