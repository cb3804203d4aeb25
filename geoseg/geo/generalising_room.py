"""Room in the graph of regions: made, freed, and enlarged when that is not enough."""

from __future__ import annotations

import numpy as np

from geoseg.geo.compiled import compiled
from geoseg.geo.generalising_graph import (
    BEGUN,
    CHANGES,
    CONTACT,
    FOUND,
    FREE_CONTACT,
    FREE_CONTACTS,
    FREE_NODES,
    FREE_PART,
    FREE_PARTS,
    LIMIT,
    NODE,
    NONE,
    PART,
    Graph,
    Ints,
    Longs,
    Records,
    is_settled,
    root_of,
    tidy_contacts,
)

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
    nodes, contacts = np.zeros(size, NODE), np.zeros(CONTACTS_PER_PIXEL * size, CONTACT)
    parts = np.zeros(size, PART)
    nodes["parent"], nodes["free"] = NONE, np.arange(size - 1, -1, -1)
    contacts["following"] = np.arange(1, len(contacts) + 1)
    parts["following"] = np.arange(1, size + 1)
    return Graph(nodes, contacts, parts, _new_found(size), counts)


def _new_found(parts: int) -> Records:
    # What all parts tell fits in twice over: once from sweeping, once from rows after it.
    return np.zeros(2 * parts, FOUND)


@compiled
def has_room(graph: Graph, width: int) -> bool:
    """Whether a row of `width` pixels fits in, whatever it holds."""
    counts, parts = graph.counts, len(graph.parts)
    fits: bool = (
        counts[FREE_NODES] >= width
        and counts[FREE_CONTACTS] >= CONTACTS_PER_PIXEL * width
        and counts[FREE_PARTS] >= width
        and counts[CHANGES] <= parts
        and counts[BEGUN] + width <= len(graph.found)
    )
    return fits


@compiled
def free_nodes(graph: Graph, frontier: Ints) -> None:
    """Let all that is kept name roots, and free the nodes that nothing names any more.

    Args:
        graph: The graph.
        frontier: Nodes of the runs in the last row, changed in place; NONE for nodata.
    """
    nodes = graph.nodes
    count = len(nodes)
    used = np.zeros(count, np.bool_)
    latest, calls = np.empty(count, np.int32), np.full(count, NONE, np.int32)
    for place in range(len(frontier)):
        if frontier[place] != NONE:
            frontier[place] = root_of(nodes, frontier[place])
            used[frontier[place]] = True
    for node in range(count):
        if nodes[node].parent == node and not is_settled(graph, node):
            tidy_contacts(graph, node, latest, calls, node)
            used[node] = True
            contact = nodes[node].first_contact
            while contact != NONE:
                used[graph.contacts[contact].other] = True
                contact = graph.contacts[contact].following
    free = 0
    for node in range(count - 1, -1, -1):
        if not used[node]:
            nodes[node].parent = NONE
            nodes[free].free = node
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
        (FREE_NODES, len(graph.nodes), width),
        (FREE_PARTS, len(graph.parts), width),
        (FREE_CONTACTS, len(graph.contacts), CONTACTS_PER_PIXEL * width),
    ):
        if counts[free] < max(size // 2, row):
            graph = _ENLARGE[free](graph)
    return graph


def _more_nodes(graph: Graph) -> Graph:
    old, counts = graph.nodes, graph.counts
    size, free = len(old), int(counts[FREE_NODES])
    nodes = np.concatenate([old, np.zeros_like(old)])
    nodes["parent"][size:] = NONE
    nodes["free"][free : free + size] = np.arange(2 * size - 1, size - 1, -1)
    counts[FREE_NODES] += size
    return graph._replace(nodes=nodes)


def _more_contacts(graph: Graph) -> Graph:
    contacts = _longer_list(graph.contacts, graph.counts, FREE_CONTACT)
    graph.counts[FREE_CONTACTS] += len(graph.contacts)
    return graph._replace(contacts=contacts)


def _more_parts(graph: Graph) -> Graph:
    parts = _longer_list(graph.parts, graph.counts, FREE_PART)
    graph.counts[FREE_PARTS] += len(graph.parts)
    return graph._replace(parts=parts, found=_new_found(len(parts)))


def _longer_list(entries: Records, counts: Longs, first: int) -> Records:
    """Twice as many entries, the new ones before the list of those that are free already."""
    size = len(entries)
    longer = np.concatenate([entries, np.zeros_like(entries)])
    longer["following"][size:] = np.arange(size + 1, 2 * size + 1)
    longer["following"][-1] = counts[first]
    counts[first] = size
    return longer


_ENLARGE = {FREE_NODES: _more_nodes, FREE_PARTS: _more_parts, FREE_CONTACTS: _more_contacts}
