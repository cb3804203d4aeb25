"""From a scene to finished rows of averaged scores, in the memory of a strip.

A reader thread decodes ahead, this thread runs the network and averages, the caller's sink writes
behind. No array is ever as high as the scene.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.engine.backends import Backend
from geoseg.engine.layout import Layout
from geoseg.engine.mosaic import Mosaic
from geoseg.engine.resample import RowResampler
from geoseg.engine.strips import Rows, Strip, StripReader
from geoseg.errors import WorkError
from geoseg.geo.raster import Raster, Scene

Hide = Callable[[Raster], npt.NDArray[np.bool_]]
"""Tells what stays valid (height, width) of a strip."""

ScoreRows = tuple[int, Tensor, npt.NDArray[np.bool_]]
"""First row, scores (classes, rows, width) on the device, valid (rows, width)."""

_ROWS_AT_ONCE = 256
"""About how many rows of the scene are resampled in one go."""


@dataclass(slots=True)
class Counts:
    """What a run has done so far."""

    windows: int = 0
    """Windows that went through the network."""

    skipped: int = 0
    """Windows without any valid pixel, which did not."""


def visible(raster: Raster) -> npt.NDArray[np.bool_]:
    """Hides nothing: what is valid stays so."""
    return raster.valid


def predict_windows(
    scene: Scene,
    backend: Backend,
    layout: Layout,
    *,
    batch_size: int,
    hide: Hide = visible,
    counts: Counts | None = None,
) -> Iterator[ScoreRows]:
    """Average the scores of sliding windows.

    Args:
        scene: What to predict.
        backend: The network.
        layout: The windows of this scene.
        batch_size: Windows in one forward pass; the last pass may have fewer.
        hide: What of each strip is to be predicted.
        counts: Counted up as windows are done.

    Yields:
        Finished rows from top to bottom, each row once.

    Raises:
        SceneError: If the scene cannot be read.
        WorkError: If the network gives what is no number.
    """
    counts = counts if counts is not None else Counts()
    mosaic = Mosaic(layout, backend.classes, backend.device)
    with StripReader(scene, hide) as rows:
        valid = _ValidRows(rows)
        strip = Strip(layout, valid)
        for batch in _batches(strip, layout, batch_size, counts):
            scores = backend.scores(batch.pixels, batch.valid)
            for place, window_scores in zip(batch.places, scores, strict=True):
                # Windows come in row-major order: above this one all rows are finished.
                for first, averaged in mosaic.flush(layout.rows.offsets[place[0]]):
                    _check_finite(first, averaged, scene, layout)
                    yield first, averaged, valid.take(averaged.shape[1])
                mosaic.add(*place, window_scores)
            counts.windows += len(batch.places)
        for first, averaged in mosaic.flush(layout.rows.padded):
            _check_finite(first, averaged, scene, layout)
            yield first, averaged, valid.take(averaged.shape[1])


def predict_resized(
    scene: Scene, backend: Backend, size: int, *, hide: Hide = visible
) -> Iterator[ScoreRows]:
    """Predict a whole scene scaled to one square window, and scale the scores back.

    Args:
        scene: What to predict.
        backend: The network.
        size: Side in pixels that the scene is scaled to.
        hide: What of each strip is to be predicted.

    Yields:
        Finished rows of the scene's grid from top to bottom.
    """
    whole = scene.read(shape=(size, size))
    pixels = torch.from_numpy(whole.data)[None]
    valid = None if whole.valid.all() else torch.from_numpy(whole.valid)[None]
    scores = backend.scores(pixels, valid)[0]
    step = max(_ROWS_AT_ONCE * size // scene.grid.height, 1)
    rows = ((first, scores[:, first : first + step]) for first in range(0, size, step))
    yield from resample_rows(rows, (size, size), scene, hide)


def resample_rows(
    rows: Iterator[tuple[int, Tensor]], source: tuple[int, int], scene: Scene, hide: Hide
) -> Iterator[ScoreRows]:
    """Bring rows of scores from a grid over the same ground to the scene's own grid.

    Args:
        rows: First row and scores (classes, rows, source width), from top to bottom.
        source: Height and width of their grid.
        scene: Gives the grid wanted, and what is valid there.
        hide: What of each strip is to be predicted.

    Yields:
        Finished rows of the scene's grid.
    """
    resampler = RowResampler(source, scene.grid.shape)
    for first, scores in rows:
        for target_first, resampled in resampler.feed(first, scores):
            window = Window(0, target_first, scene.grid.width, resampled.shape[1])
            yield target_first, resampled, hide(scene.read(window))


@dataclass(frozen=True, slots=True)
class _Batch:
    pixels: Tensor
    """(n, bands, window, window), raw."""
    valid: Tensor | None
    """(n, window, window); None where all are valid."""
    places: list[tuple[int, int]]
    """Row and column index of each window in the layout."""


def _batches(strip: Strip, layout: Layout, batch_size: int, counts: Counts) -> Iterator[_Batch]:
    """Cut the windows that hold anything valid, in row-major order, across window rows."""
    size = layout.window
    pixels: npt.NDArray[np.generic] | None = None
    valid = np.empty((batch_size, size, size), dtype=np.bool_)
    places: list[tuple[int, int]] = []
    for row_index, row in enumerate(layout.rows.offsets):
        strip.advance(row)
        for col_index, col in enumerate(layout.cols.offsets):
            window_pixels, window_valid = strip.window(col)
            if not window_valid.any():
                counts.skipped += 1
                continue
            if pixels is None:
                shape = (batch_size, *window_pixels.shape)
                pixels = np.empty(shape, dtype=window_pixels.dtype)
            pixels[len(places)], valid[len(places)] = window_pixels, window_valid
            places.append((row_index, col_index))
            if len(places) == batch_size:
                yield _batch(pixels, valid, places)
                places = []
    if places and pixels is not None:
        yield _batch(pixels[: len(places)], valid[: len(places)], places)


def _batch(
    pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], places: list[tuple[int, int]]
) -> _Batch:
    mask = None if valid.all() else torch.from_numpy(valid)
    return _Batch(torch.from_numpy(pixels), mask, places)


class _ValidRows:
    """Passes rows on and keeps their validity until the scores of these rows are finished."""

    def __init__(self, rows: Iterator[Rows]) -> None:
        self._rows = rows
        self._kept: deque[npt.NDArray[np.bool_]] = deque()

    def __iter__(self) -> _ValidRows:
        return self

    def __next__(self) -> Rows:
        rows = next(self._rows)
        self._kept.append(rows[2])
        return rows

    def take(self, count: int) -> npt.NDArray[np.bool_]:
        """The validity (count, width) of the next rows."""
        parts: list[npt.NDArray[np.bool_]] = []
        while count > 0:
            kept = self._kept.popleft()
            parts.append(kept[:count])
            if len(kept) > count:
                self._kept.appendleft(kept[count:])
            count -= len(parts[-1])
        return np.concatenate(parts)


def _check_finite(first: int, averaged: Tensor, scene: Scene, layout: Layout) -> None:
    """Refuse rows with NaN: it spreads through the average, so finished rows tell it all."""
    if bool(torch.isfinite(averaged.sum())):
        return
    broken = torch.isfinite(averaged).logical_not().nonzero()
    if len(broken) == 0:
        return  # only the sum of large numbers is beyond float32
    _, row, col = broken[0].tolist()
    raise WorkError(
        scene.path,
        "the network gave NaN or infinity in the window at row "
        f"{layout.rows.first_over(first + row)}, column {layout.cols.first_over(col)}",
        "Try --precision fp32, or check the model",
    )
