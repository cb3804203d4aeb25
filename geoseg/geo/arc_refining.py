"""Borders simplified and smoothed one by one, so that the polygons stay a coverage.

A border runs between two regions from node to node, or around one region. What becomes of it
depends on nothing but its own vertices and on where the original vertices of all others are;
so neither the order of borders nor how they come in batches changes the result.

No border is led over an original vertex of another one. So each stays on its side of all
others whatever becomes of those: a line without a vertex in a triangle that does not cross two of
its sides does not enter it through the third. Both acts keep to this: a vertex goes only if the
triangle with its neighbours is free, a bend is rounded only if the triangle that the curve keeps
to is free; and what another border becomes has vertices at its original ones, or lies in such
triangles of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.geo.arc_refining_guard import Corners, set_corner
from geoseg.geo.arc_refining_removal import Chain, link, make_chain, remove_vertices
from geoseg.geo.arc_refining_rounding import write_border
from geoseg.geo.compiled import compiled

Coords = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcRefining:
    """How borders are simplified and smoothed; one after the other, in this order."""

    tolerance: float = 0.0
    """Pixels: a vertex may go whose triangle with its neighbours is no larger than the square
    of it, as in GEOS's coverage simplification; 0 for none."""

    rounds: int = 0
    """How often corners are cut (G. M. Chaikin, An algorithm for high-speed curve generation,
    Computer Graphics and Image Processing 3 (1974), doi:10.1016/0146-664X(74)90028-8): each
    round doubles the vertices; 0 for none."""

    def refine(
        self, coords: Coords, offsets: Ints, closed: Flags, fixed: Flags, corners: Corners
    ) -> tuple[Coords, Ints]:
        """Simplify and smooth borders.

        Args:
            coords: (m, 2) vertices as (col, row), corners of the pixel lattice, only where the
                border turns. A ring repeats its first vertex.
            offsets: (arcs + 1,) where each border begins in `coords`.
            closed: (arcs,) rings without a node, which need not keep their first vertex either.
                A ring that begins and ends at a node is none.
            fixed: (arcs,) borders that are returned as they are.
            corners: Original vertices of all borders for the rows of these ones. It is changed
                while this works, and as it was when this returns.

        Returns:
            Vertices and offsets as they came. Ends stay where they are, rings keep their
            direction and have three other vertices at least.
        """
        limit = int(np.floor(8 * self.tolerance**2)) if self.tolerance > 0 else -1
        return _refine(coords, offsets, closed, fixed, corners, (limit, self.rounds))


@compiled
def _refine(
    coords: Coords,
    offsets: Ints,
    closed: Flags,
    fixed: Flags,
    corners: Corners,
    options: tuple[int, int],
) -> tuple[Coords, Ints]:
    """Refine one border after the other; `options` are the limit of areas and the rounds."""
    counts = np.diff(offsets)
    chain = make_chain(counts.max() if len(counts) else 1)
    found = np.empty((len(coords) << options[1], 2), np.float64)
    ends = np.zeros(len(offsets), np.int64)
    size = 0
    for arc in range(len(counts)):
        border = coords[offsets[arc] : offsets[arc + 1]]
        if fixed[arc] or len(border) < 3:
            found[size : size + len(border)] = border
            size += len(border)
        else:
            size += _refine_arc(border, closed[arc], corners, (chain, options), found[size:])
        ends[arc + 1] = size
    return found[:size].copy(), ends


@compiled
def _refine_arc(
    border: Coords,
    closed: bool,  # noqa: FBT001 - numba takes no names
    corners: Corners,
    means: tuple[Chain, tuple[int, int]],
    found: Coords,
) -> int:
    """Refine one border into `found`; how many vertices it has then."""
    chain, (limit, rounds) = means
    count = len(border) - 1 if closed else len(border)
    for place in range(count):
        col, row = np.int64(border[place, 0]), np.int64(border[place, 1])
        chain.cols[place], chain.rows[place] = 2 * col, 2 * row
        chain.ties[place] = row << 32 | col
    link(chain, count, closed)
    if limit >= 0:
        remove_vertices(chain, count, closed, limit, corners)
    first = 0
    while chain.after[first] == -2:  # it was removed, which only a ring's can be
        first += 1
    size = write_border(chain, first, rounds, corners, found)
    for place in range(count):
        set_corner(corners, chain.cols[place] >> 1, chain.rows[place] >> 1)
    return size
