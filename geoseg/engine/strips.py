"""The rows of a scene that are in memory while it is predicted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.engine.layout import Layout
from geoseg.geo.raster import Raster, Scene

Rows = tuple[int, npt.NDArray[Any], npt.NDArray[np.bool_]]
"""First row, values (bands, rows, width), valid (rows, width)."""


class StripReader:
    """Reads a scene from top to bottom in a thread of its own, a few strips ahead.

    Args:
        scene: What to read.
        hide: Called with each strip, returns what stays valid of it; None leaves all.
        ahead: Strips that may wait in memory.
    """

    def __init__(
        self,
        scene: Scene,
        hide: Callable[[Raster], npt.NDArray[np.bool_]] | None = None,
        ahead: int = 2,
    ) -> None:
        self._scene = scene
        self._hide = hide
        self._queue: queue.Queue[Rows | BaseException | None] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="geoseg-reader", daemon=True)

    def __enter__(self) -> Iterator[Rows]:
        self._thread.start()
        return iter(self._take, None)

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()  # the thread may wait for a free place
            except queue.Empty:
                self._thread.join(0.01)

    def _take(self) -> Rows | None:
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        try:
            for window in strip_windows(self._scene):
                if self._stopped.is_set():
                    return
                raster = self._scene.read(window)
                valid = raster.valid if self._hide is None else self._hide(raster)
                self._queue.put((window.row_off, raster.data, valid))
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads the queue
            self._queue.put(error)


def strip_windows(scene: Scene, least_rows: int = 64, most_pixels: int = 1 << 22) -> list[Window]:
    """Cut a scene into strips of whole block rows, so that no block is decoded twice.

    Args:
        scene: What will be read.
        least_rows: Several low block rows are read together up to this height.
        most_pixels: Block rows with more pixels than this are cut.
    """
    block = scene.block_rows()
    rows = block * max(least_rows // block, 1)
    if rows * scene.grid.width > most_pixels:
        rows = max(min(rows, most_pixels // scene.grid.width), 1)
    height, width = scene.grid.shape
    return [Window(0, row, width, min(rows, height - row)) for row in range(0, height, rows)]


class Strip:
    """A buffer of rows from which windows are cut, in the memory of about a window height.

    Scenes smaller than a window are continued by reflection, to the right and below.

    Args:
        layout: The windows to cut.
        rows: The scene's rows from top to bottom.
    """

    def __init__(self, layout: Layout, rows: Iterator[Rows]) -> None:
        self._layout = layout
        self._source = rows
        self._columns = (
            reflected(layout.cols.length, layout.cols.padded)
            if layout.cols.length < layout.cols.padded
            else None
        )
        self._first = 0
        self._data: npt.NDArray[Any] | None = None
        self._valid: npt.NDArray[np.bool_] | None = None
        self._count = 0

    def advance(self, row: int) -> None:
        """Bring the rows of the windows at `row` into memory; rows above it are forgotten."""
        self._forget(row - self._first)
        while self._count < self._layout.window:
            rows = next(self._source, None)
            if rows is None:
                self._reflect_below()
                return
            self._append(rows[1], rows[2])

    def window(self, col: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The window at column `col` of the rows last advanced to.

        Returns:
            Views of values (bands, window, window) and valid (window, window).
        """
        size = self._layout.window
        assert self._data is not None
        assert self._valid is not None
        return (
            self._data[:, :size, col : col + size],
            self._valid[:size, col : col + size],
        )

    def _append(self, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        if self._columns is not None:
            data, valid = data[:, :, self._columns], valid[:, self._columns]
        self._reserve(data)
        assert self._data is not None
        assert self._valid is not None
        end = self._count + valid.shape[0]
        self._data[:, self._count : end] = data
        self._valid[self._count : end] = valid
        self._count = end

    def _reserve(self, data: npt.NDArray[Any]) -> None:
        """Grow the buffer until `data` fits behind its rows; it soon stops growing."""
        needed = self._count + data.shape[1]
        if self._data is not None and needed <= self._data.shape[1]:
            return
        capacity = max(needed, self._layout.window + data.shape[1])
        grown = np.empty((data.shape[0], capacity, data.shape[2]), dtype=data.dtype)
        grown_valid = np.zeros((capacity, data.shape[2]), dtype=np.bool_)
        if self._data is not None and self._valid is not None:
            grown[:, : self._count] = self._data[:, : self._count]
            grown_valid[: self._count] = self._valid[: self._count]
        self._data, self._valid = grown, grown_valid

    def _forget(self, rows: int) -> None:
        if rows <= 0 or self._data is None or self._valid is None:
            return
        kept = self._count - rows
        self._data[:, :kept] = self._data[:, rows : self._count]
        self._valid[:kept] = self._valid[rows : self._count]
        self._count = kept
        self._first += rows

    def _reflect_below(self) -> None:
        """Continue a scene that is lower than a window; it is in memory as a whole."""
        if self._count >= self._layout.window or self._data is None or self._valid is None:
            return
        rows = reflected(self._count, self._layout.window)
        self._data, self._valid = self._data[:, rows], self._valid[rows]
        self._count = self._layout.window


def reflected(length: int, padded: int) -> npt.NDArray[np.intp]:
    """Indices (padded,) that continue an axis of `length` by reflection, again and again."""
    return np.pad(np.arange(length), (0, max(padded - length, 0)), mode="reflect")
