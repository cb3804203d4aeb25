"""Compiled networks that are kept on disk from one run to the next.

To load a compiled network is to run code: they lie in folders of the user alone.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

from geoseg.geo.user_cache import cache_folder

logger = logging.getLogger(__name__)

_INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"

MOST_BYTES = 2 << 30
"""Of all models that are kept; those that were not used for the longest time go."""


def keep_inductor_code() -> None:
    """Let `torch.compile` keep its code in the user's cache, unless the user named a folder.

    By default it lies in the folder of temporary files, where it does not outlive a restart of
    the machine. Where the user has no cache a folder of this process alone takes its place.
    """
    named = os.environ.get(_INDUCTOR, "")
    if named and not _is_default(Path(named)):
        return
    folder = cache_folder("inductor")
    if folder is None:
        try:
            temporary = tempfile.TemporaryDirectory(prefix="geoseg-", ignore_cleanup_errors=True)
        except OSError:
            return  # torch tells it better
        atexit.register(temporary.cleanup)
        folder = Path(temporary.name)
    os.environ[_INDUCTOR] = str(folder)


def _is_default(folder: Path) -> bool:
    """Whether torch set this itself, as it does when parts of it are loaded."""
    temporary = Path(tempfile.gettempdir()).absolute()
    return folder.parent == temporary and folder.name.startswith("torchinductor_")


class ModelCache:
    """Converted networks by what they were made from; nothing that fails here is an error.

    Args:
        name: Of the run-time.
        key: All that the converted network depends on; nothing is kept where it is empty.
    """

    def __init__(self, name: str, key: tuple[object, ...]) -> None:
        folder = cache_folder(name) if key else None
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        self._path = None if folder is None else folder / f"{digest[:40]}.bin"

    def load(self) -> bytes | None:
        """What was stored under this key."""
        if self._path is None:
            return None
        try:
            data = self._path.read_bytes()
            os.utime(self._path)
        except OSError:
            return None
        digest, body = data[:32], data[32:]
        return body if digest == hashlib.sha256(body).digest() else None

    def store(self, data: bytes) -> None:
        """Keep it; half a file never bears the name."""
        if self._path is None or len(data) > MOST_BYTES // 4:
            return
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=self._path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            Path(temporary).replace(self._path)
        except OSError as error:
            logger.debug("%s was not kept (%s)", self._path, error)
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
        self._prune(self._path.parent)

    def _prune(self, folder: Path) -> None:
        """Forget the models that were not used for the longest time."""
        with contextlib.suppress(OSError):
            files = sorted(
                ((file.stat().st_mtime, file.stat().st_size, file) for file in folder.iterdir()),
                reverse=True,
            )
            total = 0
            for _, size, file in files:
                total += size
                if total > MOST_BYTES:
                    file.unlink(missing_ok=True)
