import json
import logging
import threading

import pytest

from geoseg.progress import Progress, configure_logging


@pytest.fixture(autouse=True)
def restored_logging():
    logger = logging.getLogger("geoseg")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


def json_lines(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line, parse_constant=pytest.fail) for line in captured.err.splitlines()]


def test_silent_by_default(capsys):
    progress = Progress()
    assert list(progress.track([1, 2, 3], "work")) == [1, 2, 3]
    progress.event("epoch", loss=1.0)
    assert capsys.readouterr() == ("", "")


def test_auto_is_silent_where_there_is_no_terminal(monkeypatch):
    assert Progress("auto").mode == "none"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert Progress("auto").mode == "bar"


def test_json_tells_first_and_last_state(capsys):
    for _ in Progress("json").track([1, 2, 3], "tile", unit="scene"):
        pass
    lines = json_lines(capsys)
    assert [line["done"] for line in lines] == [1, 3]
    assert lines[-1] == {
        "event": "progress",
        "task": "tile",
        "total": 3,
        "unit": "scene",
        "done": 3,
    }


def test_json_lines_are_few_and_whole_from_many_threads(capsys):
    progress = Progress("json")
    with progress.task("work", total=8000) as task:
        threads = [
            threading.Thread(target=lambda: [task.advance() for _ in range(1000)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = json_lines(capsys)
    assert lines[-1]["done"] == 8000
    assert len(lines) < 200


def test_events_are_strict_json(capsys):
    Progress("json").event("epoch", loss=float("nan"), best=float("inf"), path=__file__)
    assert json_lines(capsys) == [{"event": "epoch", "loss": None, "best": None, "path": __file__}]


def test_bars_go_to_stderr(capsys):
    for _ in Progress("bar").track(iter("abc"), "letters"):
        pass
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "letters" in captured.err
    assert "3it" in captured.err


@pytest.mark.parametrize("mode", ["none", "bar"])
def test_logging_for_people(capsys, mode):
    configure_logging(Progress(mode))
    logger = logging.getLogger("geoseg.geo.raster")
    logger.debug("hidden")
    logger.info("%s: read", "a.tif")
    logger.warning("a\x1b[2J.tif: doubtful")
    lines = [line.strip("\r\n ") for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if line] == ["a.tif: read", "Warning: a\\x1b[2J.tif: doubtful"]


def test_logging_for_machines(capsys):
    configure_logging(Progress("json"))
    logging.getLogger("geoseg").warning("doubtful")
    assert json_lines(capsys) == [{"event": "log", "level": "warning", "message": "doubtful"}]


@pytest.mark.parametrize(
    ("verbosity", "heard"), [(-1, "e"), (-3, "e"), (0, "iwe"), (1, "diwe"), (5, "diwe")]
)
def test_verbosity(capsys, verbosity, heard):
    configure_logging(Progress("json"), verbosity)
    logger = logging.getLogger("geoseg.train")
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("said")
    assert "".join(line["level"][0] for line in json_lines(capsys)) == heard
