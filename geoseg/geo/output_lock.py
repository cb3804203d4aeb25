"""One process at a time writes an output; a second one is told which and since when.

The lock is the operating system's, on a hidden file beside the output, so it ends with the process
that has it, however that ends. What stands in the file is for people, and for file systems that
know no locks: there a lock is in force as long as the process that is named in it runs.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geoseg.errors import GeosegError, OutputError
from geoseg.geo.lasting import LockedFile, lasting_path
from geoseg.geo.lock_owner import Owner
from geoseg.geo.temporary import remove_all

_held: dict[Path, tuple[LockedFile, int]] = {}
"""Locks of this process by their files, and how many blocks want each."""

_wanted: set[Path] = set()
"""Those that it may have made, also where a signal came before it could keep them in mind."""

_single: set[Path] = set()
"""Those that one block at a time has."""

_guard = threading.RLock()

_swept: set[Path] = set()
"""Folders in which this process has looked for locks of the dead."""


@contextmanager
def writing(output: str | Path) -> Iterator[None]:
    """Have an output for this process alone; blocks within each other, and threads, share it.

    Args:
        output: File or folder to be made; the folder around it must be there.

    Raises:
        OutputError: If another process is writing it.
        WorkError: If the disk has no room even for the lock.
    """
    key = lock_path(output)
    with _guard:
        lock, count = _held.get(key) or (_take(key, output), 0)
        _held[key] = lock, count + 1
    try:
        yield
    finally:
        with _guard:
            lock, count = _held.get(key, (lock, 0))  # There is none in a process forked off.
            if count > 1:
                _held[key] = lock, count - 1
            elif count == 1:
                lock.remove()
                del _held[key]
                _wanted.discard(key)


@contextmanager
def make_folders(files: Iterable[Path]) -> Iterator[None]:
    """Make the folders of some files; if the block fails, those still empty are removed again.

    Raises:
        OutputError: If one cannot be made.
    """
    made: list[Path] = []
    try:
        for folder in dict.fromkeys(file.parent for file in files):
            missing = [place for place in (folder, *folder.parents) if not place.exists()]
            for place in reversed(missing):
                place.mkdir()
                made.append(place)
    except OSError as error:
        _remove_empty(made)
        raise OutputError(folder, f"cannot be made ({error.strerror})", "Name another") from error
    try:
        yield
    except BaseException:
        _remove_empty(made)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextmanager
def only_writer(output: str | Path) -> Iterator[None]:
    """As `writing`, but one block at a time may be in it, also within this process.

    Raises:
        OutputError: If another process, or another block of this one, is writing it.
        WorkError: If the disk has no room even for the lock.
    """
    key = lock_path(output)
    with writing(output):
        with _guard:
            if key in _single:
                owner = Owner.read(key) or "this very process"
                cure = "Wait for it, or write elsewhere"
                raise OutputError(output, f"is being written by {owner}", cure)
            _single.add(key)
        try:
            yield
        finally:
            _single.discard(key)


@contextmanager
def writing_folder(folder: str | Path) -> Iterator[None]:
    """As `writing`, for a folder; the folders around it are made, and removed again on failure.

    Raises:
        OutputError: If another process is writing it, or a folder around it cannot be made.
        WorkError: If the disk has no room even for the lock.
    """
    with make_folders([Path(folder).expanduser()]), writing(folder):
        yield


@contextmanager
def writing_all(outputs: Iterable[Path]) -> Iterator[None]:
    """As `writing`, for several outputs."""
    with contextlib.ExitStack() as stack:
        for output in outputs:
            stack.enter_context(writing(output))
        yield


def lock_path(output: str | Path) -> Path:
    """The file that is locked: beside the output, also where that is `.` or a link to a folder."""
    path = Path(output).expanduser()
    path = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    return lasting_path(path, ".lock")


def abandon() -> None:
    """Remove all that is unfinished, and let others have the outputs: the process is to end."""
    remove_all()
    for lock, _ in list(_held.values()):
        lock.remove()
    for path in list(_wanted):
        if path not in _held:
            LockedFile.remove_own(path)  # a signal came between locking it and noting that
            LockedFile.remove_dead(path)


def _take(path: Path, output: str | Path) -> LockedFile:
    _wanted.add(path)
    try:
        lock = LockedFile(path, output)
    except GeosegError:
        _wanted.discard(path)  # it is another's
        raise
    lock.tell_owner()
    _sweep(path.parent)
    return lock


def _sweep(folder: Path) -> None:
    """Remove the locks of dead processes, once for each folder."""
    if folder in _swept:
        return
    _swept.add(folder)
    for path in folder.glob(".geoseg-keep-*.lock"):
        owner = Owner.read(path)
        if path not in _held and owner is not None and not owner.is_alive:
            LockedFile.remove_dead(path)


def _forget() -> None:
    """A process that was forked off has none of its parent's locks."""
    global _guard  # noqa: PLW0603 - another thread may have had it when the process forked
    _guard = threading.RLock()
    _held.clear()
    _wanted.clear()
    _single.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
