"""Vector files that are none, but point at others: told before OGR opens them.

OGR tells formats by content. Under any suffix a file may be a small text that sends it to another
file or to a server (OGR's VRT, WFS and their like), or that tells it what to compute.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from geoseg.errors import LabelError
from geoseg.geo.remote import is_remote

_HEAD_BYTES = 64 << 10
_POINTER = re.compile(rb"<ogr\w*(?:datasource|layer)\b|gdal_streamed_alg|virtualogr", re.IGNORECASE)
_MOST_MEMBERS, _MOST_RATIO, _FREE_BYTES = 10_000, 200, 256 << 20


def check_vector(path: str) -> None:
    """Refuse a local file that only points at other data, and archives made to burst.

    Args:
        path: A file, folder, URL or `/vsi...` path; only local files are looked at.

    Raises:
        LabelError: If it is such a file, or holds one.
    """
    if is_remote(path) or Path(path).is_dir() or not Path(path).exists():
        return
    if not Path(path).is_file():
        raise LabelError(path, "is a device or pipe", "Write it to a file first")
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
        _check_head(path, head)
        if head.startswith(b"PK\x03\x04"):
            _check_archive(path)
    except OSError as error:
        raise LabelError(path, error.strerror or str(error), "Check the file") from error


def _check_head(path: str, head: bytes) -> None:
    if _POINTER.search(head.replace(b"\0", b"")):
        raise LabelError(path, "points at other data, which is not read", "Name that data itself")


def _check_archive(path: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > max(_MOST_RATIO * Path(path).stat().st_size, _FREE_BYTES):
                raise LabelError(path, f"would grow to {size} bytes", "Unpack it yourself")
            if len(members) > _MOST_MEMBERS:
                raise LabelError(path, f"holds {len(members)} files", "Unpack it yourself")
            for member in members:
                with archive.open(member) as file:
                    _check_head(path, file.read(_HEAD_BYTES))
    except (zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise LabelError(path, f"cannot be unpacked ({error})", "Restore the file") from error
