"""What is special about Shapefiles: several files, and short names of columns."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from geoseg.geo.outputs import publish
from geoseg.geo.temporary import remove_temporary_folder, temporary_path

logger = logging.getLogger(__name__)

_LONGEST_NAME = 10
"""Signs of a column's name."""

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
