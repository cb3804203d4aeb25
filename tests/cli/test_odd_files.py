"""The corpus of odd files: each works and gives the right answer, or is refused in one line."""

import faulthandler
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from odd_files import corpus

from geoseg_cli.main import main

GEOSEG = Path(sys.executable).with_name("geoseg")
MOST_SECONDS = 180  # the first tracing after an update is compiled
MOST_BYTES = 1 << 30
"""By which the process may grow; half of it is what torch and OpenVINO take at first."""

REFUSED = [case for case in corpus.CASES if case.refused]
WORKING = [case for case in corpus.CASES if not case.refused]


def named(cases):
    return [pytest.param(case, id=case.name.replace(" ", "-")) for case in cases]


@pytest.fixture(autouse=True)
def _watched(capfd):
    """End the process where a case hangs, and fail where it takes memory."""
    before = peak(reset=True)
    with capfd.disabled():
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert peak() - before < MOST_BYTES


def peak(*, reset=False):
    """The most bytes that this process has held; since now, where `reset`."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.parametrize("case", named(REFUSED))
def test_refused(case, place, refuse):
    case.make(place)
    refuse(case.words, *case.refused)
    assert not (place / "burgled").exists()


@pytest.mark.parametrize("case", named(WORKING))
def test_works(case, place, capfd, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    case.make(place)
    before = contents(place)
    assert main([*shlex.split(case.words), "-q"]) == 0, capfd.readouterr().err
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert (out + err).replace("\n", "").isprintable(), "a name may drive the terminal"
    case.works(place)
    after = contents(place)
    assert {name: after.get(name) for name in before} == before, "an input was changed"


@pytest.mark.parametrize("name", ["VRT of a URL", "a link to a device", "zero bytes"])
def test_as_a_process(name, place):
    """With little memory to be had, as a whole process."""
    case = next(case for case in corpus.CASES if case.name == name)
    case.make(place)
    before = sorted(place.rglob("*"))
    words = f"ulimit -v {6 << 20}; exec {GEOSEG} {case.words}"
    done = subprocess.run(
        ["bash", "-c", words], capture_output=True, text=True, check=False, timeout=MOST_SECONDS
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert [part for part in case.refused if part not in done.stderr] == []
    assert sorted(place.rglob("*")) == before


def test_the_corpus_is_large():
    assert len(corpus.CASES) >= 100
    assert len({case.name for case in corpus.CASES}) == len(corpus.CASES)


def contents(folder):
    """Bytes of every file, and times of change."""
    return {
        path.relative_to(folder): (path.read_bytes(), os.stat(path).st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size < 1 << 24
    }
