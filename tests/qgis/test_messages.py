"""What the command tells is understood, and nothing it tells stops the plugin."""

import io
import json

import pytest

from geoseg.progress import Progress
from geoseg_qgis.messages import Advance, Failure, Note, parse_line


def test_the_lines_of_geoseg(monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr("sys.stderr", told)
    progress = Progress("json")
    with progress.task("east.tif", 4, "rows") as task:
        task.advance(1)
        task.advance(3)
    progress.event("log", level="warning", message="é {x}")
    progress.event("error", type="SceneError", message="a.tif: is bad. Mend it.", exit_code=2)
    messages = [parse_line(line) for line in told.getvalue().splitlines()]
    assert messages[-2:] == [Note("é {x}", "warning"), Failure("a.tif: is bad. Mend it.")]
    assert messages[-3] == Advance("east.tif", 4, 4, "rows")
    assert [each.percent for each in messages[:-2]][-1] == 100


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", None),
        ("  \n", None),
        ("Error: x: is bad.\n", Failure("x: is bad.")),
        (
            "Traceback (most recent call last):\n",
            Note("Traceback (most recent call last):", "plain"),
        ),
        ("{broken\n", Note("{broken", "plain")),
        ('{"event": "tomorrow"}\n', None),
        ('{"event": "progress", "done": "many"}\n', None),
        ('{"event": "progress", "done": 3}', Advance("", 3, None, "")),
        ("[1]", Note("[1]", "plain")),
    ],
)
def test_any_line(line, message):
    assert parse_line(line) == message


@pytest.mark.parametrize(
    ("done", "total", "percent"), [(0, 4, 0), (1, 4, 25), (5, 4, 100), (3, None, 0), (3, 0, 0)]
)
def test_percent(done, total, percent):
    line = json.dumps({"event": "progress", "done": done, "total": total})
    assert parse_line(line).percent == percent
