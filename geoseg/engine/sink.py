"""The thread that writes finished rows, and notes which are safe on the disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.engine.fetch import Fetched
from geoseg.engine.journal import Journal
from geoseg.engine.memory import BEHIND
from geoseg.engine.parts import Part
from geoseg.engine.scene_polygons import Take
from geoseg.engine.timings import Timings
from geoseg.geo.cog import BLOCK, RasterWriter
from geoseg.geo.worker_thread import WorkerThread

CHECKPOINT_SECONDS = 20.0
"""Work that a kill may cost: so often finished rows are made safe."""


_LOOK_SECONDS = 0.1
"""How often a writer without work looks whether it is to stop."""


@dataclass(frozen=True, slots=True)
class _Piece:
    part: int
    arrays: Sequence[Fetched]
    valid: npt.NDArray[np.bool_]


class Sink:
    """Writes the rows of several rasters in a thread of its own, by whole rows of blocks.

    Args:
        writers: Open rasters of one grid; the first holds class values.
        nodata: Value of each raster where nothing is valid.
        parts: What of the rasters is written.
        classes: Class values to count.
        take: Takes the rows of the first and of the last raster once they are written, part by
            part from the top down.
        journal: Where to note what is safe on the disk.
        timings: Told how long writing takes, and is waited for.
    """

    def __init__(
        self,
        writers: Sequence[RasterWriter],
        nodata: Sequence[float],
        parts: Sequence[Part],
        *,
        classes: Sequence[int],
        journal: Journal,
        timings: Timings,
        take: Take | None = None,
    ) -> None:
        self._writers, self._parts, self._classes = writers, parts, classes
        self._take = take
        self._gathered = [
            [_Gathered(writer, value, part) for writer, value in zip(writers, nodata, strict=True)]
            for part in parts
        ]
        self._journal = journal
        self._timings = timings
        self._queue: queue.Queue[_Piece | None] = queue.Queue(BEHIND)
        self._error: BaseException | None = None
        self._thread = WorkerThread(self._run, "geoseg-writer")
        self._stopped = threading.Event()
        self._saved = time.monotonic()
        self._noted: dict[int, int] = {}
        """The row up to which the journal tells of each part."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._timings.measure("wait for writer"):
                    self._queue.put(None)
                    self._thread.join()
        finally:
            self.end()
        if kind is None and self._error is not None:
            raise self._error

    def end(self) -> None:
        """Write no more, and wait until nothing is being written.

        To be called before the rasters are closed, also if the `with` block was left: a signal may
        have come as it was being entered, or left.
        """
        self._stopped.set()
        self._thread.join()

    def put(self, part: int, arrays: Sequence[Fetched], valid: npt.NDArray[np.bool_]) -> None:
        """Take the next rows of a part.

        Args:
            part: Which.
            arrays: Values (bands, rows, width) of each raster; they are written into. Of rows of
                which nothing is valid only bands and type count.
            valid: (rows, width).

        Raises:
            WorkError: If writing earlier rows failed.
        """
        with self._timings.measure("wait for writer"):
            if self._error is not None:
                raise self._error
            self._queue.put(_Piece(part, arrays, valid))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                piece = self._queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if piece is None:
                return
            if self._error is None:
                try:
                    self._write(piece)
                except BaseException as error:  # noqa: BLE001 - raised by `put` or at the end
                    self._error = error

    def _write(self, piece: _Piece) -> None:
        part = self._parts[piece.part]
        with self._timings.measure("wait for device"):
            arrays = [fetched.array() for fetched in piece.arrays]
        with self._timings.measure("write"):
            written = [
                gathered.append(data, piece.valid, part)
                for gathered, data in zip(self._gathered[piece.part], arrays, strict=True)
            ]
            classes, last = written[0], written[-1]
            if classes is not None and last is not None:
                part.count(classes, self._classes)
                part.row += classes.shape[1]
                if self._take is not None:
                    with self._timings.measure("wait for polygons"):
                        self._take(classes[0], last)
            if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
                self._save()

    def _save(self) -> None:
        """Make what is written safe, and note it: in this order."""
        self._saved = time.monotonic()
        marks = [
            part.mark(place)
            for place, part in enumerate(self._parts)
            if part.row > self._noted.get(place, part.rows[0])
        ]
        if not marks:
            return
        checksums = [writer.checkpoint() for writer in self._writers]
        self._journal.add(marks, checksums)
        self._noted.update({mark.region: mark.row for mark in marks})
        for writer in self._writers:
            writer.keep = True
        self._saved = time.monotonic()


class _Gathered:
    """Rows of a part of a raster, until whole rows of blocks can be written."""

    def __init__(self, writer: RasterWriter, nodata: float, part: Part) -> None:
        self._writer = writer
        self._nodata = nodata
        self._left = part.cols[0]
        self._pieces: list[npt.NDArray[Any]] = []
        self._waiting = 0

    def append(
        self, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_], part: Part
    ) -> npt.NDArray[Any] | None:
        """Take rows; what (bands, rows, width) was written from the part's row on, if anything."""
        data = data.astype(self._writer.profile.dtype, copy=False)
        if not valid.any():
            data = np.full((len(data), *valid.shape), self._nodata, data.dtype)
        elif not valid.all():
            # By a mask, not by indices: those of a pixel take 16 bytes.
            np.copyto(data, data.dtype.type(self._nodata), where=~valid)
        self._pieces.append(data)
        self._waiting += data.shape[1]
        if part.row + self._waiting == part.rows[1]:
            return self._flush(self._waiting, part.row)
        whole = self._waiting // BLOCK * BLOCK
        return self._flush(whole, part.row) if whole else None

    def _flush(self, rows: int, row: int) -> npt.NDArray[Any]:
        gathered = np.concatenate(self._pieces, axis=1)
        written = gathered[:, :rows]
        self._writer.write(written, Window(self._left, row, written.shape[2], rows))
        self._pieces = [gathered[:, rows:].copy()] if gathered.shape[1] > rows else []
        self._waiting -= rows
        return written
