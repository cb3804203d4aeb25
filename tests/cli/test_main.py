"""The frame of the command line, through its real entry point."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GEOSEG = Path(sys.executable).with_name("geoseg")

FAKE_COMMAND = """
import time
from pathlib import Path

import click

from geoseg.errors import SceneError, WorkError
from geoseg.geo.outputs import publish
from geoseg_cli import options


def raising(kind):
    if kind == "scene":
        raise SceneError("a.tif", "has no CRS", "Give --assume-crs")
    if kind == "work":
        raise WorkError("b.tif", "the disk is full")
    if kind == "oserror":
        raise FileNotFoundError(2, "No such file", "c.tif")
    if kind == "memory":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to\\nallocate")
    raise ZeroDivisionError("one\\ntwo")


@click.command("fake")
@click.argument("kind")
@options.output("A file.", required=False)
@options.messages
def command(kind, output, overwrite, progress):
    if kind == "wait":
        with publish(output) as temporary:
            temporary.write_text("half")
            click.echo("waiting")
            time.sleep(60)
    if kind == "talk":
        for _ in range(100_000):
            click.echo("many words")
        return
    raising(kind)
"""

DRIVER = """
import sys
from geoseg_cli import main
main.COMMANDS["fake"] = ("fake_command", "For tests.")
sys.exit(main.main())
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """The words that start `geoseg` with one more command, `fake`, which fails as told."""
    folder = tmp_path_factory.mktemp("fake")
    (folder / "fake_command.py").write_text(FAKE_COMMAND)
    (folder / "driver.py").write_text(DRIVER)
    return [sys.executable, str(folder / "driver.py"), "fake"]


def run(*words):
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)


def test_help_lists_the_commands():
    done = run(GEOSEG, "--help")
    assert done.returncode == 0
    for name in ("info", "tile", "train", "predict", "vectorize", "evaluate", "demo"):
        assert f"\n  {name} " in done.stdout


def test_version():
    done = run(GEOSEG, "--version")
    assert (done.returncode, done.stdout) == (0, "geoseg, version 0.1.0\n")


def test_no_words_show_the_help():
    done = run(GEOSEG)
    assert done.returncode == 2
    assert "Usage: geoseg" in done.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["segmentise"], "'segmentise'"),
        (["--colour"], "'--colour'"),
        (["info", "--sise", "3", "x"], "'--sise'"),
        (["info", "x", "--progress", "loud"], "'--progress'"),
        (["info"], "'PATH...'"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(words, named):
    done = run(GEOSEG, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


def test_bad_input_is_one_line(fake):
    done = run(*fake, "scene")
    assert done.returncode == 2
    assert done.stderr == "Error: a.tif: has no CRS. Give --assume-crs.\n"


def test_failed_work_ends_with_1(fake):
    done = run(*fake, "work")
    assert (done.returncode, done.stderr) == (1, "Error: b.tif: the disk is full\n")


def test_the_systems_errors_name_the_file(fake):
    done = run(*fake, "oserror")
    assert (done.returncode, done.stderr) == (1, "Error: c.tif: No such file\n")


def test_want_of_memory_is_one_line_with_a_cure(fake):
    done = run(*fake, "memory")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: out of memory. Use --max-memory, a smaller --window or --batch-size, "
        "fewer --jobs.\n",
    )


def test_a_defect_is_one_line(fake):
    done = run(*fake, "defect")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: ZeroDivisionError: one two (a defect of geoseg; run again with --debug)\n"
    )


@pytest.mark.parametrize(("kind", "code"), [("scene", 2), ("defect", 1)])
def test_debug_shows_the_traceback(fake, kind, code):
    done = run(*fake, kind, "--debug")
    assert done.returncode == code
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("words", [["--progress", "json"], ["--progress=json"]])
def test_errors_are_also_events(fake, words):
    done = run(*fake, "scene", *words)
    event, line = done.stderr.splitlines()
    assert json.loads(event) == {
        "event": "error",
        "type": "SceneError",
        "message": "a.tif: has no CRS. Give --assume-crs.",
        "exit_code": 2,
    }
    assert line.startswith("Error: ")


def test_usage_errors_are_also_events():
    done = run(GEOSEG, "info", "--sise", "--progress", "json")
    assert json.loads(done.stderr.splitlines()[0])["exit_code"] == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_behind(fake, tmp_path, number, code):
    words = [*fake, "wait", "-o", str(tmp_path / "out.txt")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_quiet(fake):
    process = subprocess.Popen(
        [*fake, "talk"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "many words\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=120) == 1


def test_a_strange_file_name_can_be_told():
    words = [os.fsencode(GEOSEG), b"info", b"caf\xe9\x1b[31m.tif"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Error: caf")
    assert b"\x1b" not in done.stderr
