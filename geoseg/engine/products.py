"""What is made of scores: class values and probabilities, and the thread that writes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.geo.cog import BLOCK, RasterProfile, RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.style import raster_colormap

PROBABILITY_SCALE = 0.005
"""Probability in one step of a probability raster of uint8."""


class Product(Protocol):
    """Turns rows of scores into rows of one raster."""

    @property
    def nodata(self) -> float:
        """Written where nothing is valid."""

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """What the raster is, with tags and creation options."""

    def encode(self, scores: Tensor) -> npt.NDArray[Any]:
        """Turn scores (classes, rows, width) on the device into values (bands, rows, width)."""


class ClassProduct:
    """The class with the highest score of each pixel.

    Args:
        legend: Turns channels into class values.
        exclude: Channels that are never chosen.
    """

    def __init__(self, legend: Legend, exclude: Sequence[int] = ()) -> None:
        self._legend = legend
        self.dtype = "uint8" if max(legend.values) < 255 else "uint16"
        self.nodata = 255.0 if self.dtype == "uint8" else 65535.0
        self._channels = [c for c in range(legend.count) if c not in set(exclude)]
        self._values = np.array([legend.values[c] for c in self._channels], dtype=self.dtype)

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """One band, with the legend's colours where it can hold them."""
        return RasterProfile(
            grid=grid,
            dtype=self.dtype,
            nodata=self.nodata,
            colormap=raster_colormap(self._legend) if self.dtype == "uint8" else None,
            band_names=("class",),
            tags=tags,
            options=options,
        )

    def encode(self, scores: Tensor) -> npt.NDArray[Any]:
        """Class values (1, rows, width)."""
        # Comparing channel by channel is ten times faster on processors than torch.argmax over
        # the channel axis.
        best = scores[self._channels[0]]
        index = torch.zeros(best.shape, dtype=torch.int16, device=scores.device)
        for place, channel in enumerate(self._channels[1:], start=1):
            better = scores[channel] > best
            index.masked_fill_(better, place)
            best = torch.maximum(best, scores[channel])
        values: npt.NDArray[Any] = self._values[index.cpu().numpy()][None]
        return values


class ProbabilityProduct:
    """The score of every class.

    Args:
        legend: Names the channels.
        dtype: `uint8` in steps of `PROBABILITY_SCALE`, or `float32`.
    """

    def __init__(self, legend: Legend, dtype: str = "uint8") -> None:
        self._legend = legend
        self.dtype = dtype
        self.nodata = 255.0 if dtype == "uint8" else float("nan")
        self.scale = PROBABILITY_SCALE if dtype == "uint8" else None

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """A band for each class, described by its name."""
        return RasterProfile(
            grid=grid,
            count=self._legend.count,
            dtype=self.dtype,
            nodata=self.nodata,
            band_names=self._legend.names,
            tags=tags,
            scale=self.scale,
            overview_resampling="average",
            options=options,
        )

    def encode(self, scores: Tensor) -> npt.NDArray[Any]:
        """Scores (classes, rows, width), quantised where the raster is."""
        if self.dtype == "float32":
            return scores.float().cpu().numpy().astype(np.float32, copy=True)
        steps = (scores / PROBABILITY_SCALE).round_().clamp_(0, round(1 / PROBABILITY_SCALE))
        return steps.to(torch.uint8).cpu().numpy()


class Sink:
    """Writes the rows of several rasters in a thread of its own, by whole rows of blocks.

    Args:
        writers: Open rasters of one grid.
        nodata: Value of each raster where nothing is valid.
        behind: Pieces of rows that may wait in memory.
    """

    def __init__(
        self, writers: Sequence[RasterWriter], nodata: Sequence[float], behind: int = 4
    ) -> None:
        self._rasters = [_Raster(w, n) for w, n in zip(writers, nodata, strict=True)]
        self._queue: queue.Queue[_Piece | None] = queue.Queue(behind)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="geoseg-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def put(self, arrays: Sequence[npt.NDArray[Any]], valid: npt.NDArray[np.bool_]) -> None:
        """Take the next rows.

        Args:
            arrays: Values (bands, rows, width) of each raster; they are written into.
            valid: (rows, width).

        Raises:
            WorkError: If writing earlier rows failed.
        """
        if self._error is not None:
            raise self._error
        self._queue.put((arrays, valid))

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            if self._error is None:
                self._write(piece)
        if self._error is None:
            self._write(None)

    def _write(self, piece: _Piece | None) -> None:
        try:
            for place, raster in enumerate(self._rasters):
                if piece is None:
                    raster.finish()
                else:
                    raster.append(piece[0][place], piece[1])
        except BaseException as error:  # noqa: BLE001 - raised by `put` or at the end
            self._error = error


_Piece = tuple[Sequence[npt.NDArray[Any]], npt.NDArray[np.bool_]]


class _Raster:
    """Gathers rows until whole rows of blocks can be written."""

    def __init__(self, writer: RasterWriter, nodata: float) -> None:
        self._writer = writer
        self._nodata = nodata
        self._pieces: list[npt.NDArray[Any]] = []
        self._waiting = 0
        self._written = 0

    def append(self, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        if not valid.all():
            data[:, ~valid] = data.dtype.type(self._nodata)
        self._pieces.append(data)
        self._waiting += data.shape[1]
        whole = self._waiting // BLOCK * BLOCK
        if whole:
            self._flush(whole)

    def finish(self) -> None:
        if self._waiting:
            self._flush(self._waiting)

    def _flush(self, rows: int) -> None:
        gathered = np.concatenate(self._pieces, axis=1)
        window = Window(0, self._written, gathered.shape[2], rows)
        self._writer.write(gathered[:, :rows], window)
        self._pieces = [gathered[:, rows:].copy()] if gathered.shape[1] > rows else []
        self._waiting -= rows
        self._written += rows
