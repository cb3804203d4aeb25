"""Reading over a network: GDAL's settings for it, and reading again what came damaged.

GDAL asks again by itself where a server is busy or a connection breaks. An answer that ends too
early it takes for the end of the file, and keeps it: only a new handle that keeps nothing helps.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import rasterio
from rasterio.env import get_gdal_config, set_gdal_config

from geoseg.errors import SceneError

T = TypeVar("T")

DEFAULTS = {
    # Side files are asked for by name. Else GDAL lists the whole folder, or bucket, for them.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    # 0.5, 1, 2, 5 and 11 s and a bit, for the answers 429, 500, 502, 503, 504 and lost connections.
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    # A connection that brings nothing for so many seconds is given up.
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}
"""Settings of GDAL where neither the environment nor the program has any."""

_FILE_SYSTEMS = {
    "https": "/vsicurl/https://",
    "http": "/vsicurl/http://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}

_SERVED = re.compile(r"(/vsicurl/https?://|/vsi(s3|gs|az)/|https?://)[^?\s]\S*", re.IGNORECASE)

_PAUSES = (0.0, 0.5, 2.0)
"""Seconds before reading again; before the first time only the handle is made anew."""

_ASKED_BY_GDAL = "HTTP response code"
"""What GDAL's error says where a server answered so that asking again is of no use, or was done."""

_KEEP_NOTHING = {"CPL_VSIL_CURL_NON_CACHED": "/vsi"}
"""Handles opened under this let GDAL forget what it had of their files when they are closed."""


def is_remote(path: str) -> bool:
    """Whether GDAL reads `path` through its virtual file systems (a URL or `/vsi...`)."""
    return "://" in path or path.startswith("/vsi")


def vsi_path(path: str) -> str:
    """What GDAL calls a URL, where it does not take that itself.

    Raises:
        SceneError: If it is none that GDAL's network file systems read.
    """
    scheme, mark, rest = path.partition("://")
    if not mark or path.startswith("/vsi"):
        return path
    if scheme.lower() not in _FILE_SYSTEMS:
        known = ", ".join(f"{name}://" for name in _FILE_SYSTEMS)
        raise SceneError(path, "is at a URL of another kind", f"Give one of {known}")
    return _FILE_SYSTEMS[scheme.lower()] + rest


def is_served(path: str) -> bool:
    """Whether GDAL's name of a file leads to a server, and by no chain of file systems back here.

    Args:
        path: As `vsi_path` gives it, or a URL of HTTP.
    """
    return _SERVED.fullmatch(path) is not None


def file_name(path: str) -> str:
    """Name of a file without its folders; of one at a URL also without its query, often a key."""
    return Path(path.partition("?")[0] if "://" in path else path).name


def set_remote_defaults() -> None:
    """Give GDAL what nobody else has told it about networks, for the thread that calls this.

    Threads open what they read themselves. The environment, which all of them would see, cannot
    be changed safely while others are running.
    """
    for key, value in DEFAULTS.items():
        if get_gdal_config(key, normalize=False) is None:
            set_gdal_config(key, value)


def read_patiently(
    read: Callable[[], T],
    forget: Callable[[], None],
    errors: tuple[type[BaseException], ...],
) -> T:
    """Read what may be remote, and read it again after an error.

    Args:
        read: Opens what is not open, and reads.
        forget: Closes what `read` has opened.
        errors: What damaged data and lost connections arrive as.

    Returns:
        What `read` gives.

    Raises:
        BaseException: The last of `errors`.
    """
    scope: AbstractContextManager[object] = nullcontext()
    for pause in _PAUSES:
        try:
            with scope:
                return read()
        except errors as error:
            if _ASKED_BY_GDAL in str(error):
                raise
            scope = rasterio.Env(**_KEEP_NOTHING)
            forget()
            time.sleep(pause)
    with scope:
        return read()
