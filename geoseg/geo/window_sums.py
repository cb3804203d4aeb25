"""Sums over many windows of a grid, of rows that come from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geoseg.geo.windows import offsets

Floats = npt.NDArray[np.float64]


class WindowSums:
    """Adds up layers of pixels over regular windows, in the memory of one number a window.

    Args:
        shape: Height and width of the grid.
        size: Side of a window, pixels; axes shorter than it have one window of their length.
        stride: Pixels between windows.
        layers: How many layers are added up.

    Raises:
        ConfigError: If `size` or `stride` make no sense.
    """

    def __init__(self, shape: tuple[int, int], size: int, stride: int, layers: int) -> None:
        self.rows = np.array(offsets(shape[0], size, stride))
        """(R,) first row of each row of windows."""
        self.cols = np.array(offsets(shape[1], size, stride))
        """(C,) first column of each column of windows."""
        self.height, self.width = min(size, shape[0]), min(size, shape[1])
        self.sums: Floats = np.zeros((layers, len(self.rows), len(self.cols)))
        """(layers, R, C)"""

    def add(self, row: int, col: int, layers: Sequence[npt.NDArray[np.generic]]) -> None:
        """Count some pixels.

        Args:
            row: Row of their upper left one.
            col: Its column.
            layers: Numbers (rows, columns) of each layer.
        """
        for place, layer in enumerate(layers):
            height, width = layer.shape
            left = np.clip(self.cols - col, 0, width)
            right = np.clip(self.cols + self.width - col, 0, width)
            before = np.zeros((height + 1, width + 1))
            np.cumsum(layer, axis=1, dtype=np.float64, out=before[1:, 1:])
            np.cumsum(before, axis=0, out=before)
            columns = before[:, right] - before[:, left]
            top = np.clip(self.rows - row, 0, height)
            bottom = np.clip(self.rows + self.height - row, 0, height)
            self.sums[place] += columns[bottom] - columns[top]
