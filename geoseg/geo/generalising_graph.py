"""The graph of regions of which something is still open: what generalising keeps in memory.

A region is a *node* as long as anything may become of it; nodes of one region (or of one group,
once regions are joined) are united under a root. An unsettled root lists its *contacts*, which
are the neighbours that it touches, and its *parts*, which are the numbers of the region's
beginnings (`generalising_rows`). A region that is settled (as large as the limit, or
decided) lists neither, and its node lives on only while another one touches it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled
from geoseg.geo.region_stream import find

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

NONE = -1
"""No node, no entry of a list, no class."""

(
    FREE_NODES,
    FREE_CONTACT,
    FREE_CONTACTS,
    FREE_PART,
    FREE_PARTS,
    CHANGES,
    BEGUN,
    BEGINNINGS,
    LIMIT,
) = range(9)
"""Places in `Graph.counts`. FREE_CONTACT and FREE_PART are the first entries of the lists of free
ones, CHANGES and BEGUN what waits to be taken away, BEGINNINGS all that have been numbered."""


class Nodes(NamedTuple):
    """Regions and groups of regions."""

    parents: Ints
    """(nodes,) the node that each was united with, else itself; NONE where free."""

    classes: Ints
    """(nodes,) class of a root."""

    pixels: Longs
    """(nodes,) pixels of a root so far."""

    areas: Longs
    """(nodes,) their area so far, capped at the limit; that much once a root is settled."""

    firsts: Longs
    """(nodes,) the first pixel of a root, counted in raster order."""

    last_rows: Longs
    """(nodes,) last row with pixels of a root."""

    contacts: Ints
    """(nodes, 2) first and last entry in the root's list of contacts."""

    parts: Ints
    """(nodes, 2) first and last entry in the root's list of parts."""

    changed: Bools
    """(nodes,) whether some part of a root had another class in the beginning."""

    free: Ints
    """(nodes,) a stack of the nodes that are free."""


class Contacts(NamedTuple):
    """Entries of the lists of neighbours."""

    others: Ints
    """(contacts,) a node of the neighbour."""

    lengths: Longs
    """(contacts,) length of the border, in units of the border lengths handed over."""

    places: Longs
    """(contacts,) the neighbour's first pixel along the border, counted in raster order."""

    following: Ints
    """(contacts,) the next entry of the list."""


class Parts(NamedTuple):
    """Entries of the lists of beginnings."""

    numbers: Longs
    """(parts,) number of the beginning, from 0."""

    following: Ints
    """(parts,) the next entry of the list."""


class Found(NamedTuple):
    """What is known and waits to be taken away."""

    numbers: Longs
    """(changes,) beginnings that get another class."""

    classes: Ints
    """(changes,) that class."""

    begun: Ints
    """(beginnings,) classes that the beginnings have in the raster."""


class Graph(NamedTuple):
    """All that is kept of the rows that have passed."""

    nodes: Nodes
    contacts: Contacts
    parts: Parts
    found: Found
    counts: Longs
    """(9,) see `FREE_NODES` and the others."""


@compiled
def begin_region(graph: Graph, value: int, first: int) -> int:
    """Make a node for a region that begins.

    Args:
        graph: With a free node, a free part, and room in `found`.
        value: The region's class.
        first: Its first pixel, counted in raster order.
    """
    nodes, counts = graph.nodes, graph.counts
    counts[FREE_NODES] -= 1
    node: int = nodes.free[counts[FREE_NODES]]
    nodes.parents[node] = node
    nodes.classes[node] = value
    nodes.pixels[node] = nodes.areas[node] = 0
    nodes.firsts[node] = first
    nodes.changed[node] = False
    nodes.contacts[node] = NONE
    part = counts[FREE_PART]
    counts[FREE_PART] = graph.parts.following[part]
    counts[FREE_PARTS] -= 1
    graph.parts.following[part] = NONE
    graph.parts.numbers[part] = counts[BEGINNINGS]
    nodes.parts[node] = part
    graph.found.begun[counts[BEGUN]] = value
    counts[BEGUN] += 1
    counts[BEGINNINGS] += 1
    return node


@compiled
def is_settled(graph: Graph, root: int) -> bool:
    """Whether a root is as large as the limit, or decided."""
    settled: bool = graph.nodes.areas[root] >= graph.counts[LIMIT]
    return settled


@compiled
def grow(graph: Graph, root: int, pixels: int, area: int) -> None:
    """Add pixels to a root; it is settled where that makes it as large as the limit."""
    nodes = graph.nodes
    nodes.pixels[root] += pixels
    if not is_settled(graph, root):
        nodes.areas[root] += area
        if is_settled(graph, root):
            settle(graph, root)


@compiled
def settle(graph: Graph, root: int) -> None:
    """Tell the class of a root's parts, if it is not theirs anyway, and forget its lists."""
    nodes, counts = graph.nodes, graph.counts
    nodes.areas[root] = counts[LIMIT]
    part = nodes.parts[root, 0]
    while part != NONE:
        if nodes.changed[root]:
            graph.found.numbers[counts[CHANGES]] = graph.parts.numbers[part]
            graph.found.classes[counts[CHANGES]] = nodes.classes[root]
            counts[CHANGES] += 1
        following = graph.parts.following[part]
        graph.parts.following[part] = counts[FREE_PART]
        counts[FREE_PART] = part
        counts[FREE_PARTS] += 1
        part = following
    contact = nodes.contacts[root, 0]
    while contact != NONE:
        following = graph.contacts.following[contact]
        release_contact(graph, contact)
        contact = following
    nodes.parts[root] = NONE
    nodes.contacts[root] = NONE


@compiled
def release_contact(graph: Graph, contact: int) -> None:
    """Make an entry free that is in no list any more."""
    graph.contacts.following[contact] = graph.counts[FREE_CONTACT]
    graph.counts[FREE_CONTACT] = contact
    graph.counts[FREE_CONTACTS] += 1


@compiled
def add_contact(graph: Graph, root: int, other: int, length: int, place: int) -> None:
    """List a border on the side of an unsettled root.

    Args:
        graph: With a free contact.
        root: Whose list it is.
        other: A node of the neighbour.
        length: Of the border.
        place: The neighbour's first pixel along the border, counted in raster order.
    """
    nodes, contacts, counts = graph.nodes, graph.contacts, graph.counts
    contact = nodes.contacts[root, 0]
    # The latest two of a list are mostly the neighbours to the left and to the right.
    for _ in range(2):
        if contact != NONE:
            if contacts.others[contact] == other:
                contacts.lengths[contact] += length
                contacts.places[contact] = min(contacts.places[contact], place)
                return
            contact = contacts.following[contact]
    contact = counts[FREE_CONTACT]
    counts[FREE_CONTACT] = contacts.following[contact]
    counts[FREE_CONTACTS] -= 1
    contacts.others[contact], contacts.lengths[contact] = other, length
    contacts.places[contact] = place
    contacts.following[contact] = nodes.contacts[root, 0]
    nodes.contacts[root, 0] = contact
    if nodes.contacts[root, 1] == NONE:
        nodes.contacts[root, 1] = contact


@compiled
def unite(graph: Graph, one: int, other: int) -> int:
    """Make one group of two roots of one class.

    Returns:
        Its root.
    """
    nodes = graph.nodes
    if nodes.pixels[one] < nodes.pixels[other]:
        one, other = other, one
    if is_settled(graph, one) != is_settled(graph, other):
        settle(graph, one)
        settle(graph, other)
    nodes.parents[other] = one
    nodes.firsts[one] = min(nodes.firsts[one], nodes.firsts[other])
    nodes.last_rows[one] = max(nodes.last_rows[one], nodes.last_rows[other])
    nodes.changed[one] |= nodes.changed[other]
    _chain(nodes.parts, graph.parts.following, one, other)
    _chain(nodes.contacts, graph.contacts.following, one, other)
    grow(graph, one, nodes.pixels[other], nodes.areas[other])
    return one


@compiled
def _chain(lists: Ints, following: Ints, one: int, other: int) -> None:
    """Put the list of another root behind that of one."""
    if lists[other, 0] != NONE:
        if lists[one, 0] == NONE:
            lists[one, 0] = lists[other, 0]
        else:
            following[lists[one, 1]] = lists[other, 0]
        lists[one, 1] = lists[other, 1]


@compiled
def tidy_contacts(graph: Graph, root: int, latest: Ints, calls: Ints, call: int) -> None:
    """Let a root's contacts name roots, each of them once, and none the root itself.

    Args:
        graph: The graph.
        root: Unsettled.
        latest: (nodes,) for work: the root's contact with each neighbour.
        calls: (nodes,) for work: the call that `latest` is of; NONE before the first one.
        call: Number of this call, from 0.
    """
    contacts = graph.contacts
    contact, before = graph.nodes.contacts[root, 0], NONE
    while contact != NONE:
        following = contacts.following[contact]
        other = find(graph.nodes.parents, contacts.others[contact])
        contacts.others[contact] = other
        if other != root and calls[other] != call:
            calls[other], latest[other] = call, contact
            before = contact
        else:
            if other != root:
                first = latest[other]
                contacts.lengths[first] += contacts.lengths[contact]
                contacts.places[first] = min(contacts.places[first], contacts.places[contact])
            if before == NONE:
                graph.nodes.contacts[root, 0] = following
            else:
                contacts.following[before] = following
            release_contact(graph, contact)
        contact = following
    graph.nodes.contacts[root, 1] = before
