"""Tables of run lengths: one line for each image, its name and its runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from geoseg.errors import LabelError

_LONGEST_FIELD = 1 << 30
"""Characters; the runs of one large mask are far longer than the reader's own limit."""

_NOTHING = frozenset({"", "nan", "none", "null"})
"""How programs write the missing runs of an image without a building."""


def read_rle_table(
    path: str | Path, *, name: str | None = None, runs: str | None = None
) -> dict[str, str]:
    """Read a table of run lengths, tab- or comma-separated, with a header or without.

    Args:
        path: The table.
        name: Heading of the column of image names; None takes the first column.
        runs: Heading of the column of run lengths; None takes the second column.

    Returns:
        Run lengths by image name, in the order of the table; empty where there are none. They are
        not looked at: `decode_runs` does.

    Raises:
        LabelError: If the file is no such table, lacks a heading asked for, or names an image
            twice.
    """
    path = Path(path)
    rows = list(_rows(path))
    if not rows:
        raise LabelError(path, "holds no line", "Write a line `name<TAB>runs` for each image")
    columns = _columns(path, rows[0][1], name, runs)
    if max(len(row) for _, row in rows) < 2:
        problem = "has one column: tabs or commas part a name from its runs"
        raise LabelError(path, problem, "Write a line `name<TAB>runs` for each image")
    is_headed = name is not None or runs is not None or _is_header(rows[0][1])
    table: dict[str, str] = {}
    for line, row in rows[is_headed:]:
        image, text = _cells(path, line, row, columns)
        if image in table:
            raise LabelError(path, f"names {image} twice (line {line})", "Keep one line an image")
        table[image] = "" if text.lower() in _NOTHING else text
    return table


def rle_table_text(table: Mapping[str, str]) -> str:
    """The text of a table: `name<TAB>runs` lines without a header, in the order given.

    Raises:
        LabelError: If a name holds a tab, a quote or the end of a line, which would break it.
    """
    for image in table:
        if not image.isprintable() or '"' in image:
            raise LabelError(repr(image), "is no name that a table can hold", "Rename the file")
    return "".join(f"{image}\t{runs}\n" for image, runs in table.items())


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells of the lines that are not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(path, "is no text", "Give a table `name<TAB>runs`") from error
    except OSError as error:
        raise LabelError(path, (error.strerror or str(error)).lower(), "Check the path") from error
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in text else ",")
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise LabelError(path, f"line {reader.line_num} is broken ({error})", "Mend it") from error


def _columns(path: Path, head: list[str], name: str | None, runs: str | None) -> tuple[int, int]:
    """Numbers of the columns of names and runs."""
    headings = [cell.strip() for cell in head]
    for heading in (name, runs):
        if heading is not None and headings.count(heading) != 1:
            raise LabelError(
                path,
                f"has no column {heading!r}; its first line is {', '.join(headings)[:80]!r}",
                "Name columns of its header; without names, the first two columns are taken",
            )
    return (
        0 if name is None else headings.index(name),
        1 if runs is None else headings.index(runs),
    )


def _is_header(head: list[str]) -> bool:
    """Whether the first line tells headings: a word without digits where runs would be.

    A line that names an image is none: what stands behind it is broken run lengths.
    """
    if len(head) < 2 or Path(head[0].strip()).suffix:
        return False
    cell = head[1].strip()
    return cell.lower() not in _NOTHING and not any(c.isdigit() for c in cell)


def _cells(path: Path, line: int, row: list[str], columns: tuple[int, int]) -> tuple[str, str]:
    """Image name and runs of a line; a line that ends behind the name has no runs."""
    image, text = (row[column].strip() if column < len(row) else "" for column in columns)
    if not image:
        raise LabelError(path, f"line {line} names no image", "Write `name<TAB>runs`")
    return image, text
