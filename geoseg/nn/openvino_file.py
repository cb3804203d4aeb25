"""Files of OpenVINO's intermediate representation (.xml and .bin) that hold a card."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

from geoseg.errors import BundleError
from geoseg.nn.exported_model import (
    ExportedModel,
    check_digests,
    check_interface,
    read_bytes,
    read_notes,
)

_MOST_XML, _MOST_BIN = 256 << 20, 1 << 36
_MOST_TAGS = 2_000_000
"""Each takes a hundred bytes; the largest networks have some tens of thousands."""


def open_openvino(path: str, weights: str | None = None) -> ExportedModel:
    """Read a network that `geoseg export --format openvino` wrote.

    Args:
        path: The `.xml`.
        weights: The `.bin`; that of the same name where None.

    Raises:
        BundleError: If a file cannot be read, is not such a file, damaged or changed.
    """
    graph = read_bytes(path, _MOST_XML)
    root = _parsed(path, graph)
    if root.find(".//body") is not None:
        raise BundleError(path, "holds branches or loops", "geoseg reads what geoseg export wrote")
    found = root.findall("./rt_info/*")
    card, note = read_notes(path, {each.tag: each.get("value", "") for each in found})
    inputs = [_shape(layer) for layer in root.iterfind("./layers/layer[@type='Parameter']")]
    outputs = [_shape(layer) for layer in root.iterfind("./layers/layer[@type='Result']")]
    check_interface(path, card, inputs, outputs)
    constants = read_bytes(weights or weights_path(path), _MOST_BIN)
    digest = hashlib.sha256(constants)
    check_digests(path, note, digest.hexdigest(), graph_digest(root))
    digest.update(graph)
    return ExportedModel(
        card=card,
        state={},
        path=path,
        sha256=digest.hexdigest(),
        format="openvino",
        graph=graph,
        constants=constants,
        divisor=note.divisor,
    )


def graph_digest(root: ET.Element) -> str:
    """SHA-256 over the layers of a graph and what joins them, however they are indented."""
    whole = hashlib.sha256()
    for part in ("layers", "edges"):
        for element in root.iterfind(f"./{part}//*"):
            text = (element.text or "").strip()
            # In this order the number of children tells which element is whose.
            told = [element.tag, sorted(element.items()), text, len(element)]
            whole.update(json.dumps(told).encode())
    return whole.hexdigest()


def weights_path(path: str | os.PathLike[str]) -> str:
    """The file of the weights beside the `.xml`."""
    return os.fspath(Path(path).with_suffix(".bin"))


def _parsed(path: str, graph: bytes) -> ET.Element:
    # Declared entities may grow without end; OpenVINO writes none.
    # NUL bytes are those of wider encodings, in which the words would not be found.
    if b"<!DOCTYPE" in graph or b"<!ENTITY" in graph or b"\0" in graph:
        cure = "geoseg reads what geoseg export wrote"
        raise BundleError(path, "declares entities, or is no UTF-8", cure)
    if graph.count(b"<") > _MOST_TAGS:
        problem = f"has more than {_MOST_TAGS} tags"
        raise BundleError(path, problem, "geoseg reads what geoseg export wrote")
    try:
        return ET.fromstring(graph)
    except ET.ParseError as error:
        raise BundleError(path, f"is no XML ({error})", "Copy it again") from error


def _shape(layer: ET.Element) -> list[int]:
    """Of the only port of an input or output; 0 for a length that is not fixed."""
    lengths = [length.text or "" for length in layer.iterfind(".//port/dim")]
    return [int(text) if text.isdecimal() else 0 for text in lengths]
