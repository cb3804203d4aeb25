"""Where a map is wrong: errors of cells and of windows, counted as rows come by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.windows import offsets

Counts = npt.NDArray[np.int64]
Indices = npt.NDArray[Any]

CELLS = 1000
"""Most cells along the longer side of an error map, so that its memory is bounded."""

_LARGEST, _SMALLEST, _WINDOWS = 256, 64, 48


@dataclass(frozen=True, kw_only=True)
class WindowErrors:
    """Pixels of regular windows of one map."""

    rows: tuple[int, ...]
    """First row of each row of windows, R."""

    cols: tuple[int, ...]
    """First column of each column of windows, C."""

    height: int
    """Of a window, pixels."""

    width: int
    """Of a window, pixels."""

    counted: Counts
    """(R, C) pixels of which the map and the labels tell a class that counts."""

    wrong: Counts
    """(R, C) those where the two differ."""

    busy: Counts
    """(R, C) those where either is not the background; all counted ones without a background."""


@dataclass(frozen=True, kw_only=True)
class ErrorMap:
    """Right and wrong pixels of a map, in square cells, and in windows."""

    grid: Grid
    """Where the map lies."""

    side: int
    """Pixels along a cell."""

    right: Counts
    """(H, W) pixels of a cell on which map and labels agree."""

    wrong: Counts
    """(H, W) those on which they differ; what is not counted is in neither."""

    windows: WindowErrors
    """The same of larger windows."""


class ErrorCounter:
    """Counts right and wrong pixels of the rows of one map.

    Args:
        grid: Where the map lies.
        legend: The classes.
        left_out: Indices of classes whose reference pixels do not count.
        window: Side of the windows, pixels.
    """

    def __init__(self, grid: Grid, legend: Legend, left_out: Sequence[int], window: int) -> None:
        self._grid = grid
        height, width = grid.shape
        self._side = side = -(-max(height, width) // CELLS)
        cells = range(0, height, side), range(0, width, side)
        self._right, self._wrong = (_Sums(*cells, (side, side), width) for _ in range(2))
        self._size = min(window, height), min(window, width)
        windows = offsets(height, window, window), offsets(width, window, window)
        self._windows = [_Sums(*windows, self._size, width) for _ in range(3)]
        background = legend.background
        self._background = None if background is None else legend.names.index(background.name)
        self._left_out, self._ignore = tuple(left_out), legend.ignore_index
        self._row = 0

    def push(self, reference: Indices, prediction: Indices) -> None:
        """Count the next rows.

        Args:
            reference: (rows, width) class indices of the labels.
            prediction: (rows, width) class indices of the map.
        """
        counted = (prediction != self._ignore) & (reference != self._ignore)
        for index in self._left_out:
            counted &= reference != index
        wrong = counted & (reference != prediction)
        busy = counted
        if self._background is not None:
            busy = counted & (wrong | (reference != self._background))
        for sums, layer in zip(self._windows, (counted, wrong, busy), strict=True):
            sums.add(self._row, layer)
        self._right.add(self._row, counted & ~wrong)
        self._wrong.add(self._row, wrong)
        self._row += len(reference)

    def result(self) -> ErrorMap:
        """What was counted."""
        counted, wrong, busy = self._windows
        return ErrorMap(
            grid=self._grid,
            side=self._side,
            right=self._right.sums,
            wrong=self._wrong.sums,
            windows=WindowErrors(
                rows=tuple(map(int, counted.rows)),
                cols=tuple(map(int, counted.cols)),
                height=self._size[0],
                width=self._size[1],
                counted=counted.sums,
                wrong=wrong.sums,
                busy=busy.sums,
            ),
        )


class _Sums:
    """Numbers of True pixels in rectangles of equal size that hardly overlap.

    `WindowSums` is made for windows that do: here each row is added up but once or twice.
    """

    def __init__(
        self, rows: Sequence[int], cols: Sequence[int], size: tuple[int, int], width: int
    ) -> None:
        self.rows, self.cols = np.array(rows), np.array(cols)
        self._height = size[0]
        self._right = np.minimum(self.cols + size[1], width)
        self.sums = np.zeros((len(rows), len(cols)), np.int64)

    def add(self, row: int, layer: npt.NDArray[np.bool_]) -> None:
        """Count whole rows, the first of which is `row`."""
        begin = np.searchsorted(self.rows + self._height, row, side="right")
        end = np.searchsorted(self.rows, row + len(layer))
        before = np.zeros(layer.shape[1] + 1, np.int64)
        for place in range(int(begin), int(end)):
            top = max(int(self.rows[place]) - row, 0)
            bottom = int(self.rows[place]) + self._height - row
            part = layer[top:bottom].view(np.uint8)
            np.cumsum(part.sum(axis=0, dtype=np.uint32), out=before[1:])
            self.sums[place] += before[self._right] - before[self.cols]


def window_side(shapes: Sequence[tuple[int, int]]) -> int:
    """Side of the windows to compare scenes by, pixels: some dozens of windows, if there may be.

    Args:
        shapes: Height and width of each scene.

    Examples:
        >>> window_side([(512, 512)])
        73
        >>> window_side([(40000, 10000), (300, 300)])
        256
    """
    pixels = sum(height * width for height, width in shapes)
    return int(min(max((pixels / _WINDOWS) ** 0.5, _SMALLEST), _LARGEST))
