"""Time that goes by waiting, against clocks that are told."""

import logging
from types import SimpleNamespace

import pytest
import torch

from geoseg.nn import throughput
from geoseg.nn.config import parse_config
from geoseg.nn.throughput import Throughput

CONFIG = parse_config({"data": {"tiles": ["t"], "cache_mb": 64}, "train": {"workers": 3}})
BATCH = {"image": torch.zeros(4, 1, 2, 2)}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throughput.time, "perf_counter", clock)
    return clock


def run_epoch(callback, clock, waits, step=1.0, *, device="cpu", world=1, rank=0):
    trainer = SimpleNamespace(world_size=world, is_global_zero=rank == 0)
    module = SimpleNamespace(device=torch.device(device))
    callback.on_train_epoch_start(trainer, module)
    for index, wait in enumerate(waits):
        clock.now += wait
        callback.on_train_batch_start(trainer, module, BATCH, index)
        clock.now += step
        callback.on_train_batch_end(trainer, module, None, BATCH, index)
    clock.now += 1000  # validation
    callback.on_validation_end(trainer, module)
    callback.on_train_epoch_end(trainer, module)


def test_shares_and_samples(clock):
    callback = Throughput(CONFIG, cached=False)
    assert callback.row() == {}
    run_epoch(callback, clock, [2.0, 0.5, 0.5, 1.0], step=2.0, world=2)
    # 4 s of waiting and 8 s of steps; 4 batches of 4 samples in each of 2 processes.
    assert callback.row() == {
        "time/data": 0.3333, "time/step": 0.6667, "samples_per_second": round(32 / 12, 2),
    }  # fmt: skip
    run_epoch(callback, clock, [0.0, 0.0])
    assert callback.row() == {"time/data": 0, "time/step": 1, "samples_per_second": 4}


def test_a_validation_amid_an_epoch_is_no_waiting(clock):
    callback = Throughput(CONFIG, cached=False)
    trainer = SimpleNamespace(world_size=1, is_global_zero=True)
    module = SimpleNamespace(device=torch.device("cpu"))
    callback.on_train_epoch_start(trainer, module)
    for index in range(2):
        callback.on_train_batch_start(trainer, module, BATCH, index)
        clock.now += 1
        callback.on_train_batch_end(trainer, module, None, BATCH, index)
        clock.now += 50
        callback.on_validation_end(trainer, module)
    assert callback.row()["time/data"] == 0


def test_much_waiting_is_told_once_with_what_to_raise(clock, caplog):
    callback = Throughput(CONFIG, cached=False)
    with caplog.at_level(logging.WARNING):
        run_epoch(callback, clock, [30.0] + [0.1] * 20)  # workers start: nothing is told
        run_epoch(callback, clock, [0.0] + [1.0] * 5)  # too few steps to tell
        assert not caplog.messages
        run_epoch(callback, clock, [0.0] + [1.0] * 20)
        run_epoch(callback, clock, [0.0] + [1.0] * 20)
    (message,) = caplog.messages
    assert message.startswith("49 % of the time in training went by waiting for samples: raise")
    assert "train.workers (it is 3)" in message
    assert "data.cache_mb (it is 64)" in message


def test_other_processes_are_silent(clock, caplog):
    run_epoch(Throughput(CONFIG, cached=False), clock, [1.0] * 20, rank=1)
    assert not caplog.messages


def test_no_advice_is_given_where_the_processor_makes_the_samples_itself(clock, caplog):
    run_epoch(Throughput(CONFIG, cached=True), clock, [1.0] * 20)
    assert not caplog.messages


class Work:
    """Stands for an event of CUDA: the third and later steps are done when asked."""

    made = 0

    def __init__(self):
        Work.made += 1
        self.number = Work.made

    def record(self):
        pass

    def query(self):
        return self.number > 2


def test_a_gpu_that_is_still_at_work_does_not_wait(clock, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "Event", Work)
    monkeypatch.setattr(Work, "made", 0)
    callback = Throughput(CONFIG, cached=True)
    run_epoch(callback, clock, [1.0] * 12, device="cuda")
    # Of twelve waits of 1 s the second and third found the GPU at work.
    assert callback.row()["time/data"] == round(10 / 24, 4)
    assert "set data.cache_mb = 0" in caplog.text
