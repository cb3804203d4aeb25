"""ONNX files that hold a card: written as one file, and read without trusting them.

An ONNX graph can hold no code, but it can name other files for its weights, operators of plug-ins,
and loops without end. `geoseg export` writes none of these, so a file with any is refused.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from geoseg.errors import BundleError, ConfigError
from geoseg.nn.exported_model import (
    ExportedModel,
    check_digests,
    check_interface,
    read_bytes,
    read_notes,
)

MOST_BYTES = (1 << 31) - 1
"""Of an ONNX file, which is one message of protobuf."""

_DOMAINS = {"", "ai.onnx"}
"""Of the operators; others may be those of plug-ins."""


def open_onnx(path: str) -> ExportedModel:
    """Read an ONNX file that `geoseg export` wrote.

    Raises:
        BundleError: If it cannot be read, is not such a file, damaged or changed, or holds what
            is not trusted.
        ConfigError: If onnx is not installed.
    """
    content = read_bytes(path, MOST_BYTES)
    model = _parsed(path, content)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    card, note = read_notes(path, entries)
    _check_graph(path, model)
    inputs, outputs = ([_shape(each) for each in part] for part in _interface(model))
    check_interface(path, card, inputs, outputs)
    check_digests(path, note, weights_digest(model), graph_digest(model))
    return ExportedModel(
        card=card,
        state={},
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        format="onnx",
        graph=content,
        divisor=note.divisor,
    )


def weights_digest(model: Any) -> str:  # noqa: ANN401 - onnx publishes no hints
    """SHA-256 over names, shapes, types and values of the constants of a graph."""
    whole = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda each: str(each.name)):
        head = f"{tensor.name}\n{list(tensor.dims)}\n{tensor.data_type}\n"
        whole.update(head.encode("utf-8"))
        whole.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return whole.hexdigest()


def graph_digest(model: Any) -> str:  # noqa: ANN401 - as above
    """SHA-256 over all but the constants: operators in their order, inputs, outputs, versions."""
    whole = hashlib.sha256()
    graph = model.graph
    for messages in (model.opset_import, graph.node, graph.input, graph.output):
        whole.update(f"{len(messages)}\n".encode())
        for message in messages:
            content = message.SerializeToString(deterministic=True)
            whole.update(f"{len(content)}\n".encode())
            whole.update(content)
    return whole.hexdigest()


def with_metadata(model: Any, entries: Mapping[str, str]) -> bytes:  # noqa: ANN401 - as above
    """The file's content, with entries in place of those it has."""
    del model.metadata_props[:]
    for key, value in entries.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = model.SerializeToString()
    return content


def _parsed(path: str, content: bytes) -> Any:  # noqa: ANN401 - as above
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError(path, "onnx, which reads it, is not installed", "Install geoseg[onnx]")
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError) as error:
        raise BundleError(path, "is no ONNX file, or damaged", "Copy it again") from error
    if not model.graph.node:
        raise BundleError(path, "is no ONNX file, or an empty one", "Copy it again")
    return model


def _check_graph(path: str, model: Any) -> None:  # noqa: ANN401 - as above
    """Refuse weights in other files, operators of plug-ins, functions and branches."""
    cure = "geoseg reads what geoseg export wrote"
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise BundleError(path, "holds functions or more than a graph", cure)
    attributes = [each for node in model.graph.node for each in node.attribute]
    tensors = [*model.graph.initializer, *(each.t for each in attributes)]
    tensors += [tensor for each in attributes for tensor in each.tensors]
    if any(tensor.data_location or tensor.external_data for tensor in tensors):
        raise BundleError(path, "wants weights of other files, which are not read", cure)
    if any(node.domain not in _DOMAINS for node in model.graph.node):
        raise BundleError(path, "holds operators that are not those of ONNX itself", cure)
    if any(each.HasField("g") or each.graphs for each in attributes):
        raise BundleError(path, "holds branches or loops", cure)


def _interface(model: Any) -> tuple[list[Any], list[Any]]:  # noqa: ANN401 - as above
    """What the graph takes and gives; old files list weights among the inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    return inputs, list(model.graph.output)


def _shape(value: Any) -> list[int]:  # noqa: ANN401 - as above
    return [int(length.dim_value) for length in value.type.tensor_type.shape.dim]
