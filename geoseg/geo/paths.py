"""From what a user types to the scenes it stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from geoseg.errors import SceneError
from geoseg.geo.gdal import is_remote

SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")
"""What counts as a scene where a folder is given."""


def find_scenes(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Turn what a user typed into scenes: files, URLs, globs, folders, and `@list.txt`.

    Returns:
        Paths without repeats; those of one glob or folder in order of name.

    Raises:
        SceneError: If an entry stands for no file.
    """
    found: list[str] = []
    for path in paths:
        found.extend(_expand(os.fspath(path)))
    return list(dict.fromkeys(found))


def _expand(entry: str) -> list[str]:
    if entry.startswith("@"):
        lists = Path(entry[1:])
        if not lists.is_file():
            raise SceneError(entry, "is no list of paths", "Name a text file, one path a line")
        lines = [line.strip() for line in lists.read_text(encoding="utf-8").splitlines()]
        return [path for line in lines if line and line[0] not in "@#" for path in _expand(line)]
    if is_remote(entry):
        return [entry]
    entry = os.path.expanduser(entry)
    if os.path.isdir(entry):
        matches = sorted(
            str(p)
            for p in Path(entry).iterdir()
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
        )
    elif os.path.exists(entry):
        matches = [entry]
    else:
        matches = sorted(glob.glob(entry, recursive=True))
    if not matches:
        raise SceneError(entry, "stands for no scene", "Check the path")
    return matches
