import json
import mmap
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from geoseg.engine import timings as module
from geoseg.engine.timings import Run, Stage, Timings, current_memory, peak_memory

MIB = 1 << 20
RUN = Run(
    scene="a.tif", runtime="torch fp32", windows=40, skipped=2, pixels=3_000_000,
    window_seconds=0.2, devices=1,
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only when it is told to: `clock(2)`."""
    now = [100.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


def spend(timings, clock, *parts):
    for stage, seconds in parts:
        with timings.measure(stage):
            clock(seconds)


def test_stages_add_up(clock):
    timings = Timings()
    spend(timings, clock, ("forward", 2), ("add", 1), ("forward", 3))
    assert timings.seconds == {
        "total": 6, "setup": 0, "wait for rows": 0, "cut": 0, "forward": 5, "add": 1, "encode": 0,
        "wait for writer": 0, "finish": 0, "read": 0, "write": 0, "wait for device": 0,
        "wait for polygons": 0,
    }  # fmt: skip


def test_total_goes_from_the_first_block_to_the_last_without_setup(clock):
    timings = Timings()
    clock(5)
    spend(timings, clock, ("setup", 7))
    clock(11)
    spend(timings, clock, ("wait for rows", 1))
    clock(4)  # between blocks is work as well
    spend(timings, clock, ("finish", 2))
    clock(3)
    assert timings.total == 1 + 4 + 2
    assert timings.seconds["setup"] == 7


def test_time_added_counts_for_its_stage_alone(clock):
    timings = Timings()
    timings.add("read", 1.5)
    timings.add("read", 2)
    assert timings.seconds["read"] == 3.5
    assert timings.total == 0


def test_an_inner_block_counts_for_its_own_stage_only(clock):
    timings = Timings(keep_spans=9)
    with timings.measure("cut"):
        clock(1)
        with timings.measure("wait for rows"):
            clock(10)
            with timings.measure("add"):
                clock(100)
        clock(1000)
        with timings.measure("wait for rows"):
            clock(10_000)
    seconds = timings.seconds
    assert (seconds["cut"], seconds["wait for rows"], seconds["add"]) == (1001, 10_010, 100)
    assert timings.total == 11_111
    assert [(s.stage, s.start, s.stop) for s in timings.spans] == [
        ("add", 11, 111), ("wait for rows", 1, 111), ("wait for rows", 1111, 11_111),
        ("cut", 0, 11_111),
    ]  # fmt: skip


def test_a_block_that_fails_counts(clock):
    timings = Timings()
    with pytest.raises(TypeError, match="str"), timings.measure("cut"):
        spend(timings, clock, ("add", 3), ("encode", "long"))
    with timings.measure("cut"):
        clock(2)
    assert timings.seconds["add"] == 3
    assert timings.seconds["cut"] == 2


def test_the_first_spans_are_kept(clock):
    timings = Timings(keep_spans=2)
    spend(timings, clock, ("read", 1), ("cut", 2), ("add", 4))
    name = threading.current_thread().name
    assert timings.spans == [("read", name, 0, 1), ("cut", name, 1, 3)]
    assert Timings().spans == []


@pytest.mark.parametrize(
    ("parts", "bound"),
    [
        ({"forward": 5, "wait for rows": 4, "cut": 1, "add": 2, "encode": 1.9}, "network"),
        ({"forward": 5, "wait for rows": 5.1}, "reading"),
        ({"forward": 5, "cut": 2, "add": 2, "encode": 1.1}, "stitching"),
        ({"forward": 5, "wait for writer": 3, "finish": 2.1}, "writing"),
        ({"forward": 1, "wait for writer": 9, "wait for device": 6, "write": 4}, "network"),  # GPU
        ({"forward": 1, "wait for writer": 9, "wait for device": 2, "write": 8}, "writing"),
        ({"forward": 1, "wait for rows": 3, "wait for device": 8, "read": 9}, "reading"),
        ({"forward": 5, "setup": 60, "read": 20, "write": 30}, "network"),  # beside or before it
    ],
)
def test_the_main_threads_own_time_tells_what_bound_a_run(parts, bound):
    timings = Timings()
    for stage, seconds in parts.items():
        timings.add(stage, seconds)
    assert timings.bound_by == bound


def test_threads_lose_no_block_and_do_not_nest_in_each_other():
    timings = Timings(keep_spans=10**6)
    stages = get_args(Stage)[:8]
    barrier = threading.Barrier(len(stages))

    def work(stage):
        barrier.wait()
        for _ in range(2000):
            with timings.measure(stage):
                timings.add("read", 1)

    threads = [threading.Thread(target=work, args=(s,), name=f"at {s}") for s in stages]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads are torn from each other wherever they are
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert timings.seconds["read"] == 2000 * len(stages)
    spans = timings.spans
    assert len(spans) == 2000 * len(stages)
    for stage in stages:
        own = [span for span in spans if span.stage == stage]
        assert {span.thread for span in own} == {f"at {stage}"}
        assert len(own) == 2000
        assert timings.seconds[stage] == pytest.approx(sum(s.stop - s.start for s in own))


def test_real_time_is_measured():
    timings = Timings()
    start = time.perf_counter()
    with timings.measure("forward"):
        time.sleep(0.02)
    assert 0.02 <= timings.seconds["forward"] <= time.perf_counter() - start


def test_a_report_is_made_of_formulas(clock):
    timings = Timings()
    spend(timings, clock, ("setup", 20), ("wait for rows", 1), ("forward", 8.5), ("finish", 0.5))
    report = timings.report(RUN)
    assert json.loads(json.dumps(report)) == report
    assert report["seconds"]["total"] == 10
    assert (report["windows"], report["skipped"], report["megapixels"]) == (40, 2, 3)
    assert report["megapixels_per_second"] == 0.3
    assert report["windows_per_second"] == 4
    assert report["bound_by"] == "network"
    assert report["bare_forward"] == {"seconds_per_window": 0.2, "ratio": 0.8}
    assert list(report) == [
        "scene", "runtime", "windows", "skipped", "megapixels", "seconds", "megapixels_per_second",
        "windows_per_second", "bound_by", "bare_forward", "peak_memory_mib", "peak_gpu_memory_mib",
    ]  # fmt: skip


def test_devices_share_the_bare_forward_pass(clock):
    timings = Timings()
    spend(timings, clock, ("forward", 5))
    bare = timings.report(replace(RUN, devices=2))["bare_forward"]
    assert bare == {"seconds_per_window": 0.2, "ratio": 0.8}


def test_a_forward_pass_that_was_not_measured_is_null(clock):
    timings = Timings()
    spend(timings, clock, ("forward", 5))
    assert timings.report(replace(RUN, window_seconds=None))["bare_forward"] is None


def test_a_run_without_work_has_no_speed():
    report = Timings().report(RUN)
    assert report["megapixels_per_second"] is report["windows_per_second"] is None
    assert report["bare_forward"]["ratio"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="only there the memory of now is known")
def test_peak_memory_grows_by_what_is_touched_and_stays():
    before = peak_memory()
    held = np.ones((before - current_memory() + 64 * MIB) // 8)
    assert before + 48 * MIB < peak_memory() < before + 80 * MIB
    del held
    assert peak_memory() > before + 48 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="tells what Linux does")
def test_memory_of_now_shrinks():
    held = mmap.mmap(-1, 256 * MIB)  # which no allocator keeps
    held.write(b"1" * (256 * MIB))
    with_it = current_memory()
    held.close()
    assert 200 * MIB < with_it - current_memory() < 300 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="getrusage counts so on Linux")
def test_peak_memory_is_not_that_of_the_program_that_started_this_one():
    held = np.ones(400 * MIB // 8)
    code = "from geoseg.engine.timings import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert held[-1] == 1
    assert int(done.stdout) < current_memory() - 200 * MIB


class _Missing:
    def __init__(self, name):
        self.name = name

    def read_text(self, **_):
        raise FileNotFoundError(self.name)


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("freebsd14", 1024)])
def test_peak_memory_elsewhere_is_that_of_getrusage(monkeypatch, platform, unit):
    usage = resource.getrusage(resource.RUSAGE_SELF)
    monkeypatch.setattr(resource, "getrusage", lambda _: usage)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(module, "Path", _Missing)
    assert peak_memory() == current_memory() == usage.ru_maxrss * unit
