"""A journal tells what was finished, or nothing: never what was not."""

import json
import os
import signal
import subprocess
import sys
import zlib

import pytest
from rasterio.windows import Window

from geoseg.engine.journal import Journal, Mark, journal_path
from geoseg.errors import OutputError, WorkError

IDENTITY = {"scene": "é.tif", "window": [512, 512], "weights": 0.1, "aoi": None}
CHECKPOINTS = [
    ([Mark(region=0, row=512, state={"skipped": 3})], [[(Window(0, 0, 99, 512), 7)], []]),
    (
        [Mark(region=1, row=10), Mark(region=0, row=700)],
        [
            [(Window(0, 512, 99, 188), 2**32 - 1)],
            [(Window(5, 6, 7, 8), 0), (Window(0, 0, 1, 1), 9)],
        ],
    ),
    ([], [[], []]),
]


@pytest.fixture
def path(tmp_path):
    return journal_path(tmp_path / "classes.tif")


def written(path, checkpoints=CHECKPOINTS):
    """The journal's bytes after each step."""
    steps = []
    with Journal.start(path, IDENTITY) as journal:
        steps.append(path.read_bytes())
        for marks, rasters in checkpoints:
            journal.add(marks, rasters)
            steps.append(path.read_bytes())
    return steps


def expected(count):
    """Marks and windows after some checkpoints."""
    marks = {mark.region: mark for each, _ in CHECKPOINTS[:count] for mark in each}
    steps = [rasters for _, rasters in CHECKPOINTS[:count]]
    windows = [[window for step in steps for window in step[raster]] for raster in (0, 1)]
    return marks, windows if count else []


def read(path, **options):
    journal = Journal.read(path, **options)
    if journal is None:
        return None
    with journal:
        return journal.marks, journal.written


def line(content):
    text = json.dumps(content, separators=(",", ":"))
    return f"[{zlib.crc32(text.encode())},{text}]\n".encode()


def test_what_was_added_is_read(path):
    steps = written(path)
    assert read(path) == expected(3)
    for count, content in enumerate(steps):
        path.write_bytes(content)
        assert read(path) == expected(count)
        journal = Journal.read(path)
        assert journal.matches(IDENTITY) and journal.matches({**IDENTITY, "window": (512, 512)})
        assert not journal.matches({**IDENTITY, "weights": 0.2})
        assert journal.identity == IDENTITY
        journal.close()


def test_the_open_journal_knows_what_it_wrote(path):
    with Journal.start(path, IDENTITY) as journal:
        assert (journal.marks, journal.written) == ({}, [])
        for count, (marks, rasters) in enumerate(CHECKPOINTS, start=1):
            journal.add(marks, rasters)
            assert (journal.marks, journal.written) == expected(count)
        with pytest.raises(ValueError, match="1 rasters given, 2 before"):
            journal.add([], [[]])
    assert read(path) == expected(3)


def test_cut_anywhere(path):
    """Every line that is whole counts, and one can go on after any cut."""
    steps = written(path)
    for size in range(len(steps[-1])):
        path.write_bytes(steps[-1][:size])
        whole = sum(len(step) <= size for step in steps) - 1
        if whole < 0:
            assert read(path) is None
            continue
        with Journal.read(path) as journal:
            assert (journal.marks, journal.written) == expected(whole)
            for marks, rasters in CHECKPOINTS[whole:]:
                journal.add(marks, rasters)
        assert path.read_bytes() == steps[-1]


@pytest.mark.parametrize(
    "garbage", [b"\0" * 99, b"nothing\n", b"5\n", b"[1,{}]\n", b"\xff\xfe\n", b"\n", b"[" * 9999]
)
def test_garbage(path, garbage):
    steps = written(path)
    path.write_bytes(steps[1] + garbage)
    with Journal.read(path) as journal:
        assert (journal.marks, journal.written) == expected(1)
        journal.add(*CHECKPOINTS[1])
    assert path.read_bytes() == steps[2]
    if b"\n" in garbage:
        path.write_bytes(steps[1] + garbage + steps[2][len(steps[1]) :])
        assert read(path) is None
    path.write_bytes(garbage)
    assert read(path) is None


def test_every_flipped_bit_is_found(path):
    steps = written(path, CHECKPOINTS[:2])
    for place in range(len(steps[-1])):
        damaged = bytearray(steps[-1])
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        # In the last line, it is as if that had never been written.
        found = read(path)
        if place < len(steps[1]) - 1:
            assert found is None
        elif place >= len(steps[1]):
            assert found == expected(1)


HEAD = {"format": "geoseg journal", "version": 1, "identity": {}}
MARKS = {"marks": [[0, 1, {}]], "written": [[[0, 0, 9, 9, 5]]]}


@pytest.mark.parametrize(
    "content",
    [
        {"marks": [[0, -1, {}]]},
        {"marks": [[-1, 1, {}]]},
        {"marks": [[0, 101, {}]]},
        {"marks": [[0, 1.0, {}]]},
        {"marks": [[0, True, {}]]},
        {"marks": [[0, "1", {}]]},
        {"marks": [[0, 1, []]]},
        {"marks": [[0, 1]]},
        {"marks": None},
        {"marks": 7},
        {"written": [[[0, 0, 201, 1, 0]]]},
        {"written": [[[1, 0, 200, 1, 0]]]},
        {"written": [[[0, 100, 1, 1, 0]]]},
        {"written": [[[-1, 0, 1, 1, 0]]]},
        {"written": [[[0, 0, 1, 1, -1]]]},
        {"written": [[[0, 0, 1, 1, 2**32]]]},
        {"written": [[[0, 0, 1, 1]]]},
        {"written": [[[0, 0, 1, 1.5, 0]]]},
        {"written": [[], []]},
        {"written": [5]},
        {"written": {"a": 1}},
    ],
)
def test_what_makes_no_sense_is_no_journal(path, content):
    """Whole lines with right checksums, as another program may write."""
    path.write_bytes(line(HEAD) + line(MARKS) + line({**MARKS, **content}))
    assert read(path, shape=(100, 200)) is None
    path.write_bytes(line(HEAD) + line(MARKS) + line(MARKS))
    assert read(path, shape=(100, 200)) is not None


@pytest.mark.parametrize(
    "head",
    [{}, {**HEAD, "version": 2}, {**HEAD, "format": "other"}, {**HEAD, "identity": 5}, MARKS],
)
def test_another_format_is_no_journal(path, head):
    path.write_bytes(line(head) + line(MARKS))
    assert read(path) is None


def test_names(tmp_path):
    names = ["a.tif", "b.tif", "a.TIF", "é.tif", "x" * 251 + ".tif"]
    paths = [journal_path(tmp_path / name) for name in names]
    assert len(set(paths)) == len(names)
    assert {len(path.name) for path in paths} == {len(paths[0].name)}
    assert all(path.parent == tmp_path and path.name.startswith(".geoseg-") for path in paths)


def test_it_is_there_until_removed(path):
    assert Journal.read(path) is None
    assert not path.exists()
    with Journal.start(path, IDENTITY):
        pass
    with Journal.read(path) as journal:
        journal.remove()
    assert list(path.parent.iterdir()) == []
    journal.remove()  # again: nothing


def test_a_new_one_takes_the_place_of_an_old_one(path):
    written(path)
    with Journal.start(path, {}):
        pass
    assert path.read_bytes() == line(HEAD)


def test_only_one_process_has_it(path):
    with Journal.start(path, IDENTITY) as journal:
        for again in (Journal.read, lambda path, output: Journal.start(path, {}, output=output)):
            with pytest.raises(OutputError, match=r"^map\.tif: is being written by another proc"):
                again(path, output="map.tif")
        journal.add(*CHECKPOINTS[0])
    assert read(path) == expected(1)


def test_a_killed_process_lets_go(path):
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from rasterio.windows import Window\n"
        "from geoseg.engine.journal import Journal, Mark\n"
        "journal = Journal.start(Path(sys.argv[1]), {'a': 1})\n"
        "journal.add([Mark(region=0, row=5)], [[(Window(0, 0, 4, 5), 6)]])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", code, path], check=False)
    assert process.returncode == -signal.SIGKILL
    assert read(path) == ({0: Mark(region=0, row=5)}, [[(Window(0, 0, 4, 5), 6)]])


@pytest.mark.parametrize("when", ["write", "sync"])
def test_a_full_disk_leaves_what_was_there(path, monkeypatch, when):
    steps = written(path)
    path.write_bytes(steps[1])

    class Full:
        """Takes a few bytes of a line, then none, as a disk does."""

        def __init__(self, file):
            self.file, self.room = file, 20

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if self.room == 0:
                raise OSError(28, "No space left on device")
            self.room = 0
            return self.file.write(bytes(data[:20]))

    def fail(_):
        raise OSError(28, "No space left on device")

    with Journal.read(path, output="map.tif") as journal:
        if when == "write":
            monkeypatch.setattr(journal._file, "file", Full(journal._file.file))
        else:
            monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(WorkError, match=r"^map\.tif: its journal could not be written \(no sp"):
            journal.add(*CHECKPOINTS[1])
        assert (journal.marks, journal.written) == expected(1)
        assert path.read_bytes() == steps[1]
        monkeypatch.undo()
        journal.add(*CHECKPOINTS[1])
    assert path.read_bytes() == steps[2]


def test_a_journal_that_cannot_begin_leaves_nothing(path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WorkError, match="could not be written"):
        Journal.start(path, IDENTITY)
    assert list(path.parent.iterdir()) == []


def test_what_is_no_json_is_refused_before_anything_is_written(path):
    with pytest.raises(ValueError, match="JSON"):
        Journal.start(path, {"a": float("nan")})
    assert list(path.parent.iterdir()) == []
    with Journal.start(path, {}) as journal:
        with pytest.raises(TypeError):
            journal.add([Mark(region=0, row=1, state={"a": {1}})], [[]])
        assert path.read_bytes() == line(HEAD)
