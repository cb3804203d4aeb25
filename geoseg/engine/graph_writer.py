"""Writes networks as graphs for other run-times, with all before and after them inside."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import torch
from torch import Tensor, nn

from geoseg.engine.backends import first_line
from geoseg.engine.onnx_backend import quiet_export
from geoseg.engine.window_network import activate
from geoseg.errors import ConfigError, WorkError
from geoseg.nn import openvino_file
from geoseg.nn.bundle import METADATA_KEY, ModelBundle
from geoseg.nn.card import Activation
from geoseg.nn.exported_model import EXPORT_KEY, ExportNote
from geoseg.nn.onnx_file import graph_digest, weights_digest, with_metadata

ExportFormat = Literal["onnx", "openvino", "torch"]

INPUT, OUTPUT = "input", "output"
"""Names of what a graph takes and gives."""

_LATEST_IR = 8
"""Version of ONNX's file format that the ONNX Runtime of QGIS plugins (1.17) reads in any case."""


_FOLDED = 1 << 22
"""Values of the largest constants that are computed here rather than at each run. Position
embeddings are brought to the size of a window by an antialiased cubic filter, which OpenVINO 2026.4
reads as another one; and the exporter leaves all above 8,192 values as they are."""


@dataclass(frozen=True, kw_only=True)
class GraphPlan:
    """What is to be written."""

    bundle: ModelBundle
    """The network; its card tells the window, and what else the file says."""

    divisor: float
    """The graph takes raw values divided by this."""

    opset: int
    """Version of ONNX's operators."""

    keys: Mapping[str, str]
    """Metadata beside the card."""

    def entries(self, weights: str, graph: str) -> dict[str, str]:
        """All metadata of a graph, of which the constants and the rest have hashes."""
        note = ExportNote(divisor=self.divisor, weights=weights, graph=graph)
        card = self.bundle.card.model_dump_json()
        return {**self.keys, METADATA_KEY: card, EXPORT_KEY: note.model_dump_json()}


class GraphNetwork(nn.Module):
    """Scaling, network and activation in one module, without what only geoseg knows.

    Args:
        bundle: The network with its card.
        divisor: What raw values were divided by before they come in.
    """

    slope: Tensor
    intercept: Tensor

    def __init__(self, bundle: ModelBundle, divisor: float) -> None:
        super().__init__()
        scaling, bands = bundle.card.scaling, bundle.card.spec.in_channels
        slope, intercept = scaling.affine(bands)
        self.network = bundle.build()
        self.register_buffer("slope", (slope.double() * divisor).float()[:, None, None])
        self.register_buffer("intercept", intercept[:, None, None])
        self._is_clamped = scaling.kind == "percentile"
        self._activation: Activation = bundle.card.activation

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores (n, classes, height, width) of divided raw values (n, bands, height, width)."""
        scaled = pixels * self.slope + self.intercept
        if self._is_clamped:
            scaled = scaled.clamp(0, 1)
        return activate(self.network(scaled), self._activation)


def check_tools(names: tuple[str, ...]) -> None:
    """Refuse an export whose tools are missing.

    Args:
        names: Packages.

    Raises:
        ConfigError: If one is not installed.
    """
    extras = {"openvino": "openvino"}
    for name in names:
        if importlib.util.find_spec(name) is None:
            cure = f"Install geoseg[{extras.get(name, 'onnx')}]"
            raise ConfigError("--format", f"{name}, which it needs, is not installed", cure)


def write_onnx(plan: GraphPlan, path: Path) -> None:
    """Write one ONNX file with a symbolic batch and square windows of one size.

    Raises:
        WorkError: If the network cannot be exported, or is too large for one file.
    """
    model = _onnx(plan)
    content = with_metadata(model, plan.entries(weights_digest(model), graph_digest(model)))
    path.write_bytes(content)


def write_openvino(plan: GraphPlan, path: Path, weights: Path) -> None:
    """Write OpenVINO's `.xml` and `.bin`, with weights in float32.

    Raises:
        WorkError: If the network cannot be exported.
    """
    import openvino

    graph = openvino.Core().read_model(_onnx(plan).SerializeToString())
    openvino.serialize(graph, str(path), str(weights))
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    written = openvino_file.graph_digest(ElementTree.parse(path).getroot())
    for key, value in plan.entries(digest, written).items():
        graph.set_rt_info(value, [key])
    openvino.serialize(graph, str(path), str(weights))


def write_program(plan: GraphPlan, path: Path) -> None:
    """Write a program of `torch.export`, with the card among its extra files.

    Raises:
        WorkError: If the network cannot be exported.
    """
    network, example = _parts(plan)
    entries = {**plan.keys, METADATA_KEY: plan.bundle.card.model_dump_json()}
    entries["divisor"] = str(plan.divisor)
    try:
        with quiet_export():
            program = torch.export.export(network, (example,), dynamic_shapes=_batch_of_any_size())
            # The archive would tell the name of its file, which is a temporary one.
            content = io.BytesIO()
            torch.export.save(program, content, extra_files=entries)
        path.write_bytes(content.getvalue())
    except OSError:
        raise
    except Exception as error:
        raise _failure(plan, error) from error


def _onnx(plan: GraphPlan) -> Any:  # noqa: ANN401 - onnx publishes no hints
    import onnx

    try:
        program = _traced(plan)
        model = program.model_proto
        least = onnx.helper.find_min_ir_version_for(model.opset_import)
        model.ir_version = max(least, _LATEST_IR)
        onnx.checker.check_model(model)
    except Exception as error:
        # The exporter passes on what the tracer and the network itself raise; the format ends at
        # 2 GiB, which the checker and protobuf tell.
        raise _failure(plan, error) from error
    model.producer_name = "geoseg"
    return model


def _traced(plan: GraphPlan) -> Any:  # noqa: ANN401 - as above
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    network, example = _parts(plan)
    with quiet_export():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            optimize=True,
            external_data=False,
            opset_version=plan.opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=_batch_of_any_size(),
        )
    if program is None:
        raise TypeError("the exporter gave no network")
    fold_constants(program.model, input_size_limit=_FOLDED, output_size_limit=_FOLDED)
    remove_unused_nodes(program.model)
    return program


def _parts(plan: GraphPlan) -> tuple[GraphNetwork, Tensor]:
    """The network, and an example of two windows: of one a size would be taken for fixed."""
    network = GraphNetwork(plan.bundle, plan.divisor).eval().requires_grad_(False)
    card = plan.bundle.card
    return network, torch.ones(2, card.spec.in_channels, card.window, card.window)


def _batch_of_any_size() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch", min=1)},)


def _failure(plan: GraphPlan, error: Exception) -> WorkError:
    arch = plan.bundle.card.spec.arch
    return WorkError(arch, f"cannot be exported ({first_line(error)})", "Try another format")
