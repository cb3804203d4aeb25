"""Small regions are merged into their neighbours, as far as the rows that have passed decide it.

The smallest region goes first, in pixels; of equally large ones that whose first pixel comes
first. It takes the class with which it shares the longest border and is united with all its
neighbours of that class. This need not wait for the whole raster: what a region becomes depends
on itself and its neighbours only, so any region may go that has ended and is smaller than its
neighbours, which can but grow. Whatever the order, the result is the same, as long as nothing
about a neighbour decides but its class and the shared border; hence ties of borders are told
apart by where they begin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geoseg.geo.compiled import compiled
from geoseg.geo.generalising_graph import (
    NONE,
    Graph,
    Ints,
    Longs,
    Nodes,
    is_settled,
    settle,
    tidy_contacts,
    unite,
)

_WAITS = -2
"""Instead of a class: some smaller neighbour goes first."""

_CLASSES = 1 << 16


class _Work(NamedTuple):
    """Arrays for work."""

    heap: Longs
    """(nodes, 3) pixels, first pixel and root: a binary heap, those that go first in front."""

    size: Longs
    """(2,) roots in the heap; calls of `tidy_contacts`."""

    latest: Ints
    calls: Ints
    """(nodes,) see `tidy_contacts`."""

    neighbours: Ints
    """(nodes,) neighbours of one class."""

    lengths: Longs
    """(classes,) border with each class; 0 in between."""

    places: Longs
    """(classes,) where that border begins."""


@compiled
def merge_ended(graph: Graph, row: int) -> None:
    """Merge all regions about which the rows until now decide.

    Args:
        graph: The graph; changes are put into `found`.
        row: The last row; NONE if no more follow, so that all is decided.
    """
    nodes = graph.nodes
    count = len(nodes.parents)
    work = _Work(
        np.empty((count, 3), np.int64),
        np.zeros(2, np.int64),
        np.empty(count, np.int32),
        np.full(count, NONE, np.int32),
        np.empty(count, np.int32),
        np.zeros(_CLASSES, np.int64),
        np.zeros(_CLASSES, np.int64),
    )
    for node in range(count):
        if _may_go(graph, node, row):
            _push(nodes, work, node)
    while work.size[0] > 0:
        root = _pop(nodes, work)
        if root == NONE or is_settled(graph, root):
            continue
        value = _choose_class(graph, root, work)
        if value == NONE:
            settle(graph, root)
        elif value != _WAITS:
            root = _take_class(graph, root, value, work)
            if _may_go(graph, root, row):
                _push(nodes, work, root)


@compiled
def _may_go(graph: Graph, node: int, row: int) -> bool:
    nodes = graph.nodes
    if nodes.parents[node] != node or is_settled(graph, node):
        return False
    ended: bool = nodes.last_rows[node] != row
    return ended


@compiled
def _choose_class(graph: Graph, root: int, work: _Work) -> int:
    """The class with the longest border, _WAITS, or NONE where there are no neighbours."""
    nodes, contacts = graph.nodes, graph.contacts
    tidy_contacts(graph, root, work.latest, work.calls, work.size[1])
    work.size[1] += 1
    chosen, waits = NONE, False
    contact = nodes.contacts[root, 0]
    while contact != NONE:
        other = contacts.others[contact]
        if not is_settled(graph, other) and _goes_before(nodes, other, root):
            waits = True
        value, place = nodes.classes[other], contacts.places[contact]
        if work.lengths[value] == 0 or place < work.places[value]:
            work.places[value] = place
        work.lengths[value] += contacts.lengths[contact]
        contact = contacts.following[contact]
    contact = nodes.contacts[root, 0]
    length = place = 0
    while contact != NONE:
        value = nodes.classes[contacts.others[contact]]
        here, begin = work.lengths[value], work.places[value]
        if here > length or (here == length and here > 0 and begin < place):
            chosen, length, place = value, here, begin
        work.lengths[value] = 0
        contact = contacts.following[contact]
    return _WAITS if waits else chosen


@compiled
def _take_class(graph: Graph, root: int, value: int, work: _Work) -> int:
    """Give a root another class, and unite it with its neighbours of that class."""
    nodes, contacts = graph.nodes, graph.contacts
    count = 0
    contact = nodes.contacts[root, 0]
    while contact != NONE:
        other = contacts.others[contact]
        if nodes.classes[other] == value:
            work.neighbours[count] = other
            count += 1
        contact = contacts.following[contact]
    nodes.classes[root], nodes.changed[root] = value, True
    for place in range(count):
        other = work.neighbours[place]
        # Two that are settled need not be told apart from one: both have the class for good.
        if not (is_settled(graph, root) and is_settled(graph, other)):
            root = unite(graph, root, other)
    return root


@compiled
def _goes_before(nodes: Nodes, one: int, other: int) -> bool:
    return _precedes(
        (nodes.pixels[one], nodes.firsts[one]), (nodes.pixels[other], nodes.firsts[other])
    )


@compiled
def _precedes(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether a region goes before another one; both as pixels and first pixel."""
    return one[0] < other[0] or (one[0] == other[0] and one[1] < other[1])


@compiled
def _push(nodes: Nodes, work: _Work, root: int) -> None:
    heap, place = work.heap, work.size[0]
    work.size[0] += 1
    own = (nodes.pixels[root], nodes.firsts[root])
    while place > 0:
        above = (place - 1) // 2
        if not _precedes(own, (heap[above, 0], heap[above, 1])):
            break
        heap[place] = heap[above]
        place = above
    heap[place, 0], heap[place, 1], heap[place, 2] = own[0], own[1], root


@compiled
def _pop(nodes: Nodes, work: _Work) -> int:
    """The root that goes first; NONE if it has been united with another one in the meantime."""
    work.size[0] -= 1
    heap, size = work.heap, work.size[0]
    pixels, root = heap[0, 0], heap[0, 2]
    own = (heap[size, 0], heap[size, 1])
    place = 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size:
            left, right = (heap[below, 0], heap[below, 1]), (heap[below + 1, 0], heap[below + 1, 1])
            below += _precedes(right, left)
        if not _precedes((heap[below, 0], heap[below, 1]), own):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = heap[size]
    same: bool = nodes.parents[root] == root and nodes.pixels[root] == pixels
    return root if same else NONE
