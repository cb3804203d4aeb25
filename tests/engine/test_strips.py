"""Rows on their way through memory: what is there is what was put, wherever the buffer moves it."""

import numpy as np
import pytest
import torch

from geoseg.engine.strips import Extent, Rows, Strip

WIDTH = 6


def cut(data, valid, draw, most):
    """Rows of a scene in pieces of any height; those without data as nothing."""
    row = 0
    while row < len(valid):
        here = slice(row, row + int(draw.integers(1, most)))
        there = torch.from_numpy(data[:, here].copy()) if valid[here].any() else None
        yield Rows(row, there, valid[here])
        row = here.stop


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("height", "step", "most"), [(1, 1, 9), (16, 5, 30), (60, 40, 12)])
def test_windows_hold_what_was_put(seed, height, step, most):
    draw = np.random.default_rng([seed, height])
    has_data = np.repeat(draw.random(8) < 0.4, 100)
    valid = has_data[:, None] & (draw.random((800, WIDTH)) < 0.9)
    data = draw.integers(1, 99, (2, 800, WIDTH)).astype(np.int16)
    extent = Extent(rows=(0, 800), cols=(0, WIDTH))
    strip = Strip(cut(data, valid, draw, most), extent, height)
    empty = 0
    for row in range(0, 800 - height, step):
        strip.advance(row, height)
        here = valid[row : row + height, 1:]
        if not strip.has_data(height):
            assert not valid[row : row + height].any()
            empty += 1
        elif here.any():
            inside = np.s_[row : row + height, 1 : 1 + height]
            assert np.array_equal(strip.valid(1, height), valid[inside])
            shown = strip.pixels(1, height).numpy()
            assert np.array_equal(shown[:, valid[inside]], data[:, *inside][:, valid[inside]])
    assert empty > 0


def test_what_is_not_there_is_zero():
    """Networks may compute with what is not valid; what lay in memory before could be NaN."""
    ones, shape = torch.ones(1, 4, WIDTH), (4, WIDTH)
    has_data = [False, *[True] * 9, False, True]
    rows = [
        Rows(4 * place, ones if full else None, np.full(shape, full))
        for place, full in enumerate(has_data)
    ]
    strip = Strip(iter(rows), Extent(rows=(0, 48), cols=(0, WIDTH)), 12)
    for row in range(0, 37, 4):
        strip.advance(row, 12)
        if row in (0, 36):
            assert strip.pixels(0, 12)[0, ::4, 0].tolist() == has_data[row // 4 : row // 4 + 3]
