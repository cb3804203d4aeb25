"""Starts the processes that train together on one machine, and speaks for the first of them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Self, TypeVar

import torch
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException

from geoseg.errors import GeosegError, WorkError
from geoseg.nn.tie import Tie, begin_tied, end_as_orphan
from geoseg.nn.wire import Wire, WiredProgress, WiredRecords
from geoseg.progress import Progress, Task

T = TypeVar("T")

_GRACE = 15.0
"""Seconds that processes have to end after another has failed."""


def run_processes(work: Callable[..., T], count: int, progress: Progress) -> T:
    """Run a function in several processes, as torchrun does, and give what the first one returns.

    torch's elastic launcher would do it too, but ends its workers half a minute after Ctrl-C,
    whether they are saved or not, and passes on neither messages nor errors as they are.

    Args:
        work: What can be pickled; it is called with `progress`.
        count: Number of processes.
        progress: Gets what the first process reports; what it logs is logged here.

    Returns:
        What `work` returned in the process of rank 0.

    Raises:
        GeosegError: As one of the processes raised it.
        KeyboardInterrupt: After Ctrl-C, when all have ended.
        SystemExit: After SIGTERM, with 143, when all have ended.
    """
    # One server for all, on a port that the system chose: nobody can take it in between.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    listener = _Listener(count, progress)
    level = logging.getLogger("geoseg").getEffectiveLevel()
    told = (work, store.port, listener.wires, level)
    process = multiprocessing.get_context("spawn").Process
    started = [process(target=begin_tied, args=(Tie(), _begin, n, *told)) for n in range(count)]
    with _forwarded(lambda: listener.begun == count) as forwarding, listener:
        with _quiet_children(), _no_interrupt():
            for each in started:
                each.start()
        # No files of errors: what `_begin` does not catch, the processes print.
        processes = ProcessContext(started, [os.devnull + "/none"] * count)  # type: ignore[no-untyped-call]
        listener.begin()
        forwarding.begin([each.pid for each in started if each.pid is not None])
        try:
            while not processes.join(timeout=0.2, grace_period=_GRACE):
                pass
        except ProcessExitedException:
            listener.finish()
            if forwarding.received or not listener.stopped:
                error = _told(listener.errors, processes)
                _end(forwarding.received or listener.stopped, error)
    _end(forwarding.received or listener.stopped)
    result: T = listener.result
    return result


class _Listener:
    """Takes what processes tell, in a thread, until all have ended."""

    def __init__(self, count: int, progress: Progress) -> None:
        self.errors: list[BaseException] = []
        self.stopped: list[int] = []
        self.result: Any = None
        self.begun = 0
        pairs = [multiprocessing.Pipe(duplex=False) for _ in range(count)]
        self.wires: list[Connection] = [ours for _, ours in pairs]
        self._ends: list[Connection] = [end for end, _ in pairs]
        self._progress = progress
        self._tasks: list[tuple[Any, Task]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def begin(self) -> None:
        """Listen; the processes have the wires by now, and alone hold them open."""
        for wire in self.wires:
            wire.close()
        self._thread.start()

    def finish(self) -> None:
        """Take what is left."""
        if self._thread.is_alive():
            self._thread.join()
        while self._tasks:
            self._take_done(None)

    def _listen(self) -> None:
        while self._ends:
            for end in wait(self._ends):
                assert isinstance(end, Connection)
                try:
                    kind, content = end.recv()
                except EOFError:
                    self._ends.remove(end)
                else:
                    getattr(self, f"_take_{kind}")(content)

    def _take_begun(self, _: None) -> None:
        self.begun += 1

    def _take_log(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)

    def _take_error(self, error: BaseException) -> None:
        self.errors.append(error)

    def _take_stopped(self, number: int) -> None:
        self.stopped.append(number)

    def _take_result(self, result: object) -> None:
        self.result = result

    def _take_event(self, content: tuple[str, dict[str, object]]) -> None:
        kind, fields = content
        self._progress.event(kind, **fields)

    def _take_task(self, content: tuple[str, int | None, str]) -> None:
        context = self._progress.task(*content)
        self._tasks.append((context, context.__enter__()))

    def _take_advance(self, count: int) -> None:
        self._tasks[-1][1].advance(count)

    def _take_done(self, _: None) -> None:
        self._tasks.pop()[0].__exit__(None, None, None)


class _Forwarding:
    """Passes Ctrl-C and SIGTERM on to processes; the second one ends them at once.

    Args:
        have_begun: Whether they all can end themselves; before that, as they still import, they
            have nothing to save and are ended at once.
    """

    def __init__(self, have_begun: Callable[[], bool]) -> None:
        self._have_begun = have_begun
        self.received: list[int] = []
        self._pids: Sequence[int] = ()

    def begin(self, pids: Sequence[int]) -> None:
        """Pass on, also what came before there were processes."""
        self._pids = pids
        for number in self.received:
            self._pass_on(number)

    def take(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del frame
        self.received.append(number)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if len(self.received) > 1 or not self._have_begun():
            number = signal.SIGKILL
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def _forwarded(have_begun: Callable[[], bool]) -> Iterator[_Forwarding]:
    forwarding = _Forwarding(have_begun)
    if threading.current_thread() is not threading.main_thread():
        yield forwarding
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [(number, signal.signal(number, forwarding.take)) for number in numbers]
    try:
        yield forwarding
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def _quiet_children() -> Iterator[None]:
    """Have processes that start keep torch's own warnings, which go past Python's, to themselves.

    DDP warns where it looks for parameters without a gradient and finds none.
    """
    key = "TORCH_CPP_LOG_LEVEL"
    before = os.environ.get(key)
    os.environ.setdefault(key, "ERROR")
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Have processes that start not hear Ctrl-C, which a terminal sends to all, while they import.

    A mask is handed down to them; `_begin` lifts it, and what came meanwhile is heard then.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the first one that starts would: it lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(
    rank: int,
    work: Callable[..., object],
    port: int,
    wires: Sequence[Connection],
    level: int,
) -> None:
    """Be one of the processes: as torchrun would have started it."""
    count = len(wires)
    for other in (*wires[:rank], *wires[rank + 1 :]):
        other.close()
    wire = Wire(wires[rank])
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count),
        GROUP_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE=str(True),  # the server is there already
    )  # fmt: skip
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    own = logging.getLogger("geoseg")
    own.handlers[:], own.propagate = [WiredRecords(wire)], False
    own.setLevel(level)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_as_orphan(parent.pid)  # it was killed while this one imported
    wire.send("begun", None)
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        result = work(progress=WiredProgress(wire) if rank == 0 else Progress())
    except (KeyboardInterrupt, SystemExit) as stop:
        wire.send("stopped", signal.SIGTERM if isinstance(stop, SystemExit) else signal.SIGINT)
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - told by the process that started this one
        is_known = isinstance(error, (GeosegError, MemoryError, OSError))
        # That another has gone tells nothing of why it went.
        if not isinstance(error, DistError) and "/gloo/" not in str(error):
            text = f"{type(error).__name__}: {error}"
            wire.send("error", error if is_known else RuntimeError(text))
        os._exit(1)  # the others may never answer: nothing is waited for
    if rank == 0:
        wire.send("result", result)


def _end(signals: Sequence[int], error: BaseException | None = None) -> None:
    """End as a signal wants it, or by the error."""
    if signals and signals[0] == signal.SIGTERM:
        raise SystemExit(128 + signal.SIGTERM)
    if signals:
        raise KeyboardInterrupt
    if error is not None:
        raise error


def _told(errors: list[BaseException], processes: ProcessContext) -> BaseException:
    """The error to raise: one of ours, that a process has gone, or another."""
    for error in errors:
        if isinstance(error, GeosegError):
            return error
    codes = [process.exitcode or 0 for process in processes.processes]
    # SIGTERM is what those get who do not end after another has failed.
    killed = [n for n, code in enumerate(codes) if code < 0 and code != -signal.SIGTERM]
    if errors and not killed:
        return errors[0]
    index = killed[0] if killed else next(n for n, code in enumerate(codes) if code)
    by = f"signal {_name_of(-codes[index])}" if codes[index] < 0 else f"exit code {codes[index]}"
    return WorkError(
        f"process {index}",
        f"ended without a word ({by})",
        "Its memory may have been too small: set a smaller train.batch_size or fewer workers",
    )


def _name_of(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, str(number))
