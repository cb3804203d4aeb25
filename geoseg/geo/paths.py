"""From what a user types to the scenes it stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from geoseg.errors import SceneError
from geoseg.geo.remote import is_remote

SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img", ".npy")
"""What counts as a scene where a folder is given."""


def find_scenes(
    paths: Iterable[str | os.PathLike[str]],
    suffixes: tuple[str, ...] = SUFFIXES,
    *,
    allow_remote: bool | None = None,
) -> list[str]:
    """Turn what a user typed into scenes: files, URLs, globs, folders, and `@list.txt`.

    Args:
        paths: What was typed.
        suffixes: What counts as a scene where a folder is given, in lower case.
        allow_remote: Whether a list may name URLs; None where the job has no option for it.

    Returns:
        Paths without repeats; those of one glob or folder in order of name.

    Raises:
        SceneError: If an entry stands for no file.
    """
    found: list[str] = []
    for path in paths:
        entry = os.fspath(path)
        if entry.startswith("@"):
            found.extend(_expand_list(entry, suffixes, allow_remote=allow_remote))
        else:
            found.extend(_expand(entry, suffixes))
    return list(dict.fromkeys(found))


def _expand(entry: str, suffixes: tuple[str, ...]) -> list[str]:
    if is_remote(entry):
        return [entry]
    entry = os.path.expanduser(entry)
    if os.path.isdir(entry):
        matches = sorted(
            str(path) for path in Path(entry).iterdir() if _is_scene_name(path, suffixes)
        )
    elif os.path.exists(entry):
        matches = [entry]
    else:
        matches = _expand_glob(entry, suffixes)
    if not matches:
        raise SceneError(entry, "stands for no scene", "Check the path")
    return matches


def _expand_list(entry: str, suffixes: tuple[str, ...], *, allow_remote: bool | None) -> list[str]:
    """The scenes of a text file, one entry a line; empty lines and `#` lines are passed over."""
    try:
        text = Path(entry[1:]).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(entry, "is no list of paths", "Name a text file, a path a line") from error
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise SceneError(entry, "holds no path", "Name a text file, a path a line")
    for line in lines:
        if line.startswith("@"):
            raise SceneError(entry, f"names another list, {line}", "Put its paths in directly")
        if is_remote(line) and not allow_remote:
            cure = "Name it on the command line" + (
                ", or give --allow-remote" * (allow_remote is False)
            )
            raise SceneError(entry, f"names a remote path, {line}", cure)
    return [path for line in lines for path in _expand(line, suffixes)]


def _expand_glob(pattern: str, suffixes: tuple[str, ...]) -> list[str]:
    """Files of a glob; without a suffix of its own it passes over side files and folders."""
    names_suffix = not set("*?]") & set(Path(pattern).suffix or "*")
    return sorted(
        path
        for path in glob.glob(pattern, recursive=True)
        if os.path.isfile(path) and (names_suffix or _is_scene_name(Path(path), suffixes))
    )


def _is_scene_name(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
