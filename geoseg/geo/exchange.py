"""Two folders or files change names in one step, so that at no moment one of the names is missing.

Python's `os` has no call for it: `rename` replaces a folder only if that is empty.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_HERE = -100
"""Linux's AT_FDCWD: paths count from the folder the process is in."""

_EXCHANGE = 2
"""Linux's RENAME_EXCHANGE."""


def exchange(one: Path, other: Path) -> bool:
    """Give each of two paths, which exist and are on one file system, the name of the other.

    Source: renameat2(2), which Linux has since 3.15.

    Returns:
        Whether that was done; False where the system or the file system cannot, with both paths
        as they were.
    """
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:  # a C library older than the call
        return False
    paths = (os.fsencode(one), os.fsencode(other))
    return bool(rename(_HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0)
