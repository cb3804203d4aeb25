"""How scenes are cut into chunks, counted window by window."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.engine.cluster_chunks import CHUNK_BYTES, Cutting, chunk_rows, cut_chunks
from geoseg.geo.windows import offsets

BLOCK = 512


def cutting(window=512, stride=256, workers=2, bytes_per_pixel=1):
    return Cutting(
        window=window, stride=stride, bytes_per_pixel=bytes_per_pixel, block=BLOCK, workers=workers
    )


def count(spans, length, window, stride):
    """Windows that touch each span, one by one."""
    starts = offsets(length, window, stride)
    return sum(o < stop and o + window > start for start, stop in spans for o in starts)


@given(
    shape=st.tuples(st.integers(1, 6000), st.integers(1, 6000)),
    window=st.integers(16, 700),
    share=st.floats(0.3, 1),
    workers=st.integers(1, 20),
    bytes_per_pixel=st.sampled_from([1, 3, 40]),
)
def test_chunks_are_the_scene_and_told_as_they_are(shape, window, share, workers, bytes_per_pixel):
    stride = max(int(window * share), 1)
    chunks = cut_chunks(shape, cutting(window, stride, workers, bytes_per_pixel))
    for length, spans in zip(shape, (chunks.rows, chunks.cols), strict=True):
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(one[1] == two[0] and two[0] % BLOCK == 0 for one, two in pairwise(spans))
    sides = zip((chunks.rows, chunks.cols), shape, strict=True)
    rows, cols = (count(spans, length, window, stride) for spans, length in sides)
    assert chunks.windows == rows * cols
    whole = [len(offsets(length, window, stride)) for length in shape]
    assert chunks.overhead == pytest.approx(rows * cols / (whole[0] * whole[1]) - 1)


@pytest.mark.parametrize(("side", "least_bytes"), [(20_000, 1), (100_000, 5)])
def test_results_are_bounded(side, least_bytes):
    chunks = cut_chunks((side, side), cutting(bytes_per_pixel=least_bytes))
    for top, bottom in chunks.rows:
        for left, right in chunks.cols:
            assert (bottom - top) * (right - left) * least_bytes <= CHUNK_BYTES


def test_many_bytes_a_pixel_still_give_chunks():
    chunks = cut_chunks((2000, 3000), cutting(bytes_per_pixel=1000))
    assert len(chunks.rows) == len(chunks.cols) * 4 / 6 == 4


def test_two_workers_cut_a_middling_scene_in_two():
    """15 rows of windows of which one is predicted twice; more chunks would be more work."""
    chunks = cut_chunks((4096, 4096), cutting())
    assert (len(chunks.rows), len(chunks.cols)) == (2, 1)
    assert chunks.overhead == pytest.approx(1 / 15)


def test_windows_without_overlap_cost_nothing_to_cut():
    assert cut_chunks((8192, 8192), cutting(stride=512)).overhead == 0


def test_a_large_scene_has_many_chunks_for_each_worker():
    chunks = cut_chunks((100_000, 100_000), cutting(workers=8))
    assert chunks.count > 20 * 8
    assert chunks.overhead < 0.1


def test_the_columns_may_be_given():
    whole = cut_chunks((50_000, 4096), cutting(), cols=1)
    assert whole.cols == ((0, 4096),)
    assert chunk_rows((50_000, 4096), cutting(), cols=1) == max(b - a for a, b in whole.rows)
