"""Room in the graph of regions: made, freed, and enlarged when that is not enough."""

from __future__ import annotations

import numpy as np

from geoseg.geo.compiled import compiled
from geoseg.geo.generalising_graph import (
    BEGUN,
    CHANGES,
    FREE_CONTACT,
    FREE_CONTACTS,
    FREE_NODES,
    FREE_PART,
    FREE_PARTS,
    LIMIT,
    NONE,
    Contacts,
    Found,
    Graph,
    Ints,
    Longs,
    Nodes,
    Parts,
    is_settled,
    tidy_contacts,
)
from geoseg.geo.region_stream import find

_NODES = 1 << 14
"""Nodes of the smallest graph."""

CONTACTS_PER_PIXEL = 4
"""Contacts that a row adds at most, for each of its pixels: two borders, noted on both sides."""


def new_graph(width: int, limit: int) -> Graph:
    """An empty graph with room for some rows.

    Args:
        width: Columns of the raster.
        limit: Area from which a region is settled, in units of the areas handed over.
    """
    size = max(_NODES, 4 * width)
    counts = np.zeros(9, np.int64)
    counts[[FREE_NODES, FREE_CONTACTS, FREE_PARTS]] = size, CONTACTS_PER_PIXEL * size, size
    counts[LIMIT] = limit
    contacts = np.arange(1, CONTACTS_PER_PIXEL * size + 1, dtype=np.int32)
    parts = np.arange(1, size + 1, dtype=np.int32)
    return Graph(
        nodes=Nodes(
            parents=np.full(size, NONE, np.int32),
            classes=np.empty(size, np.int32),
            pixels=np.empty(size, np.int64),
            areas=np.empty(size, np.int64),
            firsts=np.empty(size, np.int64),
            last_rows=np.empty(size, np.int64),
            contacts=np.empty((size, 2), np.int32),
            parts=np.empty((size, 2), np.int32),
            changed=np.empty(size, np.bool_),
            free=np.arange(size - 1, -1, -1, dtype=np.int32),
        ),
        contacts=Contacts(
            others=np.empty(len(contacts), np.int32),
            lengths=np.empty(len(contacts), np.int64),
            places=np.empty(len(contacts), np.int64),
            following=contacts,
        ),
        parts=Parts(numbers=np.empty(size, np.int64), following=parts),
        found=_new_found(size),
        counts=counts,
    )


def _new_found(parts: int) -> Found:
    # What all parts tell fits in twice over: once from sweeping, once from rows after it.
    return Found(
        numbers=np.empty(2 * parts, np.int64),
        classes=np.empty(2 * parts, np.int32),
        begun=np.empty(2 * parts, np.int32),
    )


@compiled
def has_room(graph: Graph, width: int) -> bool:
    """Whether a row of `width` pixels fits in, whatever it holds."""
    counts, parts = graph.counts, len(graph.parts.numbers)
    return (
        counts[FREE_NODES] >= width
        and counts[FREE_CONTACTS] >= CONTACTS_PER_PIXEL * width
        and counts[FREE_PARTS] >= width
        and counts[CHANGES] <= parts
        and counts[BEGUN] + width <= len(graph.found.begun)
    )


@compiled
def free_nodes(graph: Graph, frontier: Ints) -> None:
    """Let all that is kept name roots, and free the nodes that nothing names any more.

    Args:
        graph: The graph.
        frontier: Nodes of the runs in the last row, changed in place; NONE for nodata.
    """
    nodes = graph.nodes
    count = len(nodes.parents)
    used = np.zeros(count, np.bool_)
    latest, calls = np.empty(count, np.int32), np.full(count, NONE, np.int32)
    for place in range(len(frontier)):
        if frontier[place] != NONE:
            frontier[place] = find(nodes.parents, frontier[place])
            used[frontier[place]] = True
    for node in range(count):
        if nodes.parents[node] == node and not is_settled(graph, node):
            tidy_contacts(graph, node, latest, calls, node)
            used[node] = True
            contact = nodes.contacts[node, 0]
            while contact != NONE:
                used[graph.contacts.others[contact]] = True
                contact = graph.contacts.following[contact]
    free = 0
    for node in range(count - 1, -1, -1):
        if not used[node]:
            nodes.parents[node] = NONE
            nodes.free[free] = node
            free += 1
    graph.counts[FREE_NODES] = free


def enlarged(graph: Graph, width: int) -> Graph:
    """The same graph where at least half of it is free, else one that is twice as large.

    Args:
        graph: A graph of which nothing waits in `found`.
        width: Columns of the raster.
    """
    counts = graph.counts
    for free, size, row in (
        (FREE_NODES, len(graph.nodes.parents), width),
        (FREE_PARTS, len(graph.parts.numbers), width),
        (FREE_CONTACTS, len(graph.contacts.others), CONTACTS_PER_PIXEL * width),
    ):
        if counts[free] < max(size // 2, row):
            graph = _ENLARGE[free](graph)
    return graph


def _more_nodes(graph: Graph) -> Graph:
    nodes, counts = graph.nodes, graph.counts
    size, free = len(nodes.parents), int(counts[FREE_NODES])
    added = [np.concatenate([old, np.full_like(old, NONE)]) for old in nodes]
    larger = Nodes(*added)
    larger.free[free : free + size] = np.arange(2 * size - 1, size - 1, -1)
    counts[FREE_NODES] += size
    return graph._replace(nodes=larger)


def _more_contacts(graph: Graph) -> Graph:
    old, size = graph.contacts, len(graph.contacts.others)
    larger = Contacts(*(np.concatenate([each, np.empty_like(each)]) for each in old))
    _put_free(larger.following, size, graph.counts, FREE_CONTACT)
    graph.counts[FREE_CONTACTS] += size
    return graph._replace(contacts=larger)


def _more_parts(graph: Graph) -> Graph:
    old, size = graph.parts, len(graph.parts.numbers)
    larger = Parts(*(np.concatenate([each, np.empty_like(each)]) for each in old))
    _put_free(larger.following, size, graph.counts, FREE_PART)
    graph.counts[FREE_PARTS] += size
    return graph._replace(parts=larger, found=_new_found(2 * size))


def _put_free(following: Ints, size: int, counts: Longs, first: int) -> None:
    """Put the entries from `size` on before the list of those that are free already."""
    following[size:] = np.arange(size + 1, 2 * size + 1)
    following[-1] = counts[first]
    counts[first] = size


_ENLARGE = {FREE_NODES: _more_nodes, FREE_PARTS: _more_parts, FREE_CONTACTS: _more_contacts}
