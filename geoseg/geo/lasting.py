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
from io import FileIO
from pathlib import Path

from geoseg.errors import OutputError

if sys.platform != "win32":
    import fcntl

_UNKNOWN_TO_SYSTEM = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems without locks answer."""


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


def _open_locked(path: Path, output: str | Path) -> FileIO:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            problem = f"cannot be worked on: {path.name} beside it does not open ({error.strerror})"
            raise OutputError(output, problem, "Remove that file, or write elsewhere") from error
        file = FileIO(handle, "r+")
        try:
            _lock(file, output)
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # Its former owner removed it meanwhile.


def _lock(file: FileIO, output: str | Path) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            output, "is being written by another process", "Wait for it, or write elsewhere"
        ) from error
    except OSError as error:
        if error.errno not in _UNKNOWN_TO_SYSTEM:
            raise OutputError(output, f"cannot be locked ({error.strerror})") from error
