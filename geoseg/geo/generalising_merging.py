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

from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.generalising_graph import (
    NONE,
    Graph,
    Ints,
    Longs,
    Records,
    is_settled,
    settle,
    tidy_contacts,
    unite,
)

_WAITS = -2
"""Instead of a class: some smaller neighbour goes first."""

_CLASSES = 1 << 16


_TURN = np.dtype([("pixels", np.int64), ("first", np.int64), ("root", np.int64)])
"""A root that may go, with its pixels and its first one when that became known."""


class _Work(NamedTuple):
    """Arrays for work."""

    heap: Records
    """(nodes,) of `_TURN`: a binary heap, those that go first in front."""

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
    count = len(nodes)
    work = _Work(
        np.empty(count, _TURN),
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


@inlined
def _may_go(graph: Graph, node: int, row: int) -> bool:
    nodes = graph.nodes
    if nodes[node].parent != node or is_settled(graph, node):
        return False
    ended: bool = nodes[node].last_row != row
    return ended


@inlined
def _choose_class(graph: Graph, root: int, work: _Work) -> int:
    """The class with the longest border, _WAITS, or NONE where there are no neighbours."""
    nodes, contacts = graph.nodes, graph.contacts
    tidy_contacts(graph, root, work.latest, work.calls, work.size[1])
    work.size[1] += 1
    chosen, waits = NONE, False
    contact = nodes[root].first_contact
    while contact != NONE:
        other = contacts[contact].other
        if not is_settled(graph, other) and _goes_before(nodes, other, root):
            waits = True
        value, place = nodes[other].value, contacts[contact].place
        if work.lengths[value] == 0 or place < work.places[value]:
            work.places[value] = place
        work.lengths[value] += contacts[contact].length
        contact = contacts[contact].following
    contact = nodes[root].first_contact
    length = place = 0
    while contact != NONE:
        value = nodes[contacts[contact].other].value
        here, begin = work.lengths[value], work.places[value]
        if here > length or (here == length and here > 0 and begin < place):
            chosen, length, place = value, here, begin
        work.lengths[value] = 0
        contact = contacts[contact].following
    return _WAITS if waits else chosen


@inlined
def _take_class(graph: Graph, root: int, value: int, work: _Work) -> int:
    """Give a root another class, and unite it with its neighbours of that class."""
    nodes, contacts = graph.nodes, graph.contacts
    count = 0
    contact = nodes[root].first_contact
    while contact != NONE:
        other = contacts[contact].other
        if nodes[other].value == value:
            work.neighbours[count] = other
            count += 1
        contact = contacts[contact].following
    nodes[root].value, nodes[root].changed = value, True
    for place in range(count):
        other = work.neighbours[place]
        # Two that are settled need not be told apart from one: both have the class for good.
        if not (is_settled(graph, root) and is_settled(graph, other)):
            root = unite(graph, root, other)
    return root


@inlined
def _goes_before(nodes: Records, one: int, other: int) -> bool:
    return _precedes(
        (nodes[one].pixels, nodes[one].first), (nodes[other].pixels, nodes[other].first)
    )


@inlined
def _precedes(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether a region goes before another one; both as pixels and first pixel."""
    return one[0] < other[0] or (one[0] == other[0] and one[1] < other[1])


@inlined
def _push(nodes: Records, work: _Work, root: int) -> None:
    heap, place = work.heap, work.size[0]
    work.size[0] += 1
    own = (nodes[root].pixels, nodes[root].first)
    while place > 0:
        above = (place - 1) // 2
        if not _precedes(own, (heap[above].pixels, heap[above].first)):
            break
        heap[place] = heap[above]
        place = above
    heap[place].pixels, heap[place].first, heap[place].root = own[0], own[1], root


@inlined
def _pop(nodes: Records, work: _Work) -> int:
    """The root that goes first; NONE if it has been united with another one in the meantime."""
    work.size[0] -= 1
    heap, size = work.heap, work.size[0]
    pixels, root = heap[0].pixels, heap[0].root
    own = (heap[size].pixels, heap[size].first)
    place = 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size:
            left, right = (
                (heap[below].pixels, heap[below].first),
                (heap[below + 1].pixels, heap[below + 1].first),
            )
            below += _precedes(right, left)
        if not _precedes((heap[below].pixels, heap[below].first), own):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = heap[size]
    same: bool = nodes[root].parent == root and nodes[root].pixels == pixels
    return root if same else NONE
