"""Complete arcs handed to what refines them, and taken back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled
from geoseg.geo.polygon_batch import Refiner
from geoseg.geo.tracing_arcs import free_vertices
from geoseg.geo.tracing_pools import (
    FINISHED,
    NOWHERE,
    Floats,
    Ints,
    Longs,
    Pools,
    new_vertex,
    with_vertices,
    without_rows,
)


def refine_arcs(pools: Pools, refiner: Refiner, next_row: int) -> Pools:
    """Refine all arcs that wait for it, and forget the corners that no other arc needs.

    Args:
        pools: The pools.
        refiner: What changes the arcs.
        next_row: The next row of corners.

    Returns:
        The pools, larger where that was needed.
    """
    count = pools.counts[FINISHED]
    if count:
        arcs = pools.finished[:count].copy()
        coords, offsets, closed = _gather(pools, arcs)
        fixed = np.zeros(count, bool)
        coords, offsets = refiner.refine(coords, offsets, closed, fixed, pools.corners)
        pools = with_vertices(pools, len(coords))
        _scatter(pools, arcs, coords, offsets)
        pools.counts[FINISHED] = 0
    return pools._replace(
        corners=without_rows(pools.corners, _first_needed(pools, next_row), next_row)
    )


@compiled
def _gather(pools: Pools, arcs: Ints) -> tuple[Floats, Longs, npt.NDArray[np.bool_]]:
    """The vertices of arcs (m, 2), offsets (arcs + 1,), and which of them are rings."""
    offsets = np.zeros(len(arcs) + 1, np.int64)
    closed = np.zeros(len(arcs), np.bool_)
    for place in range(len(arcs)):
        arc = pools.arcs[arcs[place]]
        offsets[place + 1] = offsets[place] + arc.count
        closed[place] = arc.leaves == NOWHERE
    coords = np.empty((offsets[-1], 2), np.float64)
    for place in range(len(arcs)):
        vertex = pools.arcs[arcs[place]].first
        for at in range(offsets[place], offsets[place + 1]):
            coords[at, 0] = pools.vertices[vertex].col
            coords[at, 1] = pools.vertices[vertex].row
            vertex = pools.vertices[vertex].next
    return coords, offsets, closed


@compiled
def _scatter(pools: Pools, arcs: Ints, coords: Floats, offsets: Longs) -> None:
    """Give arcs other vertices."""
    for place in range(len(arcs)):
        free_vertices(pools, arcs[place])
        arc = pools.arcs[arcs[place]]
        arc.count = offsets[place + 1] - offsets[place]
        before = -1
        for at in range(offsets[place], offsets[place + 1]):
            vertex = new_vertex(pools.vertices, pools.counts, coords[at, 0], coords[at, 1])
            if before < 0:
                arc.first = vertex
            else:
                pools.vertices[before].next = vertex
            before = vertex
        arc.last = before


@compiled
def _first_needed(pools: Pools, next_row: int) -> int:
    """The first row of corners that an arc spans which is open and will be refined."""
    runs = pools.runs
    row = next_row
    for run in range(1, runs.counts[0]):
        if runs.slots[0, run - 1] >= 0 and runs.slots[0, run] >= 0:
            top = pools.arcs[pools.down[runs.starts[0, run]]].top
            row = min(row, top)
    return row
