"""Whether a border may pass over a triangle: only where no original vertex of a border lies.

The vertices are kept as a packed bitmap over the corners of the pixel lattice. All sums are exact:
coordinates are counted in half pixels, so that middles of sides are whole numbers too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled


class Corners(NamedTuple):
    """Which corners of the pixel lattice are vertices of borders as they were traced."""

    bits: npt.NDArray[np.uint8]
    """(rows, >= (width + 8) // 8): bit `col % 8` of byte `col // 8`, counted from the lowest."""

    first_row: int
    """The row of the lattice that `bits` begins with."""


class Triangle(NamedTuple):
    """Three points in half pixels; the second is the vertex that a border would leave."""

    col0: int
    row0: int
    col1: int
    row1: int
    col2: int
    row2: int


@compiled
def set_corner(corners: Corners, col: int, row: int) -> None:
    """Count a corner of the lattice as a vertex."""
    corners.bits[row - corners.first_row, col >> 3] |= np.uint8(1 << (col & 7))


@compiled
def clear_corner(corners: Corners, col: int, row: int) -> None:
    """Count a corner of the lattice as a vertex no more."""
    corners.bits[row - corners.first_row, col >> 3] &= np.uint8(255 ^ (1 << (col & 7)))


@compiled
def twice_area(triangle: Triangle) -> int:
    """Signed area times two, in quarter pixels: positive where the border turns right on screen."""
    t = triangle
    return (t.col1 - t.col0) * (t.row2 - t.row0) - (t.col2 - t.col0) * (t.row1 - t.row0)


@compiled
def holds_vertex(corners: Corners, triangle: Triangle) -> bool:
    """Whether a vertex lies in a triangle or on its sides, its own three points aside."""
    t = triangle
    top = (min(t.row0, t.row1, t.row2) + 1) >> 1
    bottom = max(t.row0, t.row1, t.row2) >> 1
    for row in range(top, bottom + 1):
        left, right = _span(t, 2 * row)
        if left <= right and _row_holds_vertex(corners, t, row, left, right):
            return True
    return False


@compiled
def _span(t: Triangle, row: int) -> tuple[int, int]:
    """First and last column of the lattice that a triangle covers in a row (in half pixels)."""
    left, right = 1 << 60, -(1 << 60)
    left, right = _widen(left, right, row, (t.col0, t.row0, t.col1, t.row1))
    left, right = _widen(left, right, row, (t.col1, t.row1, t.col2, t.row2))
    return _widen(left, right, row, (t.col2, t.row2, t.col0, t.row0))


@compiled
def _widen(left: int, right: int, row: int, side: tuple[int, int, int, int]) -> tuple[int, int]:
    """Widen a span of lattice columns by where a row meets one side of a triangle."""
    col0, row0, col1, row1 = side
    if row0 > row1:
        col0, row0, col1, row1 = col1, row1, col0, row0
    if row < row0 or row > row1:
        return left, right
    if row0 == row1:
        first, last = min(col0, col1), max(col0, col1)
        return min(left, (first + 1) >> 1), max(right, last >> 1)
    height = row1 - row0
    met = col0 * height + (col1 - col0) * (row - row0)  # the column, times the height
    down = met // (2 * height)
    up = down if down * 2 * height == met else down + 1
    return min(left, up), max(right, down)


@compiled
def _row_holds_vertex(corners: Corners, t: Triangle, row: int, left: int, right: int) -> bool:
    """Whether one of the corners from `left` to `right` is a vertex, the triangle's own aside."""
    line = corners.bits[row - corners.first_row]
    for place in range(left >> 3, (right >> 3) + 1):
        byte = np.int64(line[place])
        if byte == 0:
            continue
        first, last = max(left - 8 * place, 0), min(right - 8 * place, 7)
        byte &= (2 << last) - (1 << first)
        while byte:
            lowest = byte & -byte
            byte ^= lowest
            col = 8 * place
            while lowest > 1:
                lowest >>= 1
                col += 1
            if not _is_own(t, 2 * col, 2 * row):
                return True
    return False


@compiled
def _is_own(t: Triangle, col: int, row: int) -> bool:
    return (
        (col == t.col0 and row == t.row0)
        or (col == t.col1 and row == t.row1)
        or (col == t.col2 and row == t.row2)
    )
