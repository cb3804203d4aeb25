"""What a VRT (a small XML file that points at other rasters) may point at.

A VRT from elsewhere can name any file of this machine, a URL, or Python code. GDAL's own guards
differ by version, so the file is read before GDAL opens it. GDAL takes names of elements without
regard to case, and an attribute for an element of that name; so does this check.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from geoseg.errors import SceneError
from geoseg.geo.remote import is_served
from geoseg.geo.side_files import CURE, IMAGE_MARKS, check_side_files, head_of

MAX_BYTES = 64 << 20
"""A VRT over a hundred thousand sources stays below this."""

_MOST_TAGS = 4_000_000
"""As many sources take a million; expat needs two microseconds for each."""

_MOST_DEPTH = 100
"""Elements within elements; GDAL writes six."""

_SOURCE_TAGS = {"sourcefilename", "sourcedataset"}
_CODE_TAGS = {"pixelfunctioncode", "pixelfunctionlanguage"}
_FILE_TAGS = {"dempath"}
_FILE_KEYS = {"x_dataset", "y_dataset", "overview_file"}
_PLAIN_KINDS = {"vrtwarpeddataset", "vrtpansharpeneddataset", "vrtwarpedrasterband"} | {
    "vrtsourcedrasterband",
    "vrtderivedrasterband",
    "vrtpansharpenedrasterband",
}
_REMOTE_CURE = "Give --allow-remote if you know where it comes from"
_REMOTE_MARKS = ("://", "/vsi", "\\\\")


def check_vrt(path: Path, *, allow_remote: bool = False) -> None:
    """Refuse a VRT that reaches out of its own folder, or whose sources are missing.

    Args:
        path: The VRT; VRTs among its sources are checked too.
        allow_remote: Whether sources may be URLs; what is behind them cannot be checked.

    Raises:
        SceneError: If it is no sound XML, holds code, raw bands, remote or absolute-elsewhere
            sources, sources that are no plain images, or names one that does not exist.
    """
    root = path.resolve().parent
    seen, waiting = {path.resolve()}, [path.resolve()]
    while waiting:
        found = set(_nested(waiting.pop(), root, allow_remote=allow_remote))
        waiting += found - seen
        seen |= found


def _nested(path: Path, root: Path, *, allow_remote: bool) -> Iterator[Path]:
    """Check one VRT; yields the VRTs among its sources."""
    for element in _parse(path):
        tag = _plain(element.tag)
        _check_element(path, tag, element)
        if tag in _SOURCE_TAGS and not _is_allowed_url(path, element, allow=allow_remote):
            source = _source_path(path, element, root)
            if _is_vrt(path, source):
                yield source


def _parse(path: Path) -> Iterator[ElementTree.Element]:
    """The elements, inner ones first, each of which is forgotten after it was looked at."""
    if path.stat().st_size > MAX_BYTES:
        raise SceneError(path, f"is larger than {MAX_BYTES >> 20} MiB, no VRT is", "Check it")
    text = path.read_bytes()
    if b"\0" in text:  # UTF-16, which GDAL does not read either, would hide what follows.
        raise SceneError(path, "is not a VRT (it holds binary data)", "Check the file")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise SceneError(path, "declares XML entities", "Remove them")
    if text.count(b"<") > _MOST_TAGS:
        raise SceneError(path, f"has more than {_MOST_TAGS} tags, no VRT has", "Check it")
    open_elements: list[ElementTree.Element] = []
    try:
        for event, element in ElementTree.iterparse(BytesIO(text), ("start", "end")):
            if event == "start":
                open_elements.append(element)
            else:
                open_elements.pop()
                yield element
                if open_elements:
                    open_elements[-1].remove(element)
            if len(open_elements) > _MOST_DEPTH:
                raise SceneError(path, "is nested more deeply than any VRT", "Check it")
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SceneError(path, f"is not a VRT ({error})", "Check the file") from error


def _check_element(vrt: Path, tag: str, element: ElementTree.Element) -> None:
    attributes = {_plain(key): value for key, value in element.attrib.items()}
    names = {tag, *attributes}
    if names & _CODE_TAGS:
        raise SceneError(vrt, "holds program code", CURE)
    kind = attributes.get("subclass", "")
    if "raw" in kind.lower() or tag == "subclass":
        raise SceneError(vrt, "reads raw bytes of another file", CURE)
    if kind and kind.lower() not in _PLAIN_KINDS:
        raise SceneError(vrt, f"is of an unusual kind ({kind})", CURE)
    is_hidden = _SOURCE_TAGS & set(attributes) or tag == "relativetovrt"
    if is_hidden or names & _FILE_TAGS or attributes.get("key", "").lower() in _FILE_KEYS:
        raise SceneError(vrt, "names a file in an unusual place", CURE)


def _is_allowed_url(vrt: Path, element: ElementTree.Element, *, allow: bool) -> bool:
    """Whether a source is at a URL that may be read.

    Raises:
        SceneError: If it is at one, and may not.
    """
    name = (element.text or "").strip()
    relative = {_plain(key): value.strip() for key, value in element.attrib.items()}
    is_url = is_served(name) and relative.get("relativetovrt", "0") == "0"
    if is_url and not allow:
        raise SceneError(vrt, f"has a source that is not a plain file: {name}", _REMOTE_CURE)
    return is_url


def _source_path(vrt: Path, element: ElementTree.Element, root: Path) -> Path:
    name = (element.text or "").strip()
    if any(mark in name.lower() for mark in _REMOTE_MARKS) or _names_a_driver(name):
        raise SceneError(vrt, f"has a source that is not a plain file: {name}", CURE)
    attributes = {_plain(key): value.strip() for key, value in element.attrib.items()}
    relative = attributes.get("relativetovrt", "0")
    if relative not in {"0", "1"}:
        raise SceneError(vrt, f"has relativeToVRT={relative!r}, 0 or 1 is known", CURE)
    try:
        source = ((vrt.parent if relative == "1" else Path.cwd()) / name).resolve()
        is_file = source.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, or a link to itself
        raise SceneError(vrt, f"has a source that cannot be: {name[:200]}", "Check it") from error
    if not source.is_relative_to(root):
        raise SceneError(vrt, f"has a source outside its folder: {name}", CURE)
    if not is_file:
        raise SceneError(vrt, f"has a source that does not exist: {name}", "Restore it")
    return source


def _is_vrt(vrt: Path, source: Path) -> bool:
    """Whether GDAL would open a source as a VRT, which it tells by content, not by name."""
    head = head_of(source)
    if b"<vrtdataset" in head.lower():
        return True
    if not head.startswith(IMAGE_MARKS):
        raise SceneError(vrt, f"has a source that is no plain image: {source.name}", CURE)
    check_side_files(source)
    return False


def _plain(name: str) -> str:
    """An XML name without namespace, in lower case."""
    return name.rpartition("}")[2].lower()


def _names_a_driver(name: str) -> bool:
    """Whether GDAL would take the name for a driver's own syntax, as in `GPKG:file:table`."""
    head, colon, _ = name.partition(":")
    return bool(colon) and len(head) > 1
