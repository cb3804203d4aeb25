"""Progress and logging: bars for people, JSON lines for machines, both on stderr."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, Self, TypeVar

from geoseg.errors import printable

ProgressMode = Literal["auto", "bar", "json", "none"]
T = TypeVar("T")


class Task(Protocol):
    """One running piece of work that can be told how far it is."""

    def advance(self, count: int = 1) -> None:
        """Tell that `count` more units are done."""


class Progress:
    """Where the jobs report how far they are.

    Args:
        mode: `bar` draws tqdm bars, `json` prints one JSON object per line,
            `none` is silent, `auto` draws bars on a terminal and is silent elsewhere.
    """

    def __init__(self, mode: ProgressMode = "none") -> None:
        if mode == "auto":
            mode = "bar" if sys.stderr.isatty() else "none"
        self.mode: Literal["bar", "json", "none"] = mode

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        """Report one piece of work of `total` units; `advance` may come from any thread."""
        if self.mode == "bar":
            with _BarTask(name, total, unit) as bar:
                yield bar
        elif self.mode == "json":
            task = _JsonTask(name, total, unit)
            yield task
            task.finish()
        else:
            yield _SilentTask()

    def track(
        self, items: Iterable[T], name: str, total: int | None = None, unit: str = "it"
    ) -> Iterator[T]:
        """Yield `items`, reporting each one that is done."""
        if total is None and hasattr(items, "__len__"):
            total = len(items)  # type: ignore[arg-type]
        with self.task(name, total, unit) as task:
            for item in items:
                yield item
                task.advance()

    def event(self, kind: str, **fields: object) -> None:
        """Print one JSON line in `json` mode; nothing in the other modes."""
        if self.mode == "json":
            _print_json({"event": kind, **fields})


class _SilentTask:
    def advance(self, count: int = 1) -> None:
        """Nothing to tell."""


class _BarTask:
    def __init__(self, name: str, total: int | None, unit: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total, desc=printable(name), unit=unit, file=sys.stderr, dynamic_ncols=True
        )
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._bar.update(count)


class _JsonTask:
    """Prints at most ten lines a second, and always the last state."""

    _seconds_between_lines = 0.1

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self._fields = {"event": "progress", "task": name, "total": total, "unit": unit}
        self._done = 0
        self._printed: tuple[float, int] = (0.0, -1)
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            if time.monotonic() - self._printed[0] >= self._seconds_between_lines:
                self._print()

    def finish(self) -> None:
        with self._lock:
            if self._printed[1] != self._done:
                self._print()

    def _print(self) -> None:
        self._printed = (time.monotonic(), self._done)
        _print_json({**self._fields, "done": self._done})


def _print_json(fields: dict[str, object]) -> None:
    """Print one line in one write, so that the lines of several threads stay whole."""
    strict = {key: _finite(value) for key, value in fields.items()}
    sys.stderr.write(json.dumps(strict, default=str) + "\n")
    sys.stderr.flush()


def _finite(value: object) -> object:
    """NaN and infinities are no JSON."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _MessageHandler(logging.Handler):
    """Writes records to stderr as lines (through tqdm, so that bars stay whole) or JSON."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        message = printable(record.getMessage())
        if self._progress.mode == "json":
            self._progress.event("log", level=record.levelname.lower(), message=message)
            return
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        if self._progress.mode == "bar":
            from tqdm import tqdm

            tqdm.write(prefix + message, file=sys.stderr)
        else:
            sys.stderr.write(f"{prefix}{message}\n")
            sys.stderr.flush()


def configure_logging(progress: Progress, verbosity: int = 0) -> None:
    """Send geoseg's log records to stderr in the manner of `progress`.

    Args:
        progress: Decides between plain lines and JSON lines.
        verbosity: -1 errors only, 0 warnings and information, 1 and more debugging.
    """
    logger = logging.getLogger("geoseg")
    logger.handlers[:] = [_MessageHandler(progress)]
    logger.propagate = False
    levels = {-1: logging.ERROR, 0: logging.INFO}
    logger.setLevel(levels.get(max(verbosity, -1), logging.DEBUG))
