"""Where the time of a run goes, and how much of it a side work may take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the seconds of each kind of work; it runs from the moment it is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._began = time.monotonic()
        self._last: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._began

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time within to that of a kind of work."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._last[name] = time.monotonic() - began
            self.seconds[name] += self._last[name]

    def allows(self, name: str, share: float, first: float = 1.0) -> bool:
        """Whether a work may be done once more without taking more than a share of all time.

        Args:
            name: The kind of work.
            share: Most of the time (0 to 1) that it may take.
            first: Seconds that the first time is thought to take.
        """
        expected = self._last.get(name, first)
        return self.seconds[name] + expected <= share * self.elapsed
