"""Keeping the stack on which a thread's signal handlers run as it was."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    """`stack_t` of Linux; see sigaltstack(2)."""

    _fields_ = (
        ("pointer", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextlib.contextmanager
def same_signal_stack() -> Iterator[None]:
    """Give this thread its signal stack back when the block ends.

    OpenVINO sets one of its own for as long as a compiled model lives, and the one that it found
    when the model goes. Where models go in another order than they came, that is one whose memory
    is free already: the next signal, be it Ctrl-C, would end the process. With this around the
    compilation each model finds, and leaves, the thread's own.
    """
    if sys.platform != "linux":
        yield
        return
    library, before = ctypes.CDLL(None), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
