"""Loading PyTorch and what comes with it, in fewer seconds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import what needs PyTorch, without Python looking for garbage in it.

    Python would look again and again through the half million objects that are made meanwhile,
    of which next to none are garbage: a quarter of the time. Nor does it look through them later.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
