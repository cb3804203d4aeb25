"""Trained networks, whatever file they are in."""

from __future__ import annotations

import os
from pathlib import Path

from geoseg.errors import BundleError
from geoseg.nn.bundle import ModelBundle, read_card
from geoseg.nn.card import ModelCard
from geoseg.nn.onnx_file import open_onnx
from geoseg.nn.openvino_file import open_openvino

_EXPORTS = {".onnx", ".xml", ".pt2"}


def open_model(path: str | os.PathLike[str]) -> ModelBundle:
    """Read a bundle, or a network that `geoseg export` made of one.

    Args:
        path: `*.safetensors`, `*.onnx`, or the `*.xml` of OpenVINO.

    Returns:
        A bundle; an `ExportedModel` where it was exported.

    Raises:
        BundleError: If the file is missing, damaged, or none of these.
        ConfigError: If what reads it is not installed.
    """
    path = os.path.expanduser(path)
    match Path(path).suffix.lower():
        case ".onnx":
            return open_onnx(path)
        case ".xml":
            return open_openvino(path)
        case ".pt2":
            problem = "is a program of torch.export, which could run code when it is read"
            raise BundleError(path, problem, "Give the bundle, or export it to ONNX")
        case _:
            return ModelBundle.open(path)


def open_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read what a model tells of itself; of a bundle without its weights.

    Raises:
        BundleError: As `open_model`.
        ConfigError: As `open_model`.
    """
    path = os.path.expanduser(path)
    is_exported = Path(path).suffix.lower() in _EXPORTS
    return open_model(path).card if is_exported else read_card(path)
