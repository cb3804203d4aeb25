"""A thread that can be waited for until it has really ended, whatever interrupts the wait."""

from __future__ import annotations

import threading
from collections.abc import Callable


class WorkerThread(threading.Thread):
    """A thread whose `join` can be called again after a signal has interrupted it.

    Before Python 3.13 `threading.Thread` then counts as ended while it still runs, and the second
    `join` returns at once: what the thread works with is closed under it, which ends the process.

    Args:
        target: What it does.
        name: Of the thread.
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._over = threading.Event()

    def run(self) -> None:
        """Do it; called by the thread itself."""
        try:
            super().run()
        finally:
            self._over.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, if it was started.

        Args:
            timeout: Seconds; None to wait as long as it takes.
        """
        if self.ident is not None:
            self._over.wait(timeout)
