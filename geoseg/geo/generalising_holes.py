"""Small holes are filled, as far as the rows that have passed decide it.

A hole of a region is what the region separates from the rest of the raster: take the region out
of the graph of neighbours, and the hole is a part of its own. Regions that are large, or touch
nodata or the raster's edge, lie in no hole that is filled; they are settled, and so is whatever
two ways lead from to settled regions, which have no region in common. What only one region
separates from all settled ones is found by a search in depth, as articulation points are
(Hopcroft and Tarjan 1973, doi:10.1145/362248.362272).

Regions that may grow still are no way to anywhere, and a settled one may yet turn out to be one
with another one of its class, so those that have not ended count as one per class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.generalising_graph import (
    LIMIT,
    NONE,
    Bools,
    Graph,
    Ints,
    Longs,
    is_settled,
    root_of,
    settle,
)

_CLASSES = 1 << 16
_STAYS, _WAITS = -1, -2
"""Instead of a class that fills: the region stays as it is; rows to come decide."""


class _Links(NamedTuple):
    """Ended regions and the settled ones beside them, numbered from 0 as *places*."""

    roots: Ints
    """(places,) the root of each ended region; NONE for settled ones."""

    classes: Ints
    """(places,) class of each."""

    firsts: Ints
    """(places + 1,) where the neighbours of each begin in `others`."""

    others: Ints
    """(links,) places of the neighbours."""

    waiting: Bools
    """(places,) whether a neighbour has not ended and is not settled."""

    settled: Ints
    """(places, 2) lowest and highest root among settled neighbours; NONE if there are none."""


class _Search(NamedTuple):
    """A search in depth, which begins at settled places."""

    order: Ints
    """(places reached,) places in the order in which they were reached."""

    above: Ints
    """(places,) from where each was reached; NONE for settled ones and those never reached."""

    numbers: Ints
    """(places,) when each was reached, from 1; 0 if never."""


@compiled
def fill_ended(graph: Graph, row: int) -> None:
    """Fill all holes about which the rows until now decide, and settle what lies in none.

    Args:
        graph: The graph; changes are put into `found`.
        row: The last row; NONE if no more follow, so that all is decided.
    """
    links = _link(graph, row)
    search = _search(links)
    fills = _decide(graph, links, search)
    nodes = graph.nodes
    for place in range(len(links.roots)):
        root = links.roots[place]
        if root != NONE and fills[place] != _WAITS:
            if fills[place] != _STAYS:
                nodes[root].value, nodes[root].changed = fills[place], True
            settle(graph, root)


@compiled
def _number_places(graph: Graph, row: int) -> tuple[Ints, Ints, int, int]:
    """Number ended regions first, then settled ones.

    Returns:
        Place of each node, class of each place, how many ended regions, how many places.
    """
    nodes, contacts = graph.nodes, graph.contacts
    count = len(nodes)
    places, of_class = np.full(count, NONE, np.int32), np.full(_CLASSES, NONE, np.int32)
    classes, ended = np.empty(count, np.int32), 0
    for node in range(count):
        if nodes[node].parent == node and not is_settled(graph, node):
            if nodes[node].last_row == row:
                continue
            places[node], classes[ended] = ended, nodes[node].value
            ended += 1
    total = ended
    for node in range(count):
        if places[node] == NONE or places[node] >= ended:
            continue
        contact = nodes[node].first_contact
        while contact != NONE:
            other = root_of(nodes, contacts[contact].other)
            if places[other] == NONE and is_settled(graph, other):
                value = nodes[other].value
                goes_on = nodes[other].last_row == row
                if goes_on and of_class[value] != NONE:
                    places[other] = of_class[value]
                else:
                    places[other], classes[total] = total, value
                    if goes_on:
                        of_class[value] = total
                    total += 1
            contact = contacts[contact].following
    return places, classes[:total].copy(), ended, total


@compiled
def _link(graph: Graph, row: int) -> _Links:
    nodes, contacts = graph.nodes, graph.contacts
    places, classes, ended, total = _number_places(graph, row)
    roots, firsts = np.full(total, NONE, np.int32), np.zeros(total + 1, np.int32)
    waiting, settled = np.zeros(total, np.bool_), np.full((total, 2), NONE, np.int32)
    for node in range(len(places)):
        place = places[node]
        if place == NONE or place >= ended:
            continue
        roots[place] = node
        contact = nodes[node].first_contact
        while contact != NONE:
            other = root_of(nodes, contacts[contact].other)
            if places[other] == NONE:
                waiting[place] = True
            else:
                firsts[place + 1] += 1
                if places[other] >= ended:
                    firsts[places[other] + 1] += 1
                    _span(settled, place, other, other)
            contact = contacts[contact].following
    firsts = np.cumsum(firsts).astype(np.int32)
    others, filled = np.empty(firsts[total], np.int32), firsts[:total].copy()
    for place in range(ended):
        contact = nodes[roots[place]].first_contact
        while contact != NONE:
            other = places[root_of(nodes, contacts[contact].other)]
            if other != NONE:
                others[filled[place]] = other
                filled[place] += 1
                if other >= ended:
                    others[filled[other]] = place
                    filled[other] += 1
            contact = contacts[contact].following
    return _Links(roots, classes, firsts, others, waiting, settled)


@inlined
def _span(spans: Ints, place: int, low: int, high: int) -> None:
    """Widen a span so that it holds another one."""
    if low != NONE:
        if spans[place, 0] == NONE or low < spans[place, 0]:
            spans[place, 0] = low
        spans[place, 1] = max(spans[place, 1], high)


@compiled
def _search(links: _Links) -> _Search:
    count = len(links.roots)
    order, above = np.empty(count, np.int32), np.full(count, NONE, np.int32)
    numbers, following = np.zeros(count, np.int32), links.firsts[:count].copy()
    reached = 0
    for start in range(count):
        if links.roots[start] != NONE or numbers[start] > 0:
            continue
        place = start
        order[reached] = place
        reached += 1
        numbers[place] = reached
        while place != NONE:
            if following[place] == links.firsts[place + 1]:
                place = above[place]
                continue
            other = links.others[following[place]]
            following[place] += 1
            if numbers[other] == 0:
                above[other] = place
                order[reached] = other
                reached += 1
                numbers[other] = reached
                place = other
    return _Search(order[:reached], above, numbers)


@compiled
def _sum_up(graph: Graph, links: _Links, search: _Search) -> tuple[Ints, Longs]:
    """What each place and all that was reached through it amount to; into `links`, too.

    Returns:
        The earliest place that they are beside, as its number, with 0 before all settled ones;
        their area, capped at the limit.
    """
    limit = graph.counts[LIMIT]
    lows, areas = search.numbers.copy(), np.full(len(links.roots), limit, np.int64)
    for place in search.order:
        root = links.roots[place]
        if root == NONE:
            lows[place] = 0
        else:
            areas[place] = graph.nodes[root].area
    for index in range(len(search.order) - 1, -1, -1):
        place = search.order[index]
        above = search.above[place]
        for link in range(links.firsts[place], links.firsts[place + 1]):
            lows[place] = min(lows[place], search.numbers[links.others[link]])
        if above != NONE:
            lows[above] = min(lows[above], lows[place])
            areas[above] = min(areas[above] + areas[place], limit)
            links.waiting[above] |= links.waiting[place]
            _span(links.settled, above, links.settled[place, 0], links.settled[place, 1])
    return lows, areas


@compiled
def _decide(graph: Graph, links: _Links, search: _Search) -> Ints:
    """For each place the class that fills it, or _STAYS, or _WAITS."""
    lows, areas = _sum_up(graph, links, search)
    fills = np.full(len(links.roots), _WAITS, np.int32)
    for place in search.order:
        above = search.above[place]
        if links.roots[place] == NONE:
            fills[place] = _STAYS
        elif fills[above] != _STAYS:
            fills[place] = fills[above]
        elif lows[place] < search.numbers[above] or areas[place] >= graph.counts[LIMIT]:
            fills[place] = _STAYS
        elif not links.waiting[place] and links.settled[place, 0] == links.settled[place, 1]:
            fills[place] = links.classes[above]
    return fills
