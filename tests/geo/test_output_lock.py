"""One process at a time has an output; whoever comes second is told about the first."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geoseg.errors import OutputError, WorkError
from geoseg.geo import lasting, output_lock, temporary
from geoseg.geo.lock_owner import Owner
from geoseg.geo.output_lock import lock_path, only_writer, writing, writing_folder
from geoseg.geo.outputs import publish, publish_folder

HOLD = """
import sys, time
from geoseg.geo.output_lock import writing
with writing(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the lock of `tmp_path / "out.tif"`."""
    words = [sys.executable, "-W", "ignore", "-c", HOLD, str(tmp_path / "out.tif")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("writer", [writing, publish, only_writer, publish_folder, writing_folder])
def test_the_second_is_told_who_the_first_is(tmp_path, holder, writer):
    told = rf"out.tif: is being written by process {holder.pid} since (\d+-\d+-\d+ \d+:\d+:\d+) UTC"
    with pytest.raises(OutputError, match=told), writer(tmp_path / "out.tif"):
        pytest.fail("two have it")
    with publish(tmp_path / "other.tif") as made:
        made.write_text("others are not hindered")
    assert "other.tif" in names(tmp_path)


def test_names_of_one_output_are_one(tmp_path, holder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("out.tif", "./out.tif", "link/out.tif", f"link/../{tmp_path.name}/out.tif"):
        with pytest.raises(OutputError), writing(name):
            pass


def test_a_lock_ends_with_its_process(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert names(tmp_path) == [lock_path(tmp_path / "out.tif").name]
    with publish(tmp_path / "out.tif") as made:
        made.write_text("mine")
    assert names(tmp_path) == ["out.tif"]


def test_locks_of_the_dead_are_swept(tmp_path, holder):
    holder.kill()
    holder.wait()
    with writing(tmp_path / "other.tif"):
        assert names(tmp_path) == [lock_path(tmp_path / "other.tif").name]
    assert names(tmp_path) == []


def test_blocks_of_one_process_share_it(tmp_path):
    path = tmp_path / "out.tif"
    with writing(path):
        with publish(path) as made:
            made.write_text("x")
        assert lock_path(path).exists()
    assert names(tmp_path) == ["out.tif"]
    told = f"process {os.getpid()} since"
    with only_writer(path), pytest.raises(OutputError, match=told), only_writer(path):
        pass
    assert names(tmp_path) == ["out.tif"]


def test_a_process_forked_off_does_not_keep_it(tmp_path):
    """As a worker that outlives a training that was killed."""
    code = (
        "import os, signal, sys, time\n"
        "from geoseg.geo.output_lock import writing\n"
        "with writing(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(30)\n"
        "        os._exit(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "out.tif")]
    process = subprocess.Popen(words, start_new_session=True)
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.2)
    try:
        with writing(tmp_path / "out.tif"):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def without_locks(monkeypatch):
    """As on a file system that knows none."""

    def unknown(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unknown)


def write_owner(path, **changes):
    owner = {**vars_of(Owner.this()), **changes}
    lock_path(path).write_text(json.dumps(owner))


def vars_of(owner):
    return json.loads(owner.encode())


def test_without_locks_the_named_process_is_asked_for(tmp_path, without_locks):
    path = tmp_path / "out.tif"
    write_owner(path, pid=1, ticks=Owner.this().ticks + 1)  # runs, but is another one by now
    with writing(path):
        pass
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ticks = int(Path(f"/proc/{alive.pid}/stat").read_text().rpartition(")")[2].split()[19])
    write_owner(path, pid=alive.pid, ticks=ticks)
    with pytest.raises(OutputError, match=f"process {alive.pid} since"), writing(path):
        pass
    alive.communicate(b"\n")
    with writing(path):  # its process has gone
        pass
    write_owner(path, machine="00000000", node="far")
    with pytest.raises(OutputError, match="on far since"), writing(path):
        pass
    write_owner(path, machine="00000000", began=time.time() - temporary.STALE_SECONDS - 1)
    with writing(path):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": "x"}', "\0" * 5000, '{"pid": 1e999}'])
def test_what_stands_in_the_file_may_be_anything(tmp_path, text, without_locks):
    lock_path(tmp_path / "out.tif").write_text(text)
    with writing(tmp_path / "out.tif"):
        pass
    assert names(tmp_path) == []


def test_a_disk_without_room_for_the_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lasting.os, "open", full)
    told = r"could not be written \(no space"
    with pytest.raises(WorkError, match=told), writing(tmp_path / "out.tif"):
        pass


def test_folders_around_are_removed_again(tmp_path):
    with pytest.raises(ZeroDivisionError), writing_folder(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert names(tmp_path) == []
    with writing_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b").mkdir()
    assert names(tmp_path) == ["a"]


def test_all_that_is_unfinished_can_be_removed_at_once(tmp_path):
    (tmp_path / "old.txt").write_text("old")

    def begin_and_abandon():
        with publish(tmp_path / "old.txt") as one, publish_folder(tmp_path / "folder") as two:
            one.write_text("half")
            (two / "a").write_text("half")
            output_lock.abandon()
            assert names(tmp_path) == ["old.txt"]

    with pytest.raises(WorkError):
        begin_and_abandon()
    assert (tmp_path / "old.txt").read_text() == "old"
    assert names(tmp_path) == ["old.txt"]


def test_a_signal_as_a_lock_is_taken_leaves_none(tmp_path, monkeypatch):
    def stop(_):
        raise SystemExit(143)

    monkeypatch.setattr(output_lock, "_sweep", stop)  # the last before the lock is noted
    try:
        with writing(tmp_path / "a.tif"):
            pytest.fail("it was to be stopped before")
    except SystemExit:  # what it has gone through still holds the file open
        output_lock.abandon()
        assert list(tmp_path.iterdir()) == []
