"""The folder in which compiled code is kept from one run to the next.

To load compiled code is to run it: only folders that belong to the user, and that nobody else may
write to, are used.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)


def cache_folder(name: str) -> Path | None:
    """A folder of the user's own cache, made if need be.

    Args:
        name: What it is for.

    Returns:
        `$XDG_CACHE_HOME/geoseg/<name>` or `~/.cache/geoseg/<name>`; None if it cannot be had, or
        does not belong to the user alone.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME", "")
        top = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "geoseg"
        for folder in (top, top / name):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_own(folder):
                logger.debug("%s is not the user's alone; nothing is kept in it", folder)
                return None
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        logger.debug("no cache of compiled code (%s)", error)
        return None
    return top / name


def _is_own(folder: Path) -> bool:
    status = folder.lstat()
    others_write = stat.S_IWGRP | stat.S_IWOTH
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & others_write
        and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    )
