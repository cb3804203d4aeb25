"""What a run has finished, so that the next one goes on after a kill.

A file of lines: what the run is, then, for every checkpoint of its rasters, how far it came and
which windows it wrote. Each line is a list of a CRC-32 and the JSON it is of. A line counts once
it is whole: what a kill or a full disk cut off is as if it had never been.

The order is: `RasterWriter.checkpoint` of every raster, then `Journal.add`. So a journal never
tells of pixels that are not on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rasterio.windows import Window

from geoseg.errors import WorkError
from geoseg.geo.lasting import LockedFile, lasting_path
from geoseg.geo.outputs import sync_folder
from geoseg.geo.partial import Written

_FORMAT = {"format": "geoseg journal", "version": 1}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a region has come."""

    region: int
    """Index of the region."""

    row: int
    """Its rows before this one are written."""

    state: Mapping[str, Any] = field(default_factory=dict)
    """JSON: what is needed to go on there."""


class Journal:
    """The record of one run; only one process at a time has it open.

    Use it in a `with` block, or `close` it: the file stays until `remove`.
    """

    def __init__(self, file: LockedFile, output: str | Path, content: _Content) -> None:
        self.identity = content.identity
        """JSON that tells one run from another."""
        self.marks = content.marks
        """The last mark of each region."""
        self.written = content.written
        """Windows and checksums of each raster; no raster as long as nothing was added."""
        self._file = file
        self._output = output
        self._end = content.end

    @classmethod
    def start(
        cls, path: Path, identity: Mapping[str, Any], *, output: str | Path | None = None
    ) -> Self:
        """Begin a journal, in place of an older one.

        Args:
            path: The journal, as `journal_path` tells it.
            identity: JSON that tells this run from others.
            output: Named in errors, the journal itself if not given.

        Raises:
            OutputError: If another process has it open.
            WorkError: If it cannot be written.
        """
        output = output or path
        content = _Content(identity=_as_read(identity))
        journal = cls(LockedFile(path, output), output, content)
        try:
            journal._append({**_FORMAT, "identity": journal.identity})
            sync_folder(path.parent)
        except BaseException:
            journal.remove()
            raise
        return journal

    @classmethod
    def read(
        cls,
        path: Path,
        *,
        shape: tuple[int, int] | None = None,
        output: str | Path | None = None,
    ) -> Self | None:
        """Open the journal of an earlier run.

        Args:
            path: The journal, as `journal_path` tells it.
            shape: Height and width of the rasters; windows and rows must lie within.
            output: Named in errors, the journal itself if not given.

        Returns:
            The journal, to be added to; None if there is none that makes sense.

        Raises:
            OutputError: If another process has it open.
        """
        if not path.exists():
            return None
        output = output or path
        file = LockedFile(path, output)
        try:
            content = _parse(file.file.readall(), shape)
        except (ValueError, TypeError, KeyError, OSError, RecursionError):
            content = None
        except BaseException:
            file.close()
            raise
        if content is None:
            file.close()
            return None
        return cls(file, output, content)

    def matches(self, identity: Mapping[str, Any]) -> bool:
        """Whether this is the journal of such a run (as JSON: a tuple is a list)."""
        return self.identity == _as_read(identity)

    def add(self, marks: Sequence[Mark], written: Sequence[Sequence[Written]]) -> None:
        """Record a checkpoint: it is on the disk when this returns.

        Args:
            marks: How far regions have come.
            written: What `checkpoint` told, for every raster, in the same order each time.

        Raises:
            WorkError: If the file system fails; what was added earlier stays.
            ValueError: If the number of rasters has changed.
        """
        if self.written and len(written) != len(self.written):
            raise ValueError(f"{len(written)} rasters given, {len(self.written)} before")
        self._append(
            {
                "marks": [[mark.region, mark.row, mark.state] for mark in marks],
                "written": [[_window_fields(*each) for each in raster] for raster in written],
            }
        )
        self.marks.update({mark.region: mark for mark in marks})
        if not self.written:
            self.written.extend([] for _ in written)
        for raster, fresh in zip(self.written, written, strict=True):
            raster.extend(fresh)

    def close(self) -> None:
        """Let others have the journal."""
        self._file.close()

    def remove(self) -> None:
        """Remove it: the run is finished, or not worth going on with."""
        self._file.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, content: Mapping[str, Any]) -> None:
        """Write a line behind the last whole one."""
        text = _dumped(content)
        line = f"[{zlib.crc32(text.encode())},{text}]\n".encode()
        file = self._file.file
        try:
            # What a kill left of a line, or an older journal, goes first.
            file.truncate(self._end)
            file.seek(self._end)
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(self._end)
            problem = f"its journal could not be written ({(error.strerror or '').lower()})"
            raise WorkError(self._output, problem, "Check the free space") from error
        self._end += len(line)


def journal_path(output: Path) -> Path:
    """Where the journal of an output is: hidden, beside it."""
    return lasting_path(output, ".journal")


@dataclass(slots=True, kw_only=True)
class _Content:
    """What stands in a journal."""

    identity: dict[str, Any]
    marks: dict[int, Mark] = field(default_factory=dict)
    written: list[list[Written]] = field(default_factory=list)
    end: int = 0
    """Bytes up to the end of the last whole line."""


def _parse(data: bytes, shape: tuple[int, int] | None) -> _Content:
    """Read all whole lines; only the last may be damaged.

    Raises:
        ValueError, TypeError, KeyError: If it is no journal.
    """
    *texts, torn = data.split(b"\n")
    head = _line(texts[0]) if texts else {}
    if {key: head[key] for key in _FORMAT} != _FORMAT:
        raise ValueError("another format")
    content = _Content(identity=_mapping(head["identity"]), end=len(texts[0]) + 1)
    for number, text in enumerate(texts[1:], start=2):
        try:
            line = _line(text)
        except (ValueError, TypeError):
            if number < len(texts) or torn:
                raise
            break
        _take(content, line, shape)
        content.end += len(text) + 1
    return content


def _take(content: _Content, line: dict[str, Any], shape: tuple[int, int] | None) -> None:
    height, width = shape or (None, None)
    for region, row, state in line["marks"]:
        mark = Mark(region=_count(region), row=_count(row, height), state=_mapping(state))
        content.marks[mark.region] = mark
    fresh = [[_written(fields, height, width) for fields in raster] for raster in line["written"]]
    if not content.written:
        content.written = [[] for _ in fresh]
    for raster, windows in zip(content.written, fresh, strict=True):
        raster.extend(windows)


def _window_fields(window: Window, checksum: int) -> list[int]:
    sides = window.col_off, window.row_off, window.width, window.height
    return [*(int(side) for side in sides), int(checksum)]


def _written(fields: list[Any], height: int | None, width: int | None) -> Written:
    col, row, wide, high, checksum = (_count(each) for each in fields)
    _count(col + wide, width)
    _count(row + high, height)
    return Window(col, row, wide, high), _count(checksum, 2**32 - 1)


def _count(value: object, largest: int | None = None) -> int:
    if type(value) is not int or value < 0 or (largest is not None and value > largest):
        raise ValueError(f"{value!r} is no count")
    return value


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no mapping")
    return value


def _line(text: bytes) -> dict[str, Any]:
    checksum, content = json.loads(text.decode())
    if zlib.crc32(_dumped(content).encode()) != checksum:
        raise ValueError("does not agree with its checksum")
    return _mapping(content)


def _dumped(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _as_read(identity: Mapping[str, Any]) -> dict[str, Any]:
    return _mapping(json.loads(_dumped(dict(identity))))
