"""Generalisation of a class raster before it is cut into polygons: nothing is lost or overlaps.

Small regions and small holes take the value of a neighbour. The raster passes by twice: the first
time everything is decided on the graph of regions, of which only the part is in memory that rows
to come may bear on; the second time pixels are replaced. So any height will do, and the result is
that of the whole raster, wherever blocks begin and end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from geoseg.geo.class_rows import Block, ClassRows
from geoseg.geo.generalising_answers import Answers, answered
from geoseg.geo.generalising_graph import BEGUN, CHANGES, NONE, Graph
from geoseg.geo.generalising_holes import fill_ended
from geoseg.geo.generalising_merging import merge_ended
from geoseg.geo.generalising_room import enlarged, free_nodes, has_room, new_graph
from geoseg.geo.generalising_rows import Rules, Runs, push_rows
from geoseg.geo.generalising_units import whole_measures
from geoseg.geo.grid import Grid

_Decide = Callable[[Graph, int], None]


def merge_small(
    rows: ClassRows, grid: Grid, min_area: float, nodata: int | None = None
) -> ClassRows:
    """Give 4-connected regions below an area the class that they share the longest border with.

    The smallest goes first (fewest pixels, then the first pixel in raster order), and joins all
    neighbours of its new class; what has grown to `min_area` stays. Where two borders are
    equally long, the class is taken that the region meets first in raster order. A region that
    has only nodata around it stays too.

    Args:
        rows: Classes of 8 or 16 bits, unsigned; read twice, the first time when the rows
            returned are first asked for.
        grid: The pixels' grid.
        min_area: Square metres (pixels where there is no CRS).
        nodata: Value that is neither merged nor merged into.

    Returns:
        Rows of the same shape and type; nodata at the same pixels.
    """
    return _Generalised(rows, grid, min_area, _rules(nodata, is_filling=False))


def fill_holes(
    rows: ClassRows, grid: Grid, max_area: float, nodata: int | None = None
) -> ClassRows:
    """Give holes in a 4-connected region, whatever classes they hold, the class of that region.

    Args:
        rows: Classes of 8 or 16 bits, unsigned; read twice, the first time when the rows
            returned are first asked for.
        grid: The pixels' grid.
        max_area: Square metres (pixels where there is no CRS); smaller holes are filled.
        nodata: Value that is neither filled nor filled with: a hole that holds it stays.

    Returns:
        Rows of the same shape and type.
    """
    return _Generalised(rows, grid, max_area, _rules(nodata, is_filling=True))


def _rules(nodata: int | None, *, is_filling: bool) -> Rules:
    return Rules(NONE if nodata is None else nodata, is_filling)


class _Generalised:
    """Rows of which small parts are replaced."""

    def __init__(self, rows: ClassRows, grid: Grid, limit: float, rules: Rules) -> None:
        assert rows.dtype in (np.uint8, np.uint16), f"classes are {rows.dtype}"
        assert rows.shape == grid.shape, f"{rows.shape} rows on a grid of {grid.shape}"
        self._rows, self._grid, self._limit, self._rules = rows, grid, limit, rules
        self._answers: Answers | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._rows.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._rows.dtype

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once; the blocks are those of the rows before."""
        if self._answers is None:
            self._answers = _decide_all(self._rows, self._grid, self._limit, self._rules)
        if not self._answers.is_changed:
            return self._rows.blocks()
        return answered(self._rows, self._rules.nodata, self._answers)


def _decide_all(rows: ClassRows, grid: Grid, limit: float, rules: Rules) -> Answers:
    """Find out what becomes of each beginning of a region."""
    measures, units = whole_measures(grid, limit)
    decide: _Decide = fill_ended if rules.settles_open else merge_ended
    answers, width = Answers(rows.dtype), grid.width
    graph, runs = new_graph(width, units), Runs.of(width)
    for top, values in rows.blocks():
        row = 0
        while row < len(values):
            row = push_rows(graph, runs, measures, rules, values, (top, row))
            _take_away(graph, answers)
            if not has_room(graph, width):
                decide(graph, top + row - 1)
                free_nodes(graph, runs.frontier)
                _take_away(graph, answers)
                graph = enlarged(graph, width)
    decide(graph, NONE)
    _take_away(graph, answers)
    return answers


def _take_away(graph: Graph, answers: Answers) -> None:
    """Move what waits in `found` to the answers."""
    found, counts = graph.found, graph.counts
    answers.append(found["begun"][: counts[BEGUN]])
    changes = found[: counts[CHANGES]]
    answers.change(changes["number"], changes["value"])
    counts[BEGUN] = counts[CHANGES] = 0
