"""How every output is written: refused early, made beside the target, checked, then renamed.

A process that is killed leaves at most a hidden temporary file, never an unfinished one under
a final name; the next run in that folder removes what dead processes left.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geoseg.errors import OutputError, WorkError

_counter = itertools.count()
_TEMPORARY_NAME = re.compile(r"^\.geoseg-(\d+)-\d+")


def check_output(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Path:
    """Refuse an output that must not or cannot be written, before any work is done.

    Args:
        path: The file to be written.
        overwrite: Whether an existing file may be replaced.
        inputs: Files that are read; the output must be none of them, links followed.

    Returns:
        The output's path.

    Raises:
        OutputError: If the file exists and `overwrite` is not set, is a folder or an input,
            or if its folder is missing or cannot be written.
    """
    path = Path(path).expanduser()
    if not path.parent.is_dir():
        raise OutputError(path, f"folder {path.parent} does not exist", "Make it first")
    if path.is_dir():
        raise OutputError(path, "is a folder, a file is wanted", "Name a file in it")
    _refuse_input(path, inputs)
    if path.exists() and not overwrite:
        raise OutputError(path, "already exists", "Give --overwrite to replace it")
    _check_writable(path.parent)
    return path


def check_output_folder(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Path:
    """Refuse an output folder that must not or cannot be made; the folder is not made yet.

    Raises:
        OutputError: If the folder has content and `overwrite` is not set, is a file or holds
            an input, or if the folder around it cannot be written.
    """
    path = Path(path).expanduser()
    if path.exists() and not path.is_dir():
        raise OutputError(path, "is a file, a folder is wanted", "Name another folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(path, "already exists and is not empty", "Give --overwrite to replace it")
    for source in inputs:
        source = Path(source)
        if path.is_dir() and source.exists() and path.resolve() in source.resolve().parents:
            raise OutputError(path, f"holds the input {source}", "Name another folder")
    _check_writable(_existing_parent(path))
    return path


@contextmanager
def publish(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and takes its name.

    The caller has called `check_output` before. The temporary path bears the suffix of `path`
    (many drivers go by it), and is removed, with GDAL's side files, when the block fails.

    Raises:
        WorkError: If the block left no file, or the file system fails.
    """
    path = Path(path).expanduser()
    temporary = temporary_path(path)
    try:
        yield temporary
        if not temporary.exists():
            raise WorkError(path, "nothing was written")
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise WorkError(path, error.strerror or str(error), "Check the disk") from error
    finally:
        remove_temporary(temporary)


@contextmanager
def publish_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it takes the place of `path`.

    The caller has called `check_output_folder` before.

    Raises:
        WorkError: If the file system fails.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        if path.exists():
            old = temporary_path(path)
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise WorkError(path, error.strerror or str(error), "Check the disk") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(path: Path) -> Path:
    """A short hidden name in the folder of `path`, with its suffix; clears dead ones there.

    The name is independent of the target's, which may already be as long as names can be.
    """
    _remove_stale(path.parent)
    return path.parent / f".geoseg-{os.getpid()}-{next(_counter)}{path.suffix}"


def remove_temporary(path: Path) -> None:
    """Remove a temporary file with the side files that GDAL and SQLite put beside it."""
    for suffix in ("", ".aux.xml", ".msk", ".ovr", ".ovr.tmp", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _refuse_input(path: Path, inputs: Iterable[str | Path]) -> None:
    if not path.exists():
        return
    for source in inputs:
        if os.path.exists(source) and os.path.samefile(path, source):
            raise OutputError(path, "is the input itself", "Name another output")


def _existing_parent(path: Path) -> Path:
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(folder, "cannot be written to", "Choose a folder you may write to")


def _remove_stale(folder: Path) -> None:
    for entry in folder.glob(".geoseg-*"):
        match = _TEMPORARY_NAME.match(entry.name)
        if match and not _is_running(int(match.group(1))):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
