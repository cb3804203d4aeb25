"""Temporary files beside an output: their names, and those that dead processes left."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import platform
import re
import shutil
import stat
import time
import zlib
from pathlib import Path

_counter = itertools.count()
_given: set[Path] = set()
"""Names that this process was given."""

_TEMPORARY_NAME = re.compile(r"\.geoseg-([0-9a-f]{8})-(\d+)-\d+")
_LONGEST_SUFFIX = 16
_OVERVIEWS = [".ovr" * level for level in range(1, 24)]
"""Each lies beside the one that it is half of; so many halve any raster to one pixel."""

STALE_SECONDS = 7 * 24 * 3600
"""Age at which a temporary file of another machine, whose processes cannot be seen, is dead."""


def temporary_path(path: Path) -> Path:
    """Find a short hidden name in the folder of a file; clears dead ones there.

    Args:
        path: The file. The name has its suffix, but is independent of its name, which may
            already be as long as names can be.

    Returns:
        A path at which nothing is yet.
    """
    _remove_stale(path.parent.absolute())
    suffix = path.suffix if len(path.suffix) <= _LONGEST_SUFFIX else ""
    start = f".geoseg-{this_machine()}-{os.getpid()}"
    names = (path.parent / f"{start}-{number}{suffix}" for number in _counter)
    found = next(name for name in names if not os.path.lexists(name))
    _given.add(found.absolute())
    return found


def remove_temporary(path: Path) -> None:
    """Remove a temporary file with the side files that GDAL and SQLite put beside it."""
    for suffix in ("", ".aux.xml", ".msk", ".ovr.tmp", "-wal", "-shm", "-journal", *_OVERVIEWS):
        with contextlib.suppress(OSError):
            Path(f"{path}{suffix}").unlink()
    _given.discard(path.absolute())


def remove_temporary_folder(path: Path) -> None:
    """Remove a temporary folder, if it is still there."""
    shutil.rmtree(path, ignore_errors=True)
    _given.discard(path.absolute())


def remove_all() -> None:
    """Remove all temporary files of this process, whoever is at work on them."""
    for path in list(_given):
        with contextlib.suppress(OSError):
            if path.is_dir():
                # First of all it gets a name under which nobody can put it into place.
                doomed = path.with_name(f"{path.stem}-end")
                path.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)
        remove_temporary(path)


if hasattr(os, "register_at_fork"):
    # Those of the process that it was forked from are not its own.
    os.register_at_fork(after_in_child=_given.clear)


def try_file(folder: Path) -> int:
    """Make a file in a folder and remove it again.

    Args:
        folder: It must exist.

    Returns:
        The permissions that new files get there.

    Raises:
        OSError: If no file can be made there.
    """
    probe = temporary_path(folder / "probe")
    handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
        probe.unlink()
        _given.discard(probe.absolute())


@functools.cache
def _remove_stale(folder: Path) -> None:
    """Remove what dead processes left in a folder, once per process."""
    for entry in folder.glob(".geoseg-*"):
        match = _TEMPORARY_NAME.match(entry.name)
        with contextlib.suppress(OSError):
            if match is None or _is_in_use(entry, match.group(1), int(match.group(2))):
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()


def _is_in_use(entry: Path, machine: str, pid: int) -> bool:
    if machine != this_machine():
        return time.time() - entry.stat().st_mtime < STALE_SECONDS
    return is_running(pid)


@functools.cache
def this_machine() -> str:
    """Tells machines, and containers with process numbers of their own, that share a folder."""
    space = ""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


def is_running(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
