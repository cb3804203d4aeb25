"""How far parts have come is told and restored, and never believed blindly."""

from types import SimpleNamespace

import numpy as np
import pytest

from geoseg.engine.journal import Mark
from geoseg.engine.parts import Part, restore_parts
from geoseg.engine.pipeline import Counts


def part():
    return Part((512, 2000), (0, 700), (2000, 2000), Counts.of(2))


def test_mark_tells_what_was_done_above_its_row():
    one = part()
    for end in (600, 1000, 1100, 1600):
        for member in (0, 1):
            one.counts.begin(member, end)
            one.counts.windows[member] += 10 + member
    one.row = 1024
    one.count(np.array([[1, 1, 0], [255, 1, 0]]), (0, 1, 2))
    mark = one.mark(5)
    assert (mark.region, mark.row) == (5, 1024)
    assert mark.state["windows"] == [20, 22]  # two rows of windows end above row 1024
    assert mark.state["pixels"] == {"0": 2, "1": 3, "2": 0}
    again = part()
    again.restore(mark)
    assert (again.row, again.pixels) == (1024, {0: 2, 1: 3, 2: 0})
    assert again.counts.windows == [20, 22]


def test_finished_part_tells_all_its_windows():
    one = part()
    one.counts.begin(0, 2048)
    one.counts.windows[0] = 9
    one.row = 2000
    assert one.is_done
    assert one.mark(0).state["windows"] == [9, 0]


STATE = {"windows": [1, 2], "skipped": [0, 0], "pixels": {"0": 7}}


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (0, STATE),
        (513, STATE),
        (2001, STATE),
        (1024, {}),
        (1024, STATE | {"windows": [1]}),
        (1024, STATE | {"windows": [1, -2]}),
        (1024, STATE | {"windows": [1, True]}),
        (1024, STATE | {"skipped": 3}),
        (1024, STATE | {"pixels": {"road": 3}}),
        (1024, STATE | {"pixels": [1]}),
    ],
)
def test_mark_that_makes_no_sense_is_refused(row, state):
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        part().restore(Mark(region=0, row=row, state=state))


WHOLE = [[0, 512, 0, 1024], [0, 512, 1024, 1300], [512, 900, 0, 512], [512, 900, 512, 1300]]


@pytest.mark.parametrize(
    ("parts", "fits"),
    [
        (WHOLE, True),
        (WHOLE[:3], False),
        ([*WHOLE, WHOLE[0]], False),
        ([[0, 512, 0, 1024], *WHOLE[2:], [0, 512, 512, 1024]], False),  # one twice, one not at all
        ([[0, 500, 0, 1300], [512, 900, 0, 1300]], False),  # rows 500 to 512 are in none
    ],
)
def test_parts_that_do_not_make_the_whole_are_refused(parts, fits):
    grid = SimpleNamespace(height=900, shape=(900, 1300))
    views = SimpleNamespace(scene=SimpleNamespace(grid=grid))
    job = SimpleNamespace(own=SimpleNamespace(grid=grid), views=views)
    restored = restore_parts(SimpleNamespace(identity={"parts": parts}, marks={}), job, [])
    assert (restored is not None) == fits
