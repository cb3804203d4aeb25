"""Where a map is wrong: errors of cells and of windows, counted as rows come by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.window_sums import WindowSums

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
        self._side = -(-max(grid.shape) // CELLS)
        self._starts = np.arange(0, grid.width, self._side)
        shape = -(-grid.height // self._side), len(self._starts)
        self._right, self._wrong = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._sums = WindowSums(grid.shape, window, window, 3)
        background = legend.background
        self._background = None if background is None else legend.names.index(background.name)
        self._unseen = np.array([*left_out, legend.ignore_index])
        self._ignore = legend.ignore_index
        self._row = 0

    def push(self, reference: Indices, prediction: Indices) -> None:
        """Count the next rows.

        Args:
            reference: (rows, width) class indices of the labels.
            prediction: (rows, width) class indices of the map.
        """
        counted = (prediction != self._ignore) & ~np.isin(reference, self._unseen)
        wrong = counted & (reference != prediction)
        busy = counted
        if self._background is not None:
            busy = counted & (wrong | (reference != self._background))
        self._sums.add(self._row, 0, (counted, wrong, busy))
        self._add(self._right, counted & ~wrong)
        self._add(self._wrong, wrong)
        self._row += len(reference)

    def result(self) -> ErrorMap:
        """What was counted."""
        sums = self._sums
        counted, wrong, busy = np.rint(sums.sums).astype(np.int64)
        return ErrorMap(
            side=self._side,
            right=self._right,
            wrong=self._wrong,
            windows=WindowErrors(
                rows=tuple(map(int, sums.rows)),
                cols=tuple(map(int, sums.cols)),
                height=sums.height,
                width=sums.width,
                counted=counted,
                wrong=wrong,
                busy=busy,
            ),
        )

    def _add(self, cells: Counts, layer: npt.NDArray[np.bool_]) -> None:
        """Add rows to the cells that they lie in; a cell's rows may come in several calls."""
        begin, end = self._row, self._row + len(layer)
        for cell in range(begin // self._side, -(-end // self._side)):
            top, bottom = max(cell * self._side, begin), min((cell + 1) * self._side, end)
            columns = layer[top - begin : bottom - begin].sum(axis=0, dtype=np.int64)
            cells[cell] += np.add.reduceat(columns, self._starts)


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
