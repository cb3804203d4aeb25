"""The files of a data set's folder: by patterns, of lists, and of tables of run lengths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from geoseg.errors import LabelError
from geoseg.geo.dataset_tables import RleLabels
from geoseg.geo.rle_table import read_rle_table

_KEPT_TABLES = 8


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that a pattern fits."""

    path: Path
    """Where it lies."""

    wildcards: tuple[str, ...]
    """What each `*` of the pattern stands for."""

    name: str = ""
    """What identifies it in lists."""

    def fill(self, pattern: str) -> str:
        """A pattern with all that is known of the image in place of the braces."""
        words = {str(i): text for i, text in enumerate(self.wildcards, start=1)}
        words |= {"stem": self.path.stem, "file": self.path.name, "name": self.name}
        return re.sub(r"{(\w+)}", lambda match: words.get(match[1], match[0]), pattern)


def match_files(root: Path, pattern: str, *, literal: bool = False) -> list[ImageFile]:
    """The files below a folder that a pattern fits, in order of name; hidden ones never."""
    if literal:
        return [ImageFile(root / pattern, ())] if (root / pattern).is_file() else []
    places: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    for part in PurePosixPath(pattern).parts:
        if "*" not in part:
            places = [(place / part, texts) for place, texts in places]
            continue
        fits = re.compile("(.+?)".join(map(re.escape, part.split("*")))).fullmatch
        places = [
            (place / name, (*texts, *match.groups()))
            for place, texts in places
            for name in _names(place)
            if (match := fits(name))
        ]
    return [ImageFile(path, texts) for path, texts in places if path.is_file()]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines of a list that are neither empty nor comments.

    Raises:
        LabelError: If it cannot be read, or is no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(path, "is no text", "Give a list, a name a line") from error
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise LabelError(
            path, f"is a list that cannot be read ({problem})", "Check ROOT"
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def runs_of(path: str, encoding: RleLabels) -> dict[str, str]:
    """The run lengths of a table by the names of images; each table is read once.

    Raises:
        LabelError: If it is no such table.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise LabelError(path, (error.strerror or str(error)).lower(), "Check ROOT") from error
    return _read_table(path, encoding.columns, (status.st_size, status.st_mtime_ns))


@lru_cache(_KEPT_TABLES)
def _read_table(
    path: str,
    columns: tuple[str, str] | None,
    stamp: tuple[int, int],  # noqa: ARG001 - tells a changed file
) -> dict[str, str]:
    name, runs = columns or (None, None)
    return read_rle_table(path, name=name, runs=runs)
