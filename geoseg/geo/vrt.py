"""What a VRT (a small XML file that points at other rasters) may point at.

A VRT from elsewhere can name any file of this machine, a URL, or Python code. GDAL's own guards
differ by version, so the file is read before GDAL opens it.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from geoseg.errors import SceneError

MAX_BYTES = 64 << 20
"""A VRT over a hundred thousand sources stays below this."""

_SOURCE_TAGS = {"SourceFilename", "SourceDataset"}
_CODE_TAGS = {"PixelFunctionCode", "PixelFunctionLanguage"}
_REMOTE_MARKS = ("://", "/vsi", "\\\\")
_CURE = "Give --trust-vrt if you know where it comes from"


def check_vrt(path: Path) -> None:
    """Refuse a VRT that reaches out of its own folder, or whose sources are missing.

    Args:
        path: The VRT; VRTs among its sources are checked too.

    Raises:
        SceneError: If it is no sound XML, holds code, raw bands, remote or absolute-elsewhere
            sources, or names a source that does not exist.
    """
    _check(path.resolve(), path.resolve().parent, depth=0)


def _check(path: Path, root: Path, depth: int) -> None:
    if depth > 8:
        raise SceneError(path, "VRTs refer to each other too deeply", "Flatten them")
    for element in _parse(path).iter():
        if element.tag in _CODE_TAGS:
            raise SceneError(path, "holds program code", _CURE)
        if element.get("subClass") == "VRTRawRasterBand":
            raise SceneError(path, "reads raw bytes of another file", _CURE)
        if element.tag in _SOURCE_TAGS:
            source = _source_path(path, element, root)
            if source.suffix.lower() == ".vrt":
                _check(source, root, depth + 1)


def _parse(path: Path) -> ElementTree.Element:
    if path.stat().st_size > MAX_BYTES:
        raise SceneError(path, f"is larger than {MAX_BYTES >> 20} MiB, no VRT is", "Check it")
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise SceneError(path, "declares XML entities", "Remove them")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SceneError(path, f"is not a VRT ({error})", "Check the file") from error


def _source_path(vrt: Path, element: ElementTree.Element, root: Path) -> Path:
    name = (element.text or "").strip()
    if any(mark in name.lower() for mark in _REMOTE_MARKS) or _names_a_driver(name):
        raise SceneError(vrt, f"has a source that is not a plain file: {name}", _CURE)
    source = (vrt.parent / name).resolve()
    if not source.is_relative_to(root):
        raise SceneError(vrt, f"has a source outside its folder: {name}", _CURE)
    if not source.exists():
        raise SceneError(vrt, f"has a source that does not exist: {name}", "Restore it")
    return source


def _names_a_driver(name: str) -> bool:
    """Whether GDAL would take the name for a driver's own syntax, as in `GPKG:file:table`."""
    head, colon, _ = name.partition(":")
    return bool(colon) and len(head) > 1
