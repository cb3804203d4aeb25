import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.errors import ConfigError
from geoseg.geo.window_sums import WindowSums


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    size=st.integers(1, 12),
    stride=st.integers(1, 12),
    rows=st.integers(1, 9),
    split=st.integers(1, 30),
)
def test_sums_are_those_of_each_window_however_the_rows_come(shape, size, stride, rows, split):
    stride = min(stride, size)
    layers = np.random.default_rng(0).random((2, *shape))
    sums = WindowSums(shape, size, stride, 2)
    for row in range(0, shape[0], rows):
        for left, right in ((0, split), (split, shape[1])):
            part = layers[:, row : row + rows, left:right]
            if part.size:
                sums.add(row, left, list(part))
    for i, row in enumerate(sums.rows):
        for j, col in enumerate(sums.cols):
            window = layers[:, row : row + size, col : col + size]
            np.testing.assert_allclose(sums.sums[:, i, j], window.sum((1, 2)), atol=1e-9)


def test_booleans_are_counted():
    sums = WindowSums((4, 4), 4, 4, 1)
    sums.add(0, 0, [np.eye(4, dtype=bool)])
    assert sums.sums.item() == 4


def test_windows_without_a_size_are_refused():
    with pytest.raises(ConfigError):
        WindowSums((4, 4), 0, 1, 1)
