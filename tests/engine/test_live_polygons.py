"""The thread that makes polygons ends, whatever happens to the one that predicts."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from geoseg.engine.live_polygons import LivePolygons
from geoseg.engine.live_rows import LiveRows

CLASSES, CONFIDENCES = np.zeros((2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8)


@contextmanager
def making(rows, told):
    try:
        for top, _ in rows.blocks():
            told.append(top)
        yield
        told.append("named")
    finally:
        told.append("ended")


def names():
    return {thread.name for thread in threading.enumerate()}


def test_polygons_are_named_when_the_block_ends_well():
    rows, told = LiveRows((4, 3), np.dtype("uint8")), []
    with LivePolygons(rows, making(rows, told)) as live:
        for _ in range(2):
            live.put(CLASSES, CONFIDENCES)
        live.finish()
        assert told == [0, 2]
    assert told == [0, 2, "named", "ended"]


def test_an_error_of_the_block_ends_the_thread():
    rows, told = LiveRows((4, 3), np.dtype("uint8")), []

    def fail_halfway():
        with LivePolygons(rows, making(rows, told)) as live:
            live.put(CLASSES, CONFIDENCES)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert told[-1] == "ended" and "named" not in told
    assert "geoseg-polygons" not in names()


def test_an_interrupt_while_the_thread_starts_ends_it(monkeypatch):
    rows, told = LiveRows((4, 3), np.dtype("uint8")), []

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "wait_for_taker", interrupt)
    with pytest.raises(KeyboardInterrupt), LivePolygons(rows, making(rows, told)):
        pytest.fail("it was interrupted")
    assert told == ["ended"]
    assert "geoseg-polygons" not in names()
