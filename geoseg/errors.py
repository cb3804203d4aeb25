"""Every error that geoseg raises on purpose.

::

    GeosegError                 base; the command line ends with `exit_code`
    |-- InputError              2: the user can mend it (a file, an option, a key)
    |   |-- SceneError          a raster that cannot be read or does not fit
    |   |-- LabelError          labels that cannot be read or do not fit
    |   |-- LegendError         a legend that contradicts itself or the data
    |   |-- ConfigError         a key or value of a configuration or an option
    |   |-- TileSetError        a folder that is not a (whole) tile set
    |   |-- BundleError         a model file that cannot be used, or not on this scene
    |   `-- OutputError         a place where the output cannot or must not be written
    `-- WorkError               1: the work itself failed (disk full, NaN, killed worker)

Anything else that escapes is a defect of geoseg.
"""

from __future__ import annotations

import re
from typing import ClassVar

_NO_MEMORY = re.compile(r"out ?of ?memory|allocate memory|bad.alloc|ALLOC_FAILED", re.IGNORECASE)
"""What allocators say: of CUDA, cuDNN and cuBLAS, PyTorch on a processor, C++, ONNX Runtime."""

_URL_USER = re.compile(r"(?<=://)[^\s/?#]*@")
"""The name and key before the host: `scheme://name:key@host/path?signature=key`."""

_URL = re.compile(r"(?:[a-z0-9+.-]://[^\s?]*|/vsi\w*)(?P<query>\?\S*)?", re.IGNORECASE)
"""URLs from the end of their scheme on. Texts may be long, and hostile: no part is tried twice."""

_CLOSING = "])}'\"<>,;:."
"""What stands behind a URL in a sentence."""


class GeosegError(Exception):
    """An error that tells its cause and its cure in one line.

    Args:
        subject: The file, key or option that is wrong, as the user wrote it.
        problem: What was found, and what was expected; no capital, no full stop.
        cure: What to do about it; a sentence without full stop, or nothing.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, subject: object, problem: str = "", cure: str = "") -> None:
        super().__init__(subject, problem, cure)
        self.subject = str(subject)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        text = f"{self.subject}: {self.problem}" if self.problem else self.subject
        if self.cure:
            text = f"{text.rstrip('. ')}. {self.cure.rstrip('. ')}."
        return " ".join(printable(text).split())


class InputError(GeosegError):
    """Bad input or usage, which the user can mend."""

    exit_code = 2


class SceneError(InputError):
    """A scene that cannot be read, or that does not fit what is asked of it."""


class LabelError(InputError):
    """Labels that cannot be read, or that do not fit the scene or the legend."""


class LegendError(InputError):
    """A legend that cannot be read, or that contradicts itself or the data."""


class ConfigError(InputError):
    """A wrong key or value in a configuration, or a wrong option."""


class TileSetError(InputError):
    """A folder that is not a tile set, or not a whole one."""


class BundleError(InputError):
    """A model bundle that cannot be read, or that does not fit the scene."""


class OutputError(InputError):
    """An output that cannot, or must not, be written where the user asked."""


class WorkError(GeosegError):
    """The work itself failed, though the input was right."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure means that there was not enough memory, of a processor or of a GPU.

    Libraries tell it by errors of many types, some of them by the text alone.
    """
    if isinstance(error, GeosegError):
        return False
    return isinstance(error, MemoryError) or bool(
        _NO_MEMORY.search(f"{type(error).__name__}: {error}")
    )


def printable(text: str) -> str:
    """Make a text fit to be shown, and kept in logs.

    Control characters are escaped, so that a hostile name cannot drive the terminal; of URLs it
    is left out what may be a key: the user before the host, and the query.
    """
    shown = _URL.sub(_without_query, _URL_USER.sub("", text))
    return "".join(c if c.isprintable() or c in "\n\t " else repr(c)[1:-1] for c in shown)


def _without_query(url: re.Match[str]) -> str:
    text, query = url[0], url["query"] or ""
    if not query:
        return text
    behind = query[len(query.rstrip(_CLOSING)) :]
    return f"{text.removesuffix(query)}?...{behind}"
