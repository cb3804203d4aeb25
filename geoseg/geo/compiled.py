"""The one way in which functions over arrays are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compile a function when it is first called; kept on disk, and run without the GIL.

    Sums stay in the order in which they are written, so results are the same on every machine
    and do not depend on how the work is cut.
    """
    return cast("Callable[_Arguments, _Result]", numba.njit(cache=True, nogil=True)(function))


def inlined(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compile a function that makes no arrays into the compiled functions that call it.

    Handing over many arrays, and counting who refers to them, would take longer than the work.
    """
    options: dict[str, Any] = {"cache": True, "nogil": True, "forceinline": True, "_nrt": False}
    return cast("Callable[_Arguments, _Result]", numba.njit(**options)(function))
