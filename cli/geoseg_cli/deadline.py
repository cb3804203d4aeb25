"""Ctrl-C and SIGTERM end the process within two seconds, also while a library hears nothing.

Python hands a signal on when the main thread comes back from compiled code. To make overviews of a
large raster may take minutes, and an exception that is raised in a library's callback is lost. So
a thread watches too, and ends the process itself where that takes too long.
"""

from __future__ import annotations

import multiprocessing.util
import os
import signal
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any

GRACE = 1.4
"""Seconds that the work has to clean up and end."""

_CLEANING = 0.3
"""Seconds for removing what is unfinished after that; the next run removes what is left."""


def end_in_time(handlers: Collection[Any]) -> None:
    """Watch for signals from now on; a process calls it once, in its main thread.

    Args:
        handlers: Those that end the work. While somebody else listens, as training does, which
            saves itself first, the process is left alone.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # The pipe is shared with processes that are forked off, but their signals are not meant.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_watch, args=(reading, handlers), daemon=True).start()


def _watch(reading: int, handlers: Collection[Any]) -> None:
    """Wait for a signal, then for the end of the process."""
    while True:
        (number,) = os.read(reading, 1)
        if number in {signal.SIGINT, signal.SIGTERM} and signal.getsignal(number) in handlers:
            threading.Event().wait(GRACE)
            if signal.getsignal(number) in handlers:
                _end(number)


def _end(number: int) -> None:
    """End the process and those that it has started."""
    cleaning = threading.Thread(target=leave_nothing, daemon=True)
    cleaning.start()
    cleaning.join(_CLEANING)
    if number == signal.SIGINT:
        with suppress(OSError):
            os.write(2, b"Error: interrupted\n")
    os._exit(128 + number)


def leave_nothing() -> None:
    """End what this process has started, and remove what it has not finished.

    Context managers do so as well, but a signal may come while one of them is about to.
    """
    for child in multiprocessing.active_children():
        child.kill()
    # Semaphores of ended workers, too, when the process ends at once; Python offers no other way.
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]  # noqa: SLF001
    lock = sys.modules.get("geoseg.geo.output_lock")
    if lock is not None:  # else nothing is being written
        lock.abandon()
