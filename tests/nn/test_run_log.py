"""What is written down of a run: circumstances, ends, lines of the log."""

import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import geoseg
from geoseg.nn.run_log import RunLog, circumstances, git_state, plain, recorded, versions
from geoseg.nn.stopwatch import Stopwatch


def read(folder):
    return json.loads((folder / "run.json").read_text())


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


def test_a_run_is_written_at_its_begin_and_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["geoseg", "train", "my train.toml"])
    watch = Stopwatch()
    note = RunLog(tmp_path, {"data": {"fingerprint": "ab"}})
    with note.running(watch):
        begun = read(tmp_path)
        with watch.measure("drawing"):
            pass
    assert begun["status"] == "running" and "ended" not in begun["starts"][0]
    assert begun["data"] == {"fingerprint": "ab"}
    assert begun["starts"][0]["command"] == "geoseg train 'my train.toml'"
    ended = read(tmp_path)
    assert (ended["status"], ended["error"]) == ("finished", None)
    assert set(ended["starts"][0]["timings"]) == {"all", "drawing"}
    assert ended["starts"][0]["started"] <= ended["starts"][0]["ended"]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (KeyboardInterrupt(), "stopped", None),
        (SystemExit(143), "stopped", None),
        (OSError("disk full"), "failed", "disk full"),
    ],
)
def test_however_it_ends_is_told(tmp_path, error, status, told):
    def fail():
        with RunLog(tmp_path, {}).running(Stopwatch()):
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (read(tmp_path)["status"], read(tmp_path)["error"]) == (status, told)


def test_a_resumed_run_keeps_its_starts_and_its_names_elsewhere(tmp_path):
    first = RunLog(tmp_path, {"host": "a"})
    first.ids["wandb"] = "x1"
    first.write()  # and then it was killed
    second = RunLog(tmp_path, {"host": "b"}, resume=True)
    assert second.ids == {"wandb": "x1"}
    assert read(tmp_path)["host"] == "b" and len(read(tmp_path)["starts"]) == 2
    assert RunLog(tmp_path, {}).ids == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_damaged_file_is_begun_anew(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    RunLog(tmp_path, {}, resume=True)
    assert len(read(tmp_path)["starts"]) == 1


def test_circumstances_name_versions_machine_and_sources():
    found = circumstances(torch.device("cpu"))
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found["versions"]["geoseg"] == geoseg.__version__
    assert {"python", "gdal", "lightning", "rasterio"} <= set(versions())
    assert found["device"].startswith("cpu")


def test_the_state_of_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q", "-b", "trunk")
    assert git_state(tmp_path) is None  # nothing is committed yet
    (tmp_path / "train.toml").write_text("seed = 1")
    git(tmp_path, "add", "train.toml")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    clean = git_state(tmp_path)
    assert (clean["branch"], clean["dirty"], len(clean["commit"])) == ("trunk", False, 40)
    (tmp_path / "notes.txt").write_text("runs and the like make no state dirty")
    assert git_state(tmp_path) == clean
    (tmp_path / "train.toml").write_text("seed = 2")
    assert git_state(tmp_path) == {**clean, "dirty": True}
    git(tmp_path, "checkout", "-q", "--detach")
    assert git_state(tmp_path) == {**clean, "branch": None, "dirty": True}


def test_no_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


def test_undefined_figures_become_null():
    assert plain({"a": math.nan, "b": 0.5, "c": math.inf}) == {"a": None, "b": 0.5, "c": None}


def test_the_log_holds_what_came_before_it_was_named_and_what_follows(tmp_path):
    logger = logging.getLogger("geoseg.nn.setup")
    for part in ("one", "two"):  # a resumed run appends
        with recorded() as begin:
            logger.info("before %s", part)
            begin(tmp_path / "run.log")
            logger.debug("too small")
            logger.warning("after %s", part)
            logging.getLogger("other").warning("of somebody else")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(" ", 3)[2:] for line in lines] == [
        ["INFO", "before one"], ["WARNING", "after one"],
        ["INFO", "before two"], ["WARNING", "after two"],
    ]  # fmt: skip
    assert logging.getLogger("geoseg").handlers == []
    assert logging.getLogger("geoseg").level == logging.NOTSET


def test_a_log_that_is_never_named_writes_nothing(tmp_path):
    with recorded():
        logging.getLogger("geoseg").warning("lost")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_left_to_others_to_tell(capfd):
    with recorded() as begin:
        begin(Path("/dev/full"))
        for line in ("one", "two"):
            logging.getLogger("geoseg").info(line)
    assert "Error" not in capfd.readouterr().err


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_other_listeners_hear_what_they_heard(tmp_path, level):
    heard = []

    class Listener(logging.Handler):
        def emit(self, record):
            heard.append(record.getMessage())

    root, listener = logging.getLogger(), Listener()
    before = root.level
    root.addHandler(listener)
    root.setLevel(level)
    try:
        with recorded() as begin:
            begin(tmp_path / "run.log")
            logging.getLogger("geoseg.train").info("quiet")
            logging.getLogger("geoseg.train").warning("loud")
        logging.getLogger("geoseg.train").info("quiet again")
    finally:
        root.removeHandler(listener)
        root.setLevel(before)
    loud = ["loud"]
    assert heard == (["quiet", *loud, "quiet again"] if level == logging.INFO else loud)
    assert len((tmp_path / "run.log").read_text().splitlines()) == 2
