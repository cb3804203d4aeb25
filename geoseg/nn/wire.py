"""How a process tells the one that started it what it does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from geoseg.progress import Progress, Task


class Wire:
    """Sends messages from any thread; to nobody, where the other process has gone.

    Args:
        connection: The end to write to.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, kind: str, content: object) -> None:
        """Send a message: its kind, and what can be pickled."""
        with self._lock, suppress(OSError):
            self._connection.send((kind, content))


class WiredProgress(Progress):
    """Reports progress through a wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__("none")
        self._wire = wire

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        """Report one piece of work."""
        self._wire.send("task", (name, total, unit))
        yield _WiredTask(self._wire)
        self._wire.send("done", None)

    def event(self, kind: str, **fields: object) -> None:
        """Report an event."""
        self._wire.send("event", (kind, fields))


class WiredRecords(logging.Handler):
    """Sends records of the log through a wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, its arguments put in: they may not be picklable."""
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._wire.send("log", record)


class _WiredTask:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def advance(self, count: int = 1) -> None:
        """Report that so many units are done."""
        self._wire.send("advance", count)
