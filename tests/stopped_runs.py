"""Runs that are interrupted in the middle, to be gone on with."""

import time

from geoseg.progress import Progress


class Stop(Progress):
    """Interrupts the work like Ctrl-C, when so many rows are done.

    Args:
        rows: More than these.
        seconds: For which the writer gets time to finish what it was given.
    """

    def __init__(self, rows, seconds=0.3):
        super().__init__("none")
        self.rows, self.seconds = rows, seconds

    def task(self, name, total=None, unit="it"):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def advance(self, count=1):
        self.rows -= count
        if self.rows < 0:
            time.sleep(self.seconds)
            raise KeyboardInterrupt
