"""What is summed over regions, and which of them are complete."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import inlined
from geoseg.geo.region_stream import find, release, take, unite
from geoseg.geo.tracing_arcs import free_arc, free_vertices, next_half, set_next_half
from geoseg.geo.tracing_lines import OUTSIDE
from geoseg.geo.tracing_pools import CLOSED, GROUP, GROUPS, Ints, Longs, Pools

_ENDED = -1
"""In place of the last row of a region that has ended."""


@inlined
def label(pools: Pools, row: int, merged: Ints) -> None:
    """Give the runs of a row the slots of their regions; merge what turns out to be one region.

    Args:
        pools: The pools; the runs of the row are there.
        row: Its number.
        merged: (width, 2) room for slots.
    """
    merges = _label_runs(pools, row, merged)
    if merges == 0:
        return
    for place in range(merges):
        _merge(pools, merged[place, 0], merged[place, 1])
    runs = pools.runs
    for line in range(2):
        for run in range(runs.counts[line]):
            if runs.slots[line, run] >= 0:
                runs.slots[line, run] = find(pools.slots.parents, runs.slots[line, run])
    for place in range(merges):
        release(pools.slots, merged[place, 0])


@inlined
def _label_runs(pools: Pools, row: int, merged: Ints) -> int:
    """Find the slot of each run; how many pairs `merged` holds then: a slot, and what it is now."""
    slots, runs = pools.slots, pools.runs
    merges, first = 0, 0
    for run in range(runs.counts[1]):
        runs.slots[1, run] = -1
        if runs.values[1, run] == OUTSIDE:
            continue
        root = -1
        while runs.starts[0, first + 1] <= runs.starts[1, run]:
            first += 1
        above = first
        while runs.starts[0, above] < runs.starts[1, run + 1]:
            if runs.values[0, above] == runs.values[1, run]:
                root, merges = unite(slots, root, runs.slots[0, above], merged, merges)
            above += 1
        if root < 0:
            root = take(slots)
        slots.last_rows[root] = row
        runs.slots[1, run] = root
    return merges


@inlined
def _merge(pools: Pools, slot: int, into: int) -> None:
    """Add what is known of one region to another one, and clear it."""
    region, other = pools.regions[into], pools.regions[slot]
    region.pixels += other.pixels
    region.area += other.area
    for field in range(pools.sums.shape[1]):
        pools.sums[into, field] += pools.sums[slot, field]
        pools.tallies[into, field] += pools.tallies[slot, field]
    if other.halves:
        if region.halves:
            set_next_half(pools.arcs, region.last_half, other.first_half)
        else:
            region.first_half = other.first_half
        region.last_half = other.last_half
        region.halves += other.halves
    if other.group >= 0:
        if region.group >= 0:
            group = _join_groups(pools, region.group, other.group)
            pools.groups[group].open -= 1
        else:
            region.group = other.group
    clear(pools, slot)


@inlined
def clear(pools: Pools, slot: int) -> None:
    """Make the record of a region that of none."""
    region = pools.regions[slot]
    region.pixels, region.area, region.halves = 0, 0.0, 0
    region.first_half = region.last_half = region.group = -1
    for field in range(pools.sums.shape[1]):
        pools.sums[slot, field] = 0.0
        pools.tallies[slot, field] = 0


@inlined
def sum_up(pools: Pools, fields: npt.NDArray[np.float32], area: float, keep: Longs) -> None:
    """Add the labelled row to its regions.

    Args:
        pools: The pools.
        fields: (k, width) of this row.
        area: Of one of its pixels.
        keep: Values that become polygons; all where there are none.
    """
    runs = pools.runs
    for run in range(runs.counts[1]):
        slot = runs.slots[1, run]
        if slot < 0:
            continue
        begin, end = runs.starts[1, run], runs.starts[1, run + 1]
        region = pools.regions[slot]
        if region.pixels == 0:
            region.value = runs.values[1, run]
            region.kept = _is_kept(region.value, keep)
        region.pixels += end - begin
        region.area += (end - begin) * area
        for field in range(len(fields)):
            for place in range(begin, end):
                value = fields[field, place]
                if not np.isnan(value):
                    pools.sums[slot, field] += value
                    pools.tallies[slot, field] += 1


@inlined
def _is_kept(value: int, keep: Longs) -> bool:
    for kept in keep:
        if kept == value:
            return True
    return len(keep) == 0


@inlined
def touch(pools: Pools, slot: int, other: int) -> None:
    """Make two regions that touch at a corner parts of one group."""
    if slot == other or slot < 0 or not pools.regions[slot].kept:
        return
    group = _group_of(pools, slot)
    more = _group_of(pools, other)
    _join_groups(pools, group, more)


@inlined
def _group_of(pools: Pools, slot: int) -> int:
    """The group of a region that is not closed; a new one where it has none."""
    region = pools.regions[slot]
    if region.group < 0:
        place = pools.counts[GROUP]
        group = pools.groups[place]
        pools.counts[GROUP] = group.next
        pools.counts[GROUPS] -= 1
        group.parent, group.open = place, 1
        group.first_part = group.last_part = group.next_member = -1
        group.last_member = place
        group.lead = np.iinfo(np.int64).max
        region.group = place
    region.group = _find_group(pools, region.group)
    found: int = region.group
    return found


@inlined
def _find_group(pools: Pools, place: int) -> int:
    groups = pools.groups
    while groups[place].parent != place:
        groups[place].parent = groups[groups[place].parent].parent
        place = groups[place].parent
    return place


@inlined
def _join_groups(pools: Pools, place: int, other: int) -> int:
    """Make two groups one; the second goes on as a member of the first."""
    place, other = _find_group(pools, place), _find_group(pools, other)
    if place == other:
        return place
    group, more = pools.groups[place], pools.groups[other]
    more.parent = place
    group.open += more.open
    group.lead = min(group.lead, more.lead)
    pools.groups[group.last_member].next_member = other
    group.last_member = more.last_member
    if more.first_part >= 0:
        if group.first_part >= 0:
            pools.regions[group.last_part].next_part = more.first_part
        else:
            group.first_part = more.first_part
        group.last_part = more.last_part
    return place


@inlined
def ended_above(pools: Pools, row: int, ended: Ints) -> int:
    """Find the regions that do not reach a row.

    Args:
        pools: The pools.
        row: The row, which is labelled.
        ended: (width,) to be filled with their slots, by column.

    Returns:
        How many there are.
    """
    slots, runs = pools.slots, pools.runs
    ends = 0
    for run in range(runs.counts[0]):
        if runs.slots[0, run] >= 0:
            root = find(slots.parents, runs.slots[0, run])
            if slots.last_rows[root] == row - 1:
                slots.last_rows[root] = _ENDED
                ended[ends] = root
                ends += 1
    return ends


@inlined
def close(pools: Pools, row: int, ended: Ints) -> None:
    """Put regions that are complete where they wait to be written; drop those not kept.

    Args:
        pools: The pools.
        row: Their last row.
        ended: Their slots.
    """
    for slot in ended:
        region = pools.regions[slot]
        if not region.kept:
            drop(pools, slot)
        elif region.group < 0:
            _wait(pools, slot, row, pools.slots.numbers[slot])
        else:
            _close_part(pools, slot, row)


@inlined
def _wait(pools: Pools, slot: int, row: int, lead: int) -> None:
    waiting = pools.closed[pools.counts[CLOSED]]
    waiting.slot, waiting.row, waiting.lead = slot, row, lead
    pools.counts[CLOSED] += 1


@inlined
def _close_part(pools: Pools, slot: int, row: int) -> None:
    """Close a part of a group, and the group with its last part."""
    place = _find_group(pools, pools.regions[slot].group)
    group = pools.groups[place]
    group.lead = min(group.lead, pools.slots.numbers[slot])
    pools.regions[slot].next_part = -1
    if group.first_part < 0:
        group.first_part = slot
    else:
        pools.regions[group.last_part].next_part = slot
    group.last_part = slot
    group.open -= 1
    if group.open > 0:
        return
    part = group.first_part
    while part >= 0:
        _wait(pools, part, row, group.lead)
        part = pools.regions[part].next_part
    while place >= 0:
        following = pools.groups[place].next_member
        pools.groups[place].next = pools.counts[GROUP]
        pools.counts[GROUP] = place
        pools.counts[GROUPS] += 1
        place = following


@inlined
def drop(pools: Pools, slot: int) -> None:
    """Forget a region, and the arcs that nobody else is going to use."""
    half = pools.regions[slot].first_half
    while half >= 0:
        following = next_half(pools.arcs, half)
        place = half >> 1
        pools.arcs[place].uses -= 1
        if pools.arcs[place].uses == 0:
            free_vertices(pools, place)
            free_arc(pools, place)
        half = following
    clear(pools, slot)
    release(pools.slots, slot)
