"""Links within a tile set: none may lead out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from geoseg.errors import TileSetError


def check_inside(root: Path) -> None:
    """Refuse a tile set that holds a link to what lies outside of its folder.

    A set from elsewhere could else show files of this machine as tiles, or as names in errors.

    Raises:
        TileSetError: If a link leads out, or to itself.
    """
    try:
        inside = root.resolve()
        for path in _links(root):
            if not path.resolve().is_relative_to(inside):
                problem = f"{path.relative_to(root)} is a link that leads out of the set"
                raise TileSetError(root, problem, "Put the file itself there")
    except (OSError, RuntimeError) as error:
        problem = f"holds a link that leads nowhere ({error})"
        raise TileSetError(root, problem, "Put the file itself there") from error


def _links(root: Path) -> Iterator[Path]:
    """Links among the files of a set, by what its folders tell of them."""
    for folder in (root, root / "images", root / "masks"):
        if folder.is_dir():
            with os.scandir(folder) as entries:
                yield from [Path(entry.path) for entry in entries if entry.is_symlink()]
