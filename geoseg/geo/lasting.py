"""Hidden files that outlive a killed process, so that the next one goes on: names and locks.

Unlike those of `temporary_path`, their names tell the output and no process: the next process
finds them again, and nothing sweeps them away.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time
import weakref
from io import FileIO
from pathlib import Path

from geoseg.errors import OutputError, WorkError
from geoseg.geo.lock_owner import Owner

if sys.platform != "win32":
    import fcntl

_UNKNOWN_TO_SYSTEM = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems without locks answer."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

_PATIENCE = 0.1
"""Seconds until a lock is tried again that belongs to nobody: somebody takes or sweeps it."""


def lasting_path(output: Path, suffix: str) -> Path:
    """A short hidden name beside an output, the same in every process.

    The name is independent of the output's length, which may already be as long as names can be.
    """
    mark = hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16]
    return output.parent / f".geoseg-keep-{mark}{suffix}"


class LockedFile:
    """A file that is open in one process only, and in that one only once.

    Where the file system knows no locks, as some network ones, this is not ensured.

    Args:
        path: The file; made, where it is missing.
        output: Named in errors.

    Raises:
        OutputError: If it is open elsewhere, or cannot be opened.
    """

    def __init__(self, path: Path, output: str | Path) -> None:
        self.path = path
        self.file = _open_locked(path, output)
        _open_files.add(self)

    @staticmethod
    def remove_dead(path: Path) -> None:
        """Remove a file that a dead process had locked, unless somebody has it by now."""
        with contextlib.suppress(OSError, OutputError, WorkError):
            LockedFile(path, path).remove()

    @staticmethod
    def remove_own(path: Path) -> None:
        """Remove a file that this process has open, though nobody may have it in mind yet."""
        for file in list(_open_files):
            if file.path == path:
                file.remove()

    def tell_owner(self) -> None:
        """Write into the file which process has it; it is locked even if that cannot be told."""
        with contextlib.suppress(OSError):
            self.file.truncate(0)
            self.file.seek(0)
            self.file.write(Owner.this().encode())

    def close(self) -> None:
        """Let others have the file."""
        self.file.close()

    def remove(self) -> None:
        """Remove the file, and let others make a new one."""
        # While it is still locked: afterwards it may be theirs.
        if not self.file.closed:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.close()


_open_files: weakref.WeakSet[LockedFile] = weakref.WeakSet()
"""Those of this process."""


def _close_files() -> None:
    """A process that was forked off holds no lock: it may outlive the one that took it."""
    for file in list(_open_files):
        file.close()
    _open_files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_files)


def _open_locked(path: Path, output: str | Path) -> FileIO:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            if error.errno in _FULL:
                problem = f"could not be written ({(error.strerror or '').lower()})"
                raise WorkError(output, problem, "Check the free space") from error
            problem = f"cannot be worked on: {path.name} beside it does not open ({error.strerror})"
            raise OutputError(output, problem, "Remove that file, or write elsewhere") from error
        file = FileIO(handle, "r+")
        try:
            _lock(file, path, output)
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # Its former owner removed it meanwhile.


def _lock(file: FileIO, path: Path, output: str | Path) -> None:
    """Lock an open file."""
    if sys.platform == "win32":
        _refuse_living(path, output)
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PATIENCE)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = Owner.read(path.with_suffix(".lock"))
        raise _taken(output, owner) from error
    except OSError as error:
        if error.errno not in _UNKNOWN_TO_SYSTEM:
            raise OutputError(output, f"cannot be locked ({error.strerror})") from error
        _refuse_living(path, output)


def _refuse_living(path: Path, output: str | Path) -> None:
    """Go by what stands in the file, where the system knows no locks."""
    owner = Owner.read(path)
    if owner is not None and not owner.is_this and owner.is_alive:
        raise _taken(output, owner)


def _taken(output: str | Path, owner: Owner | None) -> OutputError:
    """The error; a lock whose file does not tell it belongs to some process or other."""
    who = owner if owner is not None and owner.is_alive else "another process"
    return OutputError(output, f"is being written by {who}", "Wait for it, or write elsewhere")
