"""Errors of cells and of windows, against sums of slices of whole arrays."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geoseg.geo import error_map as module
from geoseg.geo.error_map import ErrorCounter, window_side
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend, LegendClass

WITH_GROUND = Legend.of_values([0, 1, 2], {0: "background", 1: "roof", 2: "tree"})
ALL_ALIKE = Legend(
    classes=tuple(
        LegendClass(value=value + 1, name=name, color="#808080")
        for value, name in enumerate(("roof", "tree", "lake"))
    )
)
UNKNOWN = WITH_GROUND.ignore_index


def grid_of(shape):
    return Grid(height=shape[0], width=shape[1], transform=Affine(1, 0, 0, 0, -1, 0), crs=None)


def draw(shape, seed=0):
    rng = np.random.default_rng(seed)
    pair = rng.choice(np.array([0, 1, 2, UNKNOWN], np.uint8), (2, *shape), p=(0.5, 0.2, 0.2, 0.1))
    return pair[0], pair[1]


def count(reference, prediction, *, rows=7, window=5, left_out=(), legend=WITH_GROUND):
    counter = ErrorCounter(grid_of(reference.shape), legend, left_out, window)
    for row in range(0, len(reference), rows):
        counter.push(reference[row : row + rows], prediction[row : row + rows])
    return counter.result()


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    rows=st.integers(1, 17),
    cells=st.integers(1, 12),
    left_out=st.sampled_from([(), (0,), (1, 2)]),
)
def test_cells_hold_the_right_and_the_wrong_pixels_of_their_square(shape, rows, cells, left_out):
    reference, prediction = draw(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELLS", cells)
        found = count(reference, prediction, rows=rows, left_out=left_out)
    assert max(found.right.shape) <= cells
    counted = (reference != UNKNOWN) & (prediction != UNKNOWN)
    for index in left_out:
        counted &= reference != index
    side = found.side
    for row, col in np.ndindex(found.right.shape):
        square = np.s_[row * side : (row + 1) * side, col * side : (col + 1) * side]
        equal = (reference == prediction)[square]
        assert found.right[row, col] == (equal & counted[square]).sum()
        assert found.wrong[row, col] == (~equal & counted[square]).sum()


def test_all_wrong_pixels_are_those_beside_the_diagonal():
    reference, prediction = draw((50, 33))
    found = count(reference, prediction)
    matrix = np.zeros((3, 3), int)
    for one, other in zip(reference.ravel(), prediction.ravel(), strict=True):
        if UNKNOWN not in (one, other):
            matrix[one, other] += 1
    assert found.right.sum() == np.trace(matrix)
    assert found.wrong.sum() == matrix.sum() - np.trace(matrix)


@pytest.mark.parametrize("legend", [WITH_GROUND, ALL_ALIKE])
def test_windows_hold_the_pixels_within_them(legend):
    reference, prediction = draw((23, 31))
    found = count(reference, prediction, window=8, legend=legend).windows
    assert (found.rows, found.height, found.width) == ((0, 8, 15), 8, 8)
    assert found.cols == (0, 8, 16, 23)
    for i, row in enumerate(found.rows):
        for j, col in enumerate(found.cols):
            ours, theirs = (a[row : row + 8, col : col + 8] for a in (reference, prediction))
            counted = (ours != UNKNOWN) & (theirs != UNKNOWN)
            busy = counted & ((ours != 0) | (theirs != 0)) if legend is WITH_GROUND else counted
            assert found.counted[i, j] == counted.sum()
            assert found.wrong[i, j] == (counted & (ours != theirs)).sum()
            assert found.busy[i, j] == busy.sum()


def test_a_high_map_needs_no_more_cells_than_a_low_one():
    counter = ErrorCounter(grid_of((3_000_000, 4)), WITH_GROUND, (), 256)
    assert counter.result().right.shape == (1000, 1)


@pytest.mark.parametrize(
    ("shapes", "side"), [([(10, 10)], 64), ([(1000, 1000)], 144), ([(9000, 9000)], 256)]
)
def test_windows_suit_the_size_of_the_scenes(shapes, side):
    assert window_side(shapes) == side
