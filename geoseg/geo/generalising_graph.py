"""The graph of regions of which something is still open: what generalising keeps in memory.

A region is a *node* as long as anything may become of it; nodes of one region (or of one group,
once regions are joined) are united under a root. An unsettled root lists its *contacts*, which
are the neighbours that it touches, and its *parts*, which are the numbers of the region's
beginnings (`generalising_rows`). A region that is settled (as large as the limit, or
decided) lists neither, and its node lives on only while another one touches it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import inlined

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Records = npt.NDArray[Any]

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


NODE = np.dtype(
    [
        # The node that it was united with, else itself; NONE where free.
        ("parent", np.int32),
        # What follows is that of a root: its class, pixels so far, and their area, which is
        # capped at the limit, and as much as that where the root is settled.
        ("value", np.int32),
        ("pixels", np.int64),
        ("area", np.int64),
        # Its first pixel, counted in raster order, and the last row with a pixel of it.
        ("first", np.int64),
        ("last_row", np.int32),
        # First and last entry of its lists.
        ("first_contact", np.int32),
        ("last_contact", np.int32),
        ("first_part", np.int32),
        ("last_part", np.int32),
        # Whether some part of it had another class in the beginning.
        ("changed", np.int32),
        # The place in a stack of free nodes, whatever this node is.
        ("free", np.int32),
    ],
    align=True,
)
"""A region, or a group of them."""

CONTACT = np.dtype(
    [
        # Border with the neighbour, and its first pixel along the border in raster order.
        ("length", np.int64),
        ("place", np.int64),
        # A node of the neighbour.
        ("other", np.int32),
        ("following", np.int32),
    ],
    align=True,
)
"""An entry in the list of a root's neighbours."""

PART = np.dtype([("number", np.int64), ("following", np.int32)], align=True)
"""An entry in the list of a root's beginnings."""

FOUND = np.dtype(
    [
        # A beginning that gets another class, and that class.
        ("number", np.int64),
        ("value", np.int32),
        # The next beginning's class in the raster.
        ("begun", np.int32),
    ],
    align=True,
)
"""What is known and waits to be taken away; the two kinds have their own counts."""


class Graph(NamedTuple):
    """All that is kept of the rows that have passed.

    It is few arrays of records: what belongs together is near together.
    """

    nodes: Records
    """(nodes,) of `NODE`."""

    contacts: Records
    """(contacts,) of `CONTACT`."""

    parts: Records
    """(parts,) of `PART`."""

    found: Records
    """(found,) of `FOUND`."""

    counts: Longs
    """(9,) see `FREE_NODES` and the others."""


@inlined
def root_of(nodes: Records, node: int) -> int:
    """The root that a node was united under; paths are halved on the way."""
    while nodes[node].parent != node:
        nodes[node].parent = nodes[nodes[node].parent].parent
        node = nodes[node].parent
    return node


@inlined
def begin_region(graph: Graph, value: int, first: int) -> int:
    """Make a node for a region that begins.

    Args:
        graph: With a free node, a free part, and room in `found`.
        value: The region's class.
        first: Its first pixel, counted in raster order.
    """
    nodes, counts = graph.nodes, graph.counts
    counts[FREE_NODES] -= 1
    node: int = nodes[counts[FREE_NODES]].free
    nodes[node].parent = node
    nodes[node].value = value
    nodes[node].pixels = nodes[node].area = 0
    nodes[node].first = first
    nodes[node].changed = False
    nodes[node].first_contact = nodes[node].last_contact = NONE
    part = counts[FREE_PART]
    counts[FREE_PART] = graph.parts[part].following
    counts[FREE_PARTS] -= 1
    graph.parts[part].following = NONE
    graph.parts[part].number = counts[BEGINNINGS]
    nodes[node].first_part = nodes[node].last_part = part
    graph.found[counts[BEGUN]].begun = value
    counts[BEGUN] += 1
    counts[BEGINNINGS] += 1
    return node


@inlined
def is_settled(graph: Graph, root: int) -> bool:
    """Whether a root is as large as the limit, or decided."""
    settled: bool = graph.nodes[root].area >= graph.counts[LIMIT]
    return settled


@inlined
def grow(graph: Graph, root: int, pixels: int, area: int) -> None:
    """Add pixels to a root; it is settled where that makes it as large as the limit."""
    nodes = graph.nodes
    nodes[root].pixels += pixels
    if not is_settled(graph, root):
        nodes[root].area += area
        if is_settled(graph, root):
            settle(graph, root)


@inlined
def settle(graph: Graph, root: int) -> None:
    """Tell the class of a root's parts, if it is not theirs anyway, and forget its lists."""
    nodes, counts = graph.nodes, graph.counts
    nodes[root].area = counts[LIMIT]
    part = nodes[root].first_part
    while part != NONE:
        if nodes[root].changed:
            graph.found[counts[CHANGES]].number = graph.parts[part].number
            graph.found[counts[CHANGES]].value = nodes[root].value
            counts[CHANGES] += 1
        following = graph.parts[part].following
        graph.parts[part].following = counts[FREE_PART]
        counts[FREE_PART] = part
        counts[FREE_PARTS] += 1
        part = following
    contact = nodes[root].first_contact
    while contact != NONE:
        following = graph.contacts[contact].following
        release_contact(graph, contact)
        contact = following
    nodes[root].first_part = nodes[root].last_part = NONE
    nodes[root].first_contact = nodes[root].last_contact = NONE


@inlined
def release_contact(graph: Graph, contact: int) -> None:
    """Make an entry free that is in no list any more."""
    graph.contacts[contact].following = graph.counts[FREE_CONTACT]
    graph.counts[FREE_CONTACT] = contact
    graph.counts[FREE_CONTACTS] += 1


@inlined
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
    contact = nodes[root].first_contact
    # The latest two of a list are mostly the neighbours to the left and to the right.
    for _ in range(2):
        if contact != NONE:
            if contacts[contact].other == other:
                contacts[contact].length += length
                contacts[contact].place = min(contacts[contact].place, place)
                return
            contact = contacts[contact].following
    contact = counts[FREE_CONTACT]
    counts[FREE_CONTACT] = contacts[contact].following
    counts[FREE_CONTACTS] -= 1
    contacts[contact].other, contacts[contact].length = other, length
    contacts[contact].place = place
    contacts[contact].following = nodes[root].first_contact
    nodes[root].first_contact = contact
    if nodes[root].last_contact == NONE:
        nodes[root].last_contact = contact


@inlined
def unite(graph: Graph, one: int, other: int) -> int:
    """Make one group of two roots of one class.

    Returns:
        Its root.
    """
    nodes = graph.nodes
    if nodes[one].pixels < nodes[other].pixels:
        one, other = other, one
    if is_settled(graph, one) != is_settled(graph, other):
        settle(graph, one)
        settle(graph, other)
    nodes[other].parent = one
    nodes[one].first = min(nodes[one].first, nodes[other].first)
    nodes[one].last_row = max(nodes[one].last_row, nodes[other].last_row)
    nodes[one].changed |= nodes[other].changed
    _chain_lists(graph, one, other)
    grow(graph, one, nodes[other].pixels, nodes[other].area)
    return one


@inlined
def _chain_lists(graph: Graph, one: int, other: int) -> None:
    """Put the lists of another root behind those of one."""
    to, source = graph.nodes[one], graph.nodes[other]
    if source.first_part != NONE:
        if to.first_part == NONE:
            to.first_part = source.first_part
        else:
            graph.parts[to.last_part].following = source.first_part
        to.last_part = source.last_part
    if source.first_contact != NONE:
        if to.first_contact == NONE:
            to.first_contact = source.first_contact
        else:
            graph.contacts[to.last_contact].following = source.first_contact
        to.last_contact = source.last_contact


@inlined
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
    contact, before = graph.nodes[root].first_contact, NONE
    while contact != NONE:
        following = contacts[contact].following
        other = root_of(graph.nodes, contacts[contact].other)
        contacts[contact].other = other
        if other != root and calls[other] != call:
            calls[other], latest[other] = call, contact
            before = contact
        else:
            if other != root:
                first = latest[other]
                contacts[first].length += contacts[contact].length
                contacts[first].place = min(contacts[first].place, contacts[contact].place)
            if before == NONE:
                graph.nodes[root].first_contact = following
            else:
                contacts[before].following = following
            release_contact(graph, contact)
        contact = following
    graph.nodes[root].last_contact = before
