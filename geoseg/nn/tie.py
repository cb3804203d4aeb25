"""A process that was just started ends when the one that started it is killed.

It imports nothing but Python's own: it is to work before the seconds in which torch is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PARENT_DEATH_SIGNAL = 1
"""Linux's PR_SET_PDEATHSIG."""


class Tie:
    """Ties the process in which it is unpickled to the one in which it was pickled.

    Arguments of a process are unpickled one after the other, before its function is called: what
    stands behind a tie, and the modules that it needs, find the process tied already.
    """

    def __reduce__(self) -> tuple[Callable[[int], Tie], tuple[int]]:
        return _tie_to, (os.getpid(),)


def _tie_to(parent: int) -> Tie:
    die_with_parent()
    end_as_orphan(parent)
    return Tie()


def die_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends; see prctl(2).

    Elsewhere nothing happens: a process has to look for its parent once it has begun.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def end_as_orphan(parent: int) -> None:
    """End this process if the one that started it has ended."""
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)


def begin_tied(tie: Tie, function: Callable[..., object], *arguments: object) -> None:
    """Call a function in a process that is tied by now."""
    del tie
    function(*arguments)
