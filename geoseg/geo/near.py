"""Which pixels of a block have another kind of pixel within a distance, exactly.

Distances are Euclidean between the centres of pixels, which may be of unlike width and height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_FAR = 1 << 30
"""Rows; a column without a feature."""

_ROUNDING = 1e-9
"""Share by which a distance may exceed the one asked for, so that 3, 4 and 5 fit."""


def reach_table(across: Floats, down: Floats, distance: float, width: int) -> Ints:
    """How many rows up or down a feature may lie, for each step to the side.

    Args:
        across: (rows,) metres from a pixel to its neighbour in the row.
        down: (rows,) metres from a pixel to its neighbour in the column.
        distance: Metres.
        width: Pixels of a row; steps beyond it are of no use.

    Returns:
        (rows, steps) rows, -1 where the step alone is too far; a single row where all are alike.
    """
    if np.ptp(across) == 0 and np.ptp(down) == 0:
        across, down = across[:1], down[:1]
    steps = np.arange(min(int(distance / across.min() * (1 + _ROUNDING)), width) + 1)
    rest = 1 + _ROUNDING - (steps * across[:, None] / distance) ** 2
    rows = np.floor(np.sqrt(np.maximum(rest, 0)) * distance / down[:, None])
    return np.where(rest >= 0, np.minimum(rows, _FAR - 1), -1).astype(np.int32)


@compiled
def column_gaps(features: Mask) -> Ints:
    """Rows from each pixel to the nearest feature of its column.

    Args:
        features: (height, width) True where there is one.

    Returns:
        (height, width) rows, 0 at features; 2^30 and more in columns without.
    """
    height, width = features.shape
    gaps = np.empty((height, width), np.int32)
    for row in range(height):
        for col in range(width):
            if features[row, col]:
                gaps[row, col] = 0
            else:
                gaps[row, col] = gaps[row - 1, col] + 1 if row > 0 else _FAR
    for row in range(height - 2, -1, -1):
        for col in range(width):
            gaps[row, col] = min(gaps[row, col], gaps[row + 1, col] + 1)
    return gaps


@compiled
def are_near(wanted: Mask, gaps: Ints, reach: Ints) -> Mask:
    """Whether wanted pixels have a feature within reach.

    Args:
        wanted: (height, width) pixels to be answered for; all others are False.
        gaps: (height, width) as `column_gaps` gives them.
        reach: (height or 1, steps) as `reach_table` gives it.

    Returns:
        (height, width) True where a feature is near.
    """
    height, width = wanted.shape
    near = np.zeros((height, width), np.bool_)
    for row in range(height):
        limits = reach[min(row, len(reach) - 1)]
        for col in range(width):
            if not wanted[row, col]:
                continue
            for step in range(len(limits)):
                limit = limits[step]
                if limit < 0:
                    break
                left, right = col - step, col + step
                if (left >= 0 and gaps[row, left] <= limit) or (
                    right < width and gaps[row, right] <= limit
                ):
                    near[row, col] = True
                    break
    return near


@compiled
def contours(values: npt.NDArray[Any], ignore: int) -> Mask:
    """Pixels with another value above, below, left or right of them.

    Args:
        values: (height, width) class indices.
        ignore: The index of pixels that are not known: they have no contour and make none.

    Returns:
        (height, width) True on both sides of each border between two classes.
    """
    height, width = values.shape
    found = np.zeros((height, width), np.bool_)
    for row in range(height):
        for col in range(width):
            here = values[row, col]
            if here == ignore:
                continue
            if row > 0:
                above = values[row - 1, col]
                if above != here and above != ignore:  # noqa: PLR1714 - numba
                    found[row, col] = True
                    found[row - 1, col] = True
            if col > 0:
                left = values[row, col - 1]
                if left != here and left != ignore:  # noqa: PLR1714 - numba
                    found[row, col] = True
                    found[row, col - 1] = True
    return found
