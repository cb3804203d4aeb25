"""Rows of a class raster as runs of equal values: a border can only turn where a run begins.

So only one pass looks at pixels, whatever their type; all that follows is done once for a run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

OUTSIDE = np.iinfo(np.int64).min
"""The value of nodata and of everything beyond the raster: less than any class."""

_NARROW = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types that are read as they are; each takes some time to compile for."""


class Lines(NamedTuple):
    """Rows as runs, whose values differ from one to the next.

    The first run of a row is `OUTSIDE` and begins left of the raster, in column -1; if the last
    one is not, one more begins behind the last pixel.
    """

    offsets: Longs
    """(rows + 1,) where each row begins among the runs."""

    starts: Ints
    """(runs,) the first column of each."""

    values: Longs
    """(runs,)"""


def encode_lines(values: npt.NDArray[Any], nodata: int | None) -> Lines:
    """Find the runs of rows.

    Args:
        values: (height, width) integers.
        nodata: The value that counts as `OUTSIDE`.
    """
    values = np.ascontiguousarray(values, values.dtype if values.dtype in _NARROW else np.int64)
    height, width = values.shape
    most = height * (width + 2)
    lines = Lines(
        np.zeros(height + 1, np.int64), np.empty(most, np.int32), np.empty(most, np.int64)
    )
    _encode(values, OUTSIDE if nodata is None else nodata, lines)
    return lines


def no_line() -> Lines:
    """The row below the raster."""
    return encode_lines(np.zeros((1, 0), np.uint8), None)


@compiled
def _encode(values: npt.NDArray[Any], nodata: int, lines: Lines) -> None:
    """Fill lines with the runs of all rows."""
    size = 0
    height, width = values.shape
    for row in range(height):
        lines.starts[size], lines.values[size] = -1, OUTSIDE
        size += 1
        col = 0
        while col < width:
            begin, pixel = col, values[row, col]
            while col < width and values[row, col] == pixel:
                col += 1
            value = OUTSIDE if pixel == nodata else np.int64(pixel)
            if value != lines.values[size - 1]:
                lines.starts[size], lines.values[size] = begin, value
                size += 1
        if lines.values[size - 1] != OUTSIDE:
            lines.starts[size], lines.values[size] = width, OUTSIDE
            size += 1
        lines.offsets[row + 1] = size
