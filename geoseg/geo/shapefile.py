"""What is special about Shapefiles: several files, and short names of columns."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg.errors import WorkError
from geoseg.geo.outputs import publish
from geoseg.geo.temporary import remove_temporary_folder, temporary_path

logger = logging.getLogger(__name__)

_LONGEST_NAME = 10
"""Signs of a column's name."""

_HEADER, _RECORD_HEADER, _TABLE_HEADER = 100, 8, 32
"""Bytes at the beginning of a `.shp` or `.shx`, of each polygon in the `.shp`, and of a `.dbf`."""

_LOOKED_AT = _RECORD_HEADER << 16
"""Bytes of a `.shx` that are looked at at a time."""

_STALE_INDEXES = (".sbn", ".sbx", ".qix", ".cpg", ".idm", ".ind")
"""Side files of a replaced Shapefile that would contradict the new one."""


@contextmanager
def publish_shapefile(path: Path) -> Iterator[Path]:
    """Give a path in a hidden folder; on success the files there move out, the `.shp` last.

    Several files cannot appear at once. Without its `.shp` a Shapefile is not seen by any
    program, so a run killed between two moves leaves no readable half.

    Args:
        path: The `.shp` to be written.

    Yields:
        Where to write it.

    Raises:
        WorkError: If the file system fails.
    """
    folder = temporary_path(path.parent / "folder")
    folder.mkdir()
    try:
        made = folder / path.name
        yield made
        with publish(path) as temporary:
            shutil.copyfile(made, temporary)
            path.unlink(missing_ok=True)
            for suffix in _STALE_INDEXES:
                path.with_suffix(suffix).unlink(missing_ok=True)
            for file in folder.iterdir():
                if file != made:
                    os.replace(file, path.with_suffix(file.suffix))
    finally:
        remove_temporary_folder(folder)


def short_columns(path: Path, columns: pa.Schema) -> pa.Schema:
    """The columns as a Shapefile can name them; what is renamed is told.

    Args:
        path: The file, for the log.
        columns: Names and types of the attributes.
    """
    names: dict[str, str] = {}
    for name in columns.names:
        short, number = name[:_LONGEST_NAME], 1
        while short.lower() in (used.lower() for used in names.values()):
            number += 1
            short = f"{name[: _LONGEST_NAME - len(str(number))]}{number}"
        names[name] = short
    changed = {name: short for name, short in names.items() if name != short}
    if changed:
        listing = ", ".join(f"{name} -> {short}" for name, short in changed.items())
        logger.warning("%s: a Shapefile cuts names to 10 signs: %s", path, listing)
    return pa.schema([field.with_name(names[field.name]) for field in columns])


def check_shapefile(made: Path, path: Path) -> None:
    """Look through the files of a Shapefile: GDAL tells nobody of what a full disk did not take.

    Source: ESRI Shapefile Technical Description, 1998: lengths are in words of 16 bits.

    Args:
        made: The `.shp`, with the others beside it.
        path: Named in the error.

    Raises:
        WorkError: If one is shorter than it says, or a polygon is not where the index says.
    """
    shapes, index, table = (_opened(made.with_suffix(s)) for s in (".shp", ".shx", ".dbf"))
    if not (_is_whole(shapes) and _is_whole(index) and _is_whole_table(table)):
        raise _unreadable(path)
    for begin in range(_HEADER, index.size, _LOOKED_AT):
        number = (begin - _HEADER) // _RECORD_HEADER + 1
        if not _holds(shapes, index[begin : begin + _LOOKED_AT], number):
            raise _unreadable(path)


def _holds(shapes: NDArray[np.uint8], index: NDArray[np.uint8], number: int) -> bool:
    """Whether polygons from a number on are where a piece of the index says."""
    if index.size % _RECORD_HEADER:
        return False
    offsets, lengths = index.view(">i4").reshape(-1, 2).T.astype(np.int64) * 2
    if offsets.min() < _HEADER or (offsets + lengths + _RECORD_HEADER).max() > shapes.size:
        return False
    heads = shapes[offsets[:, None] + np.arange(_RECORD_HEADER)].view(">i4").reshape(-1, 2)
    told = np.stack([np.arange(number, number + offsets.size), lengths // 2], axis=1)
    return np.array_equal(heads, told)


def _opened(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file; they come from the disk as they are looked at."""
    if not path.is_file() or path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, "r")


def _is_whole(file: NDArray[np.uint8]) -> bool:
    """Whether a `.shp` or `.shx` is as long as its header says."""
    if file.size < _HEADER or file.size % 4:
        return False
    return int(file[24:28].view(">i4")[0]) * 2 == file.size


def _is_whole_table(file: NDArray[np.uint8]) -> bool:
    """Whether a `.dbf` holds the rows that its header tells of."""
    if file.size < _TABLE_HEADER:
        return False
    rows = int(file[4:8].view("<u4")[0])
    header, row = (int(each) for each in file[8:12].view("<u2"))
    return file.size >= header + rows * row


def _unreadable(path: Path) -> WorkError:
    return WorkError(path, "could not be read back whole", "Check the disk")
