"""When memory that was freed goes back to the system: never between two windows."""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import sys

import torch

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Numbers of glibc's malloc.h."""


@functools.cache
def keep_heap() -> None:
    """Let freed blocks be used again instead of being mapped and cleared anew.

    Every layer of a network on the processor takes and frees blocks of some megabytes. By
    default glibc maps each one freshly, and the kernel clears its pages at first touch, which
    cost a third of the time of a forward pass where it was measured. Does nothing where the C
    library is another one; holds for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1)):
        if not mallopt(parameter, value):
            logger.debug("mallopt(%d) was refused", parameter)
    mallopt(_TOP_PAD, 64 << 20)


def give_back() -> None:
    """Give memory back to the system and the GPU that networks no longer in use had taken."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
