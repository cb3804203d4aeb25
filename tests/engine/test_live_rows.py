"""Rows that are handed from thread to thread: all of them, in order, and never many at once."""

import threading

import numpy as np
import pytest

from geoseg.engine.confidence import NODATA
from geoseg.engine.live_rows import HELD, Abandoned, LiveRows


def pieces(heights, width=3):
    """Class values and confidences that tell their row."""
    top = 0
    for height in heights:
        rows = np.repeat(np.arange(top, top + height)[:, None], width, axis=1)
        yield (rows % 200).astype(np.uint8), (rows % 101).astype(np.uint8)[None]
        top += height


def fed(rows, heights):
    def feed():
        for classes, confidences in pieces(heights):
            rows.put(classes, confidences)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("heights", [(1000,), (1, 127, 128, 129, 300, 315)])
def test_all_rows_come_in_order_with_their_confidences(heights):
    rows = LiveRows((1000, 3), np.dtype("uint8"))
    thread = fed(rows, heights)
    taken = [(top, values, rows.fields(top, values)) for top, values in rows.blocks()]
    thread.join()
    assert [top for top, *_ in taken] == list(
        np.cumsum([0, *(len(values) for _, values, _ in taken)])[:-1]
    )
    together = np.concatenate([values for _, values, _ in taken])
    (shares,) = np.concatenate([field for *_, field in taken], axis=1)
    np.testing.assert_array_equal(together[:, 0], np.arange(1000) % 200)
    np.testing.assert_allclose(shares[:, 1], np.arange(1000) % 101 * 0.005, rtol=1e-6)


def test_no_confidence_is_no_number_and_the_second_class_gives_a_margin():
    rows = LiveRows((1, 3), np.dtype("uint8"))
    given = np.array([[[180, 160, NODATA]], [[20, 40, NODATA]]], np.uint8)
    rows.put(np.array([[0, 1, 255]], np.uint8), given)
    ((top, values),) = rows.blocks()
    wanted = [[[0.9, 0.8, np.nan]], [[0.8, 0.6, np.nan]]]
    np.testing.assert_allclose(rows.fields(top, values), wanted, rtol=1e-6)


def test_few_pieces_are_in_memory():
    rows = LiveRows((1000, 3), np.dtype("uint8"))
    made = []

    def feed():
        for classes, confidences in pieces([10] * 100):
            made.append(len(classes))
            rows.put(classes, confidences)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    for top, _ in rows.blocks():
        # This one, those that wait, and the one that is being put.
        assert len(made) <= top // 10 + HELD
    thread.join()


def test_who_waits_for_rows_is_told_that_none_will_come():
    rows = LiveRows((1000, 3), np.dtype("uint8"))
    rows.put(*next(pieces([10])))
    blocks = rows.blocks()
    next(blocks)
    rows.give_up()
    with pytest.raises(Abandoned):
        next(blocks)


def test_nobody_waits_for_one_who_has_left():
    rows = LiveRows((1000, 3), np.dtype("uint8"))
    thread = fed(rows, [10] * 100)
    next(rows.blocks())
    rows.leave()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert not rows.put(*next(pieces([10])))
    rows.wait_for_taker()
