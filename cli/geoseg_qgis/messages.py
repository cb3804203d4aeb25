"""What the command tells on stderr: a JSON object a line, and sometimes a plain line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Union


@dataclass(frozen=True)
class Advance:
    """How far a task is."""

    task: str
    done: int
    total: int | None
    unit: str

    @property
    def percent(self) -> float:
        """From 0 to 100; 0 where the total is unknown."""
        return min(100.0, 100.0 * self.done / self.total) if self.total else 0.0


@dataclass(frozen=True)
class Note:
    """A line for the log."""

    text: str
    level: str
    """That of the log record; `plain` for a line that is no JSON."""


@dataclass(frozen=True)
class Failure:
    """Why the command ends."""

    text: str


Message = Union[Advance, Note, Failure]  # noqa: UP007 - QGIS 3.22 may come with Python 3.9


def parse_line(line: str) -> Message | None:
    """Read one line.

    Args:
        line: As the command wrote it.

    Returns:
        What it tells; None for an empty line, and for events that later versions may add.
    """
    text = line.strip()
    if not text:
        return None
    fields = _fields(text)
    if fields is None:
        return Failure(text[7:]) if text.startswith("Error: ") else Note(text, "plain")
    event = fields.get("event")
    if event == "progress":
        return _advance(fields)
    if event == "log":
        return Note(str(fields.get("message", "")), str(fields.get("level", "info")))
    if event == "error":
        return Failure(str(fields.get("message", "")))
    return None


def _fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _advance(fields: dict[str, Any]) -> Advance | None:
    done, total = fields.get("done"), fields.get("total")
    if not isinstance(done, int):
        return None
    return Advance(
        task=str(fields.get("task", "")),
        done=done,
        total=total if isinstance(total, int) else None,
        unit=str(fields.get("unit", "")),
    )
