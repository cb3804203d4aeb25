"""Files beside a raster that GDAL opens with it: overviews, masks, and what it is told of them.

GDAL opens `scene.tif.ovr` and `scene.tif.msk` by what is in them, which may be a VRT of URLs, and
whatever `scene.tif.aux.xml` calls its overviews. So they are looked at before GDAL does.
"""

from __future__ import annotations

import html
from functools import lru_cache
from pathlib import Path

from geoseg.errors import SceneError

IMAGE_MARKS = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, BigTIFF
    *(b"\x89PNG", b"\xff\xd8\xff", b"EHFA_HEADER_TAG"),  # PNG, JPEG, Erdas Imagine
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),  # JPEG 2000
)
"""How files begin that hold pixels and point at no others."""

CURE = "Give --trust-vrt if you know where it comes from"

_HEAD_BYTES = 4096
_MOST_BYTES = 64 << 20
_IMAGES, _NOTES = (".ovr", ".msk"), ".aux.xml"


def check_side_files(path: Path) -> None:
    """Refuse overviews and masks beside a raster that would lead GDAL elsewhere.

    Args:
        path: A local raster.

    Raises:
        SceneError: If one is no plain image, or names others.
    """
    try:
        known = _side_files(str(path.parent), path.parent.stat().st_mtime_ns)
    except OSError:  # a folder that may be entered but not listed: GDAL finds none there either
        return
    for name in {path.name.lower(), path.stem.lower()}:
        for suffix in _IMAGES:
            side = known.get(name + suffix)
            if side is not None and side != path:
                if not head_of(side).startswith(IMAGE_MARKS):
                    raise SceneError(side, "is no plain image", f"Remove it, or {_lower(CURE)}")
                check_side_files(side)
        notes = known.get(name + _NOTES)
        if notes is not None and _tells_of_overviews(notes):
            raise SceneError(notes, "names a file of overviews", f"Remove it, or {_lower(CURE)}")


def head_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


@lru_cache(maxsize=64)
def _side_files(folder: str, changed: int) -> dict[str, Path]:  # noqa: ARG001 - part of the key
    """Side files of a folder by their names in lower case, as GDAL finds them."""
    return {
        path.name.lower(): path
        for path in Path(folder).iterdir()
        if path.name.lower().endswith((*_IMAGES, _NOTES)) and path.is_file()
    }


def _tells_of_overviews(notes: Path) -> bool:
    if notes.stat().st_size > _MOST_BYTES:
        raise SceneError(notes, f"is larger than {_MOST_BYTES >> 20} MiB", "Remove it")
    text = notes.read_text(encoding="latin-1")
    return "overview_file" in html.unescape(text).lower()


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
