"""The rows of a scene that are in memory while it is predicted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.engine.timings import Timings
from geoseg.geo.raster import Raster, Scene

Hide = Callable[[Raster], npt.NDArray[np.bool_]]
"""Tells what stays valid (height, width) of a strip."""

AHEAD = 2
"""Strips that may wait in memory for the network."""

_LEAST_ROWS = 64
_WARPED_ROWS = 1024
"""A warped scene is read in high strips: for each of them its source is looked up anew."""

MOST_BYTES = 16 << 20
"""Of a strip; the next one begins where it ends, be it within a row of blocks."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The rows and columns that some windows cover; beyond a small scene where it is reflected."""

    rows: tuple[int, int]
    """First row, and behind the last."""

    cols: tuple[int, int]
    """First column, and behind the last."""

    @property
    def width(self) -> int:
        """Columns."""
        return self.cols[1] - self.cols[0]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of an extent."""

    first: int
    """The first of them."""

    data: Tensor | None
    """(bands, rows, width), raw, on the device of the network; None where nothing is valid, for
    which zeros stand."""

    valid: npt.NDArray[np.bool_]
    """(rows, width)."""

    uploaded: torch.cuda.Event | None = None
    """When `data` may be used, where it is on a GPU."""


class StripReader:
    """Reads an extent of a scene from top to bottom in a thread of its own, a few strips ahead.

    The strips are copied to the device from that thread too, from pinned memory and in a stream
    of their own, so that the network never waits for a copy.

    Args:
        scene: What to read.
        extent: Which rows and columns.
        hide: Called with each strip, returns what stays valid of it.
        device: Where the strips are wanted.
        timings: Told of the time spent reading.
    """

    def __init__(
        self, scene: Scene, extent: Extent, hide: Hide, device: torch.device, timings: Timings
    ) -> None:
        self._scene = scene
        self._extent = extent
        self._hide = hide
        self._device = device
        self._timings = timings
        self._queue: queue.Queue[Rows | BaseException | None] = queue.Queue(AHEAD)
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
        with self._timings.measure("wait for rows"):
            item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        try:
            with _decoding(self._device):
                self._read_all()
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads the queue
            self._queue.put(error)

    def _read_all(self) -> None:
        stream = _copy_stream(self._device)
        for window in strip_windows(self._scene, self._extent):
            if self._stopped.is_set():
                return
            with self._timings.measure("read"):
                rows = _upload(*self._read(window), self._device, stream)
            self._queue.put(rows)

    def _read(self, window: Window) -> tuple[int, npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        """Rows of the extent, continued by reflection where the scene ends before it."""
        raster = self._scene.read(window)
        data, valid = raster.data, self._hide(raster)
        height, width = self._scene.grid.shape
        if self._extent.cols[1] > width:
            cols = reflected(width, self._extent.cols[1])[self._extent.cols[0] :]
            data, valid = data[:, :, cols], valid[:, cols]
        if self._extent.rows[1] > height:  # then this window is the whole of it
            rows = reflected(height, self._extent.rows[1])[self._extent.rows[0] :]
            data, valid = data[:, rows], valid[rows]
        return window.row_off, data, valid


def _decoding(device: torch.device) -> AbstractContextManager[object]:
    """Beside a GPU all processors decode; beside a network on the processor one thread does."""
    return rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS") if device.type == "cuda" else nullcontext()


def _copy_stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _upload(
    first: int,
    data: npt.NDArray[np.generic],
    valid: npt.NDArray[np.bool_],
    device: torch.device,
    stream: torch.cuda.Stream | None,
) -> Rows:
    if not valid.any():  # no network ever looks at these values
        return Rows(first, None, valid)
    host = torch.from_numpy(np.ascontiguousarray(data))
    if stream is None:
        return Rows(first, host, valid)
    with torch.cuda.stream(stream):
        on_device = host.pin_memory().to(device, non_blocking=True)
        return Rows(first, on_device, valid, stream.record_event())


def strip_windows(scene: Scene, extent: Extent) -> list[Window]:
    """Cut an extent into strips that end where blocks do, so that no block is decoded twice.

    An extent that goes beyond the scene, which is lower than a window then, is one strip.
    """
    height, width = scene.grid.shape
    top, bottom = extent.rows
    left, right = extent.cols[0], min(extent.cols[1], width)
    if bottom > height:
        return [Window(left, top, right - left, height - top)]
    least = _LEAST_ROWS if scene.options.resolution is None else _WARPED_ROWS
    block = scene.block_rows()
    step = block * max(least // block, 1)
    row_bytes = (right - left) * bytes_per_pixel(scene)
    if step * row_bytes > MOST_BYTES:
        # The block cache holds the rest of a row of blocks until its next part is read.
        step = max(min(step, MOST_BYTES // row_bytes), 1)
    starts = [top, *range((top // step + 1) * step, bottom, step)]
    ends = [*starts[1:], bottom]
    return [
        Window(left, start, right - left, end - start)
        for start, end in zip(starts, ends, strict=True)
    ]


def bytes_per_pixel(scene: Scene) -> int:
    """Of a strip: all bands, and whether it is valid."""
    return scene.count * np.dtype(scene.dtype).itemsize + 1


class Strip:
    """A rolling buffer of rows from which windows are cut.

    Args:
        rows: The rows of an extent from top to bottom.
        extent: Which rows and columns they are.
        height: Rows of the highest window.
    """

    def __init__(self, rows: Iterator[Rows], extent: Extent, height: int) -> None:
        self._source = rows
        self._left = extent.cols[0]
        self._height = height
        self._first = extent.rows[0]  # the row at `_start` of the buffer
        self._start = self._end = 0
        self._data: Tensor | None = None
        self._valid = np.empty((0, extent.width), dtype=np.bool_)
        self._has_data = np.empty(0, dtype=np.bool_)  # rows with a valid pixel

    def advance(self, row: int, size: int) -> None:
        """Bring `size` rows from `row` on into memory; rows above are forgotten."""
        self._start += row - self._first
        self._first = row
        while self._end - self._start < size:
            self._append(next(self._source))

    def has_data(self, size: int) -> bool:
        """Whether anything is valid in the rows last advanced to."""
        return bool(self._has_data[self._start : self._start + size].any())

    def pixels(self, col: int, size: int) -> Tensor:
        """View of the values (bands, size, size) of the rows last advanced to."""
        assert self._data is not None
        left = col - self._left
        return self._data[:, self._start : self._start + size, left : left + size]

    def valid(self, col: int, size: int) -> npt.NDArray[np.bool_]:
        """View of where they are valid (size, size)."""
        left = col - self._left
        return self._valid[self._start : self._start + size, left : left + size]

    def _append(self, rows: Rows) -> None:
        self._reserve(len(rows.valid))
        end = self._end + len(rows.valid)
        if rows.data is not None:
            self._copy(rows.data, rows.uploaded)
        elif self._data is not None:
            self._data[:, self._end : end].zero_()
        self._valid[self._end : end] = rows.valid
        self._has_data[self._end : end] = rows.data is not None
        self._end = end

    def _copy(self, data: Tensor, uploaded: torch.cuda.Event | None) -> None:
        """Put values (bands, rows, width) behind those that are there."""
        if uploaded is not None:
            stream = torch.cuda.current_stream(data.device)
            stream.wait_event(uploaded)
            data.record_stream(stream)
        if self._data is None:
            self._data = data.new_zeros((len(data), *self._valid.shape))
        self._data[:, self._end : self._end + data.shape[1]] = data

    def _reserve(self, count: int) -> None:
        """Have room for `count` rows: what is forgotten makes room, seldom and at once."""
        if self._end + count <= len(self._valid):
            return
        kept, width = self._end - self._start, self._valid.shape[1]
        old, old_valid, shift = self._data, self._valid, self._start
        self._has_data[:kept] = self._has_data[self._start : self._end].copy()
        capacity = max(buffer_rows(self._height, count), kept + count)
        if len(old_valid) < capacity:
            self._valid = np.empty((capacity, width), dtype=np.bool_)
            self._has_data = np.resize(self._has_data, capacity)
            self._data = None if old is None else old.new_empty((len(old), capacity, width))
            shift = max(kept, 1)
        for place in range(0, kept, shift):  # in pieces whose two places do not overlap
            here = slice(place, min(place + shift, kept))
            there = slice(self._start + here.start, self._start + here.stop)
            self._valid[here] = old_valid[there]
            if self._data is not None and old is not None:
                self._data[:, here] = old[:, there]
        self._start, self._end = 0, kept


def buffer_rows(height: int, step: int) -> int:
    """Rows of the buffer for windows `height` high that are filled by `step` rows at once."""
    return height + max(step, height // 2)


def reflected(length: int, padded: int) -> npt.NDArray[np.intp]:
    """Indices (padded,) that continue an axis of `length` by reflection, again and again."""
    return np.pad(np.arange(length), (0, max(padded - length, 0)), mode="reflect")
