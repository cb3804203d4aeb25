import os
import signal

import pytest

from geoseg.nn.signals import Signals, TrainingStopped


@pytest.fixture
def listening():
    started = []

    def start(**options):
        signals = Signals(**options)
        signals.on_train_start(None, None)
        started.append(signals)
        return signals

    yield start
    for signals in started:
        signals.on_exception()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_kept_for_the_end_of_the_batch(listening, number):
    signals = listening()
    assert signals.received == 0
    os.kill(os.getpid(), number)
    assert signals.received == number


def test_the_second_signal_ends_at_once(listening):
    listening()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(TrainingStopped) as caught:
        os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.signal_number == signal.SIGINT


def test_one_of_several_processes_takes_a_second_signal_for_the_first(listening):
    signals = listening(patient=True)
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == signal.SIGINT


def test_the_handlers_before_are_given_back():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    signals = Signals()
    signals.on_train_start(None, None)
    signals.teardown(None, None, "fit")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
