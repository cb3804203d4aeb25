"""Where time goes, against a clock that stands still unless told."""

import pytest

from geoseg.nn import stopwatch
from geoseg.nn.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_seconds_add_up_also_after_errors(clock):
    watch = Stopwatch()
    with watch.measure("drawing"):
        clock.now += 2

    def fail():
        with watch.measure("drawing"):
            clock.now += 3
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    clock.now += 10
    assert watch.seconds == {"drawing": 5}
    assert watch.elapsed == 15


def test_side_work_never_takes_more_than_its_share(clock):
    watch, spent = Stopwatch(), 0.0
    for _ in range(500):
        clock.now += 1
        if watch.allows("drawing", 0.05):
            with watch.measure("drawing"):
                clock.now += 2
            spent += 2
            if spent > 2:  # nobody knew how long the first takes
                assert spent <= 0.05 * watch.elapsed
    assert 0.04 * watch.elapsed < spent


def test_the_first_time_waits_until_it_is_small_beside_the_rest(clock):
    watch = Stopwatch()
    clock.now += 19
    assert not watch.allows("drawing", 0.05)
    clock.now += 1
    assert watch.allows("drawing", 0.05)
