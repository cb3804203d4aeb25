"""Where the seconds of a prediction go, and how much memory it takes."""

from __future__ import annotations

import resource
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal, NamedTuple, Self, TypedDict, get_args

import torch

from geoseg.engine.memory_size import MEBIBYTE

Stage = Literal[
    "setup",
    "wait for rows",
    "cut",
    "forward",
    "add",
    "encode",
    "wait for writer",
    "finish",
    "read",
    "write",
    "wait for device",
    "wait for polygons",
]
"""What a thread is at. `setup` comes before the work. The last four are what the threads of reader
and writer do beside it: the writer waits for a GPU to finish the rows that it is to write, and for
the polygons of earlier rows to be made. All others are the thread's that runs the network."""

Bound = Literal["network", "reading", "stitching", "writing"]
"""What a run would have to be quicker at to end sooner."""

STAGES: tuple[Stage, ...] = get_args(Stage)


class Span(NamedTuple):
    """Once that a thread was at a stage."""

    stage: Stage
    thread: str
    """Name of the thread."""
    start: float
    """Seconds since the timings were made."""
    stop: float
    """Seconds since the timings were made."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was done in the time that was measured."""

    scene: str
    """The scene's path."""

    runtime: str
    """Run-time, device and numbers of the network."""

    windows: int
    """Windows that went through the network."""

    skipped: int
    """Windows without any valid pixel, which did not."""

    pixels: int
    """Pixels of the scene that this run finished; after a resume only those that were left."""

    window_seconds: float | None = None
    """Seconds of the bare forward pass of one window, by all networks that it goes through; None
    where that was not measured."""

    devices: int = 1
    """Devices that ran the network at the same time."""


class BareForward(TypedDict):
    """What the network alone would take."""

    seconds_per_window: float
    ratio: float | None
    """Of its time to that of the work; 1 is the limit."""


class Report(TypedDict):
    """What `geoseg predict --timings` prints; sizes are in MiB, None is null."""

    scene: str
    runtime: str
    windows: int
    skipped: int
    megapixels: float
    seconds: dict[str, float]
    megapixels_per_second: float | None
    windows_per_second: float | None
    bound_by: Bound
    bare_forward: BareForward | None
    peak_memory_mib: float
    peak_gpu_memory_mib: float | None


class Timings:
    """Adds up how long threads are at each stage.

    Any thread may measure at any time. Blocks may lie in each other: the time of an inner block
    counts for its own stage only, so that the stages of one thread never count a second twice.
    A block must not hold a `yield`, because whoever takes what is yielded would be measured too.

    Args:
        keep_spans: How many of the first blocks are kept one by one, to be drawn.
    """

    def __init__(self, keep_spans: int = 0) -> None:
        self._spans: list[tuple[Stage, str, float, float]] = []
        self._keep_spans = keep_spans
        self._made = perf_counter()
        self._seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self._first, self._last = float("inf"), 0.0
        self._lock = threading.Lock()
        self._here = _Here()

    def measure(self, stage: Stage) -> _Block:
        """Measure a `with` block.

        Args:
            stage: What this thread is at in the block.
        """
        return _Block(self, self._here, stage)

    def add(self, stage: Stage, seconds: float) -> None:
        """Count time that was measured elsewhere; `total` does not grow by it.

        Args:
            stage: What the time went to.
            seconds: How long it was.
        """
        with self._lock:
            self._seconds[stage] += seconds

    @property
    def spans(self) -> list[Span]:
        """The first blocks, in the order in which they ended: inner ones before their outer one."""
        made = self._made
        with self._lock:
            return [Span(stage, name, a - made, b - made) for stage, name, a, b in self._spans]

    @property
    def total(self) -> float:
        """Seconds of the work: from the begin of the first block to the end of the last one.

        That is from the first row asked for to the last file published; `setup` lies before.
        """
        return max(self._last - self._first, 0.0)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds in total and of each stage; those of several threads are added up."""
        with self._lock:
            seconds: dict[str, float] = {"total": self.total}
            seconds.update((stage, spent) for stage, spent in self._seconds.items())
            return seconds

    @property
    def bound_by(self) -> Bound:
        """What took most of the time of the thread that runs the network.

        Reader and writer run beside it, so their own time tells nothing: a reader that is always
        at work and always in time bounds nothing. What counts is how long the network's thread
        waits for them. That thread is at the network (`forward`), waits for rows (reading), cuts,
        adds and encodes (stitching), or waits for the writer, at last until all is published
        (writing); the largest of these four bounds the run.

        A GPU works on when its calls have returned, whatever they are. Then the network's thread
        comes to wait for a writer that itself waits for the GPU: so much of its waiting is the
        network's.
        """
        took = self.seconds
        device = min(took["wait for writer"], took["wait for device"])
        shares: dict[Bound, float] = {
            "network": took["forward"] + device,
            "reading": took["wait for rows"],
            "stitching": took["cut"] + took["add"] + took["encode"],
            "writing": took["wait for writer"] - device + took["finish"],
        }
        return max(shares, key=lambda bound: shares[bound])

    def report(self, run: Run) -> Report:
        """Tell what was measured.

        Args:
            run: What was done in that time.

        Returns:
            Plain values, to be printed as JSON. The ratio to the bare forward pass is windows x
            seconds of a window / devices / `total`.
        """
        gpu = peak_gpu_memory()
        megapixels = run.pixels / 1e6
        return {
            "scene": run.scene,
            "runtime": run.runtime,
            "windows": run.windows,
            "skipped": run.skipped,
            "megapixels": megapixels,
            "seconds": {stage: round(seconds, 4) for stage, seconds in self.seconds.items()},
            "megapixels_per_second": _per(megapixels, self.total),
            "windows_per_second": _per(run.windows, self.total),
            "bound_by": self.bound_by,
            "bare_forward": self._bare_forward(run),
            "peak_memory_mib": round(peak_memory() / MEBIBYTE, 1),
            "peak_gpu_memory_mib": None if gpu is None else round(gpu / MEBIBYTE, 1),
        }

    def _bare_forward(self, run: Run) -> BareForward | None:
        if run.window_seconds is None:
            return None
        alone = run.windows * run.window_seconds / run.devices
        return {
            "seconds_per_window": round(run.window_seconds, 6),
            "ratio": _per(alone, self.total),
        }

    def _end(self, stage: Stage, own: float, start: float, stop: float) -> None:
        with self._lock:
            self._seconds[stage] += own
            if stage != "setup":
                self._first = min(self._first, start)
                self._last = max(self._last, stop)
            if len(self._spans) < self._keep_spans:
                self._spans.append((stage, self._here.thread, start, stop))


class _Here(threading.local):
    """What each thread knows for itself."""

    def __init__(self) -> None:  # called in each thread that asks
        self.thread = threading.current_thread().name
        self.inner = 0.0
        """Seconds of the blocks that ended inside the one that is open."""


class _Block:
    """One block that is measured, once."""

    __slots__ = ("_here", "_outer", "_stage", "_start", "_timings")

    def __init__(self, timings: Timings, here: _Here, stage: Stage) -> None:
        self._timings = timings
        self._here = here
        self._stage = stage

    def __enter__(self) -> Self:
        self._outer = self._here.inner
        self._here.inner = 0.0
        self._start = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        stop = perf_counter()
        took = stop - self._start
        own = took - self._here.inner
        self._here.inner = self._outer + took
        self._timings._end(self._stage, own, self._start, stop)  # noqa: SLF001 - of one piece


def peak_memory() -> int:
    """The most bytes of main memory that this process has held."""
    # On Linux the figure of getrusage begins with that of the program that started this one.
    kibibytes = _status("VmHWM")
    if kibibytes is not None:
        return kibibytes << 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def current_memory() -> int:
    """Bytes of main memory that this process holds now; the most it has held, where unknown."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return peak_memory()
    return int(pages) * resource.getpagesize()


def peak_gpu_memory() -> int | None:
    """The most bytes that PyTorch has taken of a GPU, of the fullest one; None where of none.

    Other run-times keep books of their own, and are not in it.
    """
    if not torch.cuda.is_available():
        return None
    devices = range(torch.cuda.device_count())
    return max(torch.cuda.max_memory_reserved(device) for device in devices) or None


def _status(key: str) -> int | None:
    """A figure of /proc/self/status; None where there is no such thing."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) if found else None


def _per(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 4) if seconds > 0 else None
