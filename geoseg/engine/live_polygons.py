"""Polygons that are made in a thread of their own, while their scene is predicted."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoseg.engine.live_rows import LiveRows
from geoseg.geo.worker_thread import WorkerThread


class LivePolygons:
    """Makes polygons of rows as they come; they get their name when the block ends well.

    Args:
        rows: Where the rows come through.
        making: Entering it makes polygons of all rows, leaving it names them.
    """

    def __init__(self, rows: LiveRows, making: AbstractContextManager[None]) -> None:
        self._rows, self._making = rows, making
        self._error: BaseException | None = None
        self._thread = WorkerThread(self._run, "geoseg-polygons")

    def __enter__(self) -> Self:
        self._thread.start()
        # Writing polygons changes Python's warning filters, which are of the whole process. Now
        # no other thread is at work that would change them, too, and put them back too late.
        try:
            self._rows.wait_for_taker()
        except BaseException:  # an interrupt: nobody would ever tell the thread
            self._rows.give_up()
            self._thread.join()
            raise
        return self

    def put(self, classes: npt.NDArray[Any], confidences: npt.NDArray[np.uint8]) -> None:
        """Hand over the next rows; nobody may change them any more.

        Args:
            classes: Values (rows, width).
            confidences: (1 or 2, rows, width), as `ConfidenceProduct` encodes them.

        Raises:
            WorkError: If the polygons of earlier rows could not be written.
        """
        if not self._rows.put(classes, confidences):
            self.finish()

    def finish(self) -> None:
        """Wait until the polygons of all rows are written.

        Raises:
            WorkError: If they could not be written.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._rows.give_up()
        self._thread.join()
        if self._error is None:
            self._making.__exit__(kind, error, trace)

    def _run(self) -> None:
        try:
            self._making.__enter__()
        except BaseException as error:  # noqa: BLE001 - raised by `put` and `finish`
            self._error = error
        finally:
            self._rows.leave()
