"""Bends of one border rounded by cutting corners, between the middles of its sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining_guard import Corners, Triangle, holds_vertex
from geoseg.geo.arc_refining_removal import Chain
from geoseg.geo.compiled import compiled


@compiled
def write_border(
    chain: Chain, first: int, rounds: int, corners: Corners, found: npt.NDArray[np.float64]
) -> int:
    """Write what remains of a border, its bends rounded where none of another border is in the way.

    Args:
        chain: The border, a line or a ring.
        first: The vertex to begin with; that of a line stays, as its last one does.
        rounds: How often corners are cut; 0 writes the vertices as they are.
        corners: Original vertices of all borders, without those that were removed from this one.
        found: (n, 2) where to write.

    Returns:
        How many vertices were written; a ring's first one is written once more as its last.
    """
    size = 0
    vertex = first
    while vertex >= 0:
        is_end = chain.before[vertex] < 0 or chain.after[vertex] < 0
        if rounds > 0 and not is_end and _is_free(chain, vertex, corners):
            _write_bend(_bend(chain, vertex), rounds, found[size:])
            size += 1 << rounds
        else:
            found[size, 0], found[size, 1] = chain.cols[vertex] / 2, chain.rows[vertex] / 2
            size += 1
        vertex = chain.after[vertex]
        if vertex == first:
            found[size] = found[0]
            return size + 1
    return size


@compiled
def _bend(chain: Chain, vertex: int) -> Triangle:
    """A vertex and the middles of the sides that it joins."""
    cols, rows = chain.cols, chain.rows
    before, after = chain.before[vertex], chain.after[vertex]
    return Triangle(
        (cols[before] + cols[vertex]) >> 1,
        (rows[before] + rows[vertex]) >> 1,
        cols[vertex],
        rows[vertex],
        (cols[vertex] + cols[after]) >> 1,
        (rows[vertex] + rows[after]) >> 1,
    )


@compiled
def _is_free(chain: Chain, vertex: int, corners: Corners) -> bool:
    return not holds_vertex(corners, _bend(chain, vertex))


@compiled
def _write_bend(bend: Triangle, rounds: int, found: npt.NDArray[np.float64]) -> None:
    """Write the corners that remain of a bend after cutting `rounds` times.

    Corner cutting tends to a parabola; after k rounds its corners are where the tangents at
    the k-th dyadic parameters meet: sums of binary fractions, so exact.
    """
    b = bend
    steps = 1 << rounds
    for step in range(steps):
        s, t = step / steps, (step + 1) / steps
        start, middle, end = (1 - s) * (1 - t), s * (1 - t) + t * (1 - s), s * t
        found[step, 0] = (start * b.col0 + middle * b.col1 + end * b.col2) / 2
        found[step, 1] = (start * b.row0 + middle * b.row1 + end * b.row2) / 2
