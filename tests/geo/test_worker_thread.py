"""Threads are waited for until they have ended, also after a signal."""

import signal
import threading
import time

import pytest

from geoseg.geo.worker_thread import WorkerThread


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="nothing can signal in time")
def test_an_interrupted_wait_can_be_taken_up_again():
    may_end, ended = threading.Event(), []

    def work():
        may_end.wait()
        time.sleep(0.2)
        ended.append(True)

    thread = WorkerThread(work, "worker")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        thread.start()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            thread.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    may_end.set()
    thread.join()
    assert ended == [True]


def test_one_that_was_not_started_is_not_waited_for():
    WorkerThread(lambda: None, "worker").join()


def test_it_is_waited_for_no_longer_than_is_said():
    may_end = threading.Event()
    thread = WorkerThread(lambda: may_end.wait(60), "worker")
    thread.start()
    thread.join(0.01)
    assert thread.is_alive()
    may_end.set()
    thread.join()


def test_one_that_fails_has_ended(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def fail():
        raise ValueError

    thread = WorkerThread(fail, "worker")
    thread.start()
    thread.join()
