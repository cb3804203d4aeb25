"""Rows of a class raster that are put into the graph of regions, one after the other.

A region *begins* where a run of its pixels, from left to right, has no equal pixel above it; it
may begin several times, if its parts meet further down. Beginnings are numbered in raster order,
those of nodata left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.generalising_graph import (
    NONE,
    Graph,
    Ints,
    Longs,
    add_contact,
    begin_region,
    grow,
    is_settled,
    root_of,
    settle,
    unite,
)
from geoseg.geo.generalising_room import has_room


class Measures(NamedTuple):
    """Sizes of the pixels, in whole units so that sums do not depend on their order."""

    areas: Longs
    """(height,) of a pixel of each row."""

    lying: Longs
    """(height + 1,) length of a pixel's side along a row: of the upper one of each row."""

    standing: Longs
    """(height,) length of a pixel's side along a column."""


class Rules(NamedTuple):
    """How rows are understood."""

    nodata: int
    """The value that is no region; NONE where there is none."""

    settles_open: bool
    """Whether regions are settled that touch nodata or the raster's edge."""


class Runs(NamedTuple):
    """Runs of equal pixels in the last row and in the one before it, in turns."""

    begins: Ints
    """(2, width + 1) first column of each run; behind the last one, the width."""

    classes: Ints
    """(2, width) value of each run."""

    nodes: Ints
    """(2, width) node of each run; NONE for nodata."""

    counts: Ints
    """(3,) runs in each of both, and which of them is the last row."""

    @classmethod
    def of(cls, width: int) -> Runs:
        """Those above the first row: none."""
        return cls(
            begins=np.full((2, width + 1), width, np.int32),
            classes=np.zeros((2, width), np.int32),
            nodes=np.zeros((2, width), np.int32),
            counts=np.zeros(3, np.int32),
        )

    @property
    def frontier(self) -> Ints:
        """Nodes of the last row's runs."""
        side = self.counts[2]
        return self.nodes[side, : self.counts[side]]


@compiled
def push_rows(
    graph: Graph,
    runs: Runs,
    measures: Measures,
    rules: Rules,
    block: npt.NDArray[Any],
    rows: tuple[int, int],
) -> int:
    """Put rows of a block into the graph, as many as there is room for.

    Args:
        graph: The graph.
        runs: The rows before.
        measures: Sizes of the pixels.
        rules: How rows are understood.
        block: (height, width) classes.
        rows: The block's first row in the raster, and the first one in the block to be put in.

    Returns:
        The first row in the block that was not put in.
    """
    top, row = rows
    height, width = block.shape
    while row < height and has_room(graph, width):
        _find_runs(runs, block[row], rules.nodata)
        _put_runs(graph, runs, measures.areas[top + row], top + row)
        _join_row(graph, runs, measures.standing[top + row], (top + row) * width)
        _join_rows(graph, runs, measures.lying[top + row], (top + row) * width)
        if rules.settles_open:
            _settle_open(graph, runs, top + row in (0, len(measures.areas) - 1))
        row += 1
    return row


@inlined
def _find_runs(runs: Runs, values: npt.NDArray[Any], nodata: int) -> None:
    side = 1 - runs.counts[2]
    runs.counts[2] = side
    begins, count = runs.begins[side], 0
    for col in range(len(values)):
        if col == 0 or values[col] != values[col - 1]:
            begins[count] = col
            runs.classes[side, count] = values[col]
            runs.nodes[side, count] = NONE if values[col] == nodata else 0
            count += 1
    begins[count] = len(values)
    runs.counts[side] = count


@inlined
def _put_runs(graph: Graph, runs: Runs, area: int, row: int) -> None:
    """Find the region of each run in the last row, and add the run to it."""
    side, above = runs.counts[2], 0
    old, width = 1 - side, runs.classes.shape[1]
    for run in range(runs.counts[side]):
        begin, end = runs.begins[side, run], runs.begins[side, run + 1]
        root = NONE
        while above < runs.counts[old] and runs.begins[old, above] < end:
            if runs.classes[old, above] == runs.classes[side, run] and runs.nodes[side, run] >= 0:
                other = root_of(graph.nodes, runs.nodes[old, above])
                root = _joined(graph, root, other)
            if runs.begins[old, above + 1] > end:
                break
            above += 1
        if runs.nodes[side, run] != NONE:
            if root == NONE:
                root = begin_region(graph, runs.classes[side, run], row * width + begin)
            graph.nodes[root].last_row = row
            grow(graph, root, end - begin, (end - begin) * area)
            runs.nodes[side, run] = root


@inlined
def _joined(graph: Graph, root: int, other: int) -> int:
    if root == NONE:
        root = other
    elif root != other:
        root = unite(graph, root, other)
    return root


@inlined
def _join_row(graph: Graph, runs: Runs, length: int, first: int) -> None:
    """Note the borders between runs of the last row; `first` is the row's first pixel."""
    side = runs.counts[2]
    for run in range(1, runs.counts[side]):
        place = first + runs.begins[side, run]
        pair = (runs.nodes[side, run - 1], runs.nodes[side, run])
        _note_border(graph, pair, length, (place - 1, place))


@inlined
def _join_rows(graph: Graph, runs: Runs, length: int, first: int) -> None:
    """Note the borders between runs of the last row and of the one before it."""
    side, upper, lower = runs.counts[2], 0, 0
    old, width = 1 - side, runs.classes.shape[1]
    while upper < runs.counts[old] and lower < runs.counts[side]:
        begin = max(runs.begins[old, upper], runs.begins[side, lower])
        upper_end, lower_end = runs.begins[old, upper + 1], runs.begins[side, lower + 1]
        if runs.classes[old, upper] != runs.classes[side, lower]:
            pair = (runs.nodes[old, upper], runs.nodes[side, lower])
            shared = min(upper_end, lower_end) - begin
            place = first + begin
            _note_border(graph, pair, shared * length, (place - width, place))
        upper += upper_end <= lower_end
        lower += lower_end <= upper_end


@inlined
def _note_border(graph: Graph, pair: tuple[int, int], length: int, places: tuple[int, int]) -> None:
    """List a border on those of its sides that are not settled; a side may be nodata."""
    if pair[0] == NONE or pair[1] == NONE:
        return
    one, other = root_of(graph.nodes, pair[0]), root_of(graph.nodes, pair[1])
    if not is_settled(graph, one):
        add_contact(graph, one, other, length, places[1])
    if not is_settled(graph, other):
        add_contact(graph, other, one, length, places[0])


@inlined
def _settle_open(graph: Graph, runs: Runs, is_edge_row: bool) -> None:  # noqa: FBT001 (compiled)
    """Settle what touches nodata or the edge in the last row, or nodata above or below it."""
    side, above = runs.counts[2], 0
    old, last = 1 - side, runs.counts[side] - 1
    for run in range(last + 1):
        is_open = is_edge_row or run in (0, last)
        is_open |= run > 0 and runs.nodes[side, run - 1] == NONE
        is_open |= run < last and runs.nodes[side, run + 1] == NONE
        end = runs.begins[side, run + 1]
        while above < runs.counts[old] and runs.begins[old, above] < end:
            is_open |= runs.nodes[old, above] == NONE
            if runs.nodes[side, run] == NONE and runs.nodes[old, above] != NONE:
                _settle_node(graph, runs.nodes[old, above])
            if runs.begins[old, above + 1] > end:
                break
            above += 1
        if is_open and runs.nodes[side, run] != NONE:
            _settle_node(graph, runs.nodes[side, run])


@inlined
def _settle_node(graph: Graph, node: int) -> None:
    root = root_of(graph.nodes, node)
    if not is_settled(graph, root):
        settle(graph, root)
