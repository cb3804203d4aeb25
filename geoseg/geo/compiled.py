"""The one way in which functions over arrays are compiled."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core.event import Event, Listener, register

from geoseg.geo.user_cache import cache_folder

logger = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_PREFIX = "compiled-"
_USES = b"from geoseg.geo.compiled import"
"""In files whose functions are compiled."""

_KEPT = 4
"""Versions of the compiled code that stay in the user's cache."""


def compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compile a function when it is first called; kept on disk, and run without the GIL.

    Sums stay in the order in which they are written, so results are the same on every machine
    and do not depend on how the work is cut.

    It may use what this or other files with compiled functions hold, but nothing of our other
    ones: only the former are known to be as they were when it was compiled.
    """
    return _compile(function, {})


def inlined(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compile a function that makes no arrays into the compiled functions that call it.

    Handing over many arrays, and counting who refers to them, would take longer than the work.
    What Python needs to call it is left out, as it takes half the time of compiling: it must not
    be called but by compiled functions.
    """
    return _compile(function, {"forceinline": True, "_nrt": False, "no_cpython_wrapper": True})


def _compile(
    function: Callable[_Arguments, _Result], options: dict[str, Any]
) -> Callable[_Arguments, _Result]:
    options |= {"nogil": True, "no_cfunc_wrapper": True}
    with _own_folder() as is_kept:
        made = numba.njit(cache=is_kept, **options)(function)
    return cast("Callable[_Arguments, _Result]", made)


@contextmanager
def _own_folder() -> Iterator[bool]:
    """Let numba keep what it compiles in the user's cache; tells whether it can be kept at all.

    A function of numba's knows when its own file was changed, but neither the functions in other
    files that were compiled into it, nor that a type it takes is gone: then its index cannot even
    be read. So each state of the files with such functions has a folder of its own.
    """
    settings: Any = numba.config
    named = settings.CACHE_DIR
    folder = None if named else _folder()
    if folder is None:
        yield bool(named)
        return
    settings.CACHE_DIR = str(folder)
    try:
        yield True
    finally:
        settings.CACHE_DIR = named


class _News(Listener):
    """Tells once why nothing seems to happen: what was kept is loaded without an event."""

    def __init__(self) -> None:
        self._is_told = False

    def on_start(self, event: Event) -> None:
        """Compiling begins."""
        function = event.data["dispatcher"].py_func
        if not self._is_told and function.__module__.startswith("geoseg."):
            self._is_told = True
            logger.info("compiling for this machine, as after each update; it may take a minute")

    def on_end(self, event: Event) -> None:
        """Compiling has ended."""


register("numba:compile", _News())  # type: ignore[no-untyped-call]


@cache
def _folder() -> Path | None:
    sources = hashlib.sha256(numba.__version__.encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        source = file.read_bytes()
        if file == Path(__file__) or _USES in source:
            sources.update(source)
    folder = cache_folder(f"{_PREFIX}{sources.hexdigest()[:16]}")
    if folder is not None:
        folder.touch()
        others = [other for other in folder.parent.glob(f"{_PREFIX}*") if other != folder]
        others.sort(key=_last_use, reverse=True)
        for old in others[_KEPT - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def _last_use(folder: Path) -> float:
    return folder.stat().st_mtime if folder.exists() else 0.0
