"""Trained networks, whatever file they are in."""

from __future__ import annotations

import os
from pathlib import Path

from geoseg.errors import BundleError
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.onnx_file import open_onnx
from geoseg.nn.openvino_file import open_openvino


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
    path = os.fspath(path)
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
