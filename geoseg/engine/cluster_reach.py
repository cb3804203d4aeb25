"""What a file may have a worker ask of other machines: no more than where the order comes from.

A file may tell GDAL of overviews or sources elsewhere in more ways than can be looked for. The
command line keeps GDAL from asking for them by a variable, which workers that somebody else has
started do not have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ONLY_REMOTE = "CPL_VSIL_CURL_ALLOWED_FILENAME"
"""GDAL's option, in the environment, of the one remote file that may be read."""


def allowed_remote() -> str | None:
    """The one remote file that this process may read; None where it may read all."""
    return os.environ.get(_ONLY_REMOTE)


@contextmanager
def reaching(allowed: str | None) -> Iterator[None]:
    """Ask no more of other machines than the process that gives an order may.

    All threads see it: one order at a time.

    Args:
        allowed: As `allowed_remote` tells it there.
    """
    before = allowed_remote()
    _set(allowed)
    try:
        yield
    finally:
        _set(before)


def _set(allowed: str | None) -> None:
    if allowed == allowed_remote():  # other threads may be reading the environment
        return
    if allowed is None:
        del os.environ[_ONLY_REMOTE]
    else:
        os.environ[_ONLY_REMOTE] = allowed
