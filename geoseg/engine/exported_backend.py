"""Running networks that were exported: ONNX files and OpenVINO's own."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geoseg.engine.backends import BackendName, WindowKind, first_line
from geoseg.engine.onnx_backend import make_session
from geoseg.engine.window_network import WindowNetwork
from geoseg.errors import BundleError, ConfigError, WorkError
from geoseg.nn.device import Precision
from geoseg.nn.exported_model import ExportedModel
from geoseg.nn.no_memory import telling_no_memory

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class ExportedGraph(nn.Module):
    """The graph of an exported model, in a run-time, as if it were a network of PyTorch.

    Windows go through it one after the other on the processor.

    Args:
        model: What was read from the file.
        name: Which run-time: `openvino` reads both formats, `onnx` its own.
        precision: fp32, by OpenVINO also bf16.
        device: Where ONNX Runtime computes, if its package is one for GPUs.

    Raises:
        ConfigError: If the run-time is not installed.
        BundleError: If it cannot make anything of the graph.
    """

    def __init__(
        self,
        model: ExportedModel,
        name: BackendName,
        precision: Precision = "fp32",
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        package = {"onnx": "onnxruntime"}.get(name, name)
        if importlib.util.find_spec(package) is None:
            raise ConfigError(model.path, f"{package} is not installed", f"Install geoseg[{name}]")
        self._path, self._name = model.path, name
        self._shape = (model.card.spec.classes, model.card.window, model.card.window)
        try:
            if name == "onnx":
                self._run: Any = _onnx_session(model, device or torch.device("cpu"))
            else:
                self._run = _openvino_request(model, precision)
        except Exception as error:
            # Run-times raise errors of their own by what is wrong with the graph.
            problem = f"{package} cannot run it ({first_line(error)})"
            raise BundleError(model.path, problem, "Export the model again") from error

    def forward(self, image: Tensor) -> Tensor:
        """Scores (n, classes, window, window) float32 of images (n, bands, window, window).

        Raises:
            WorkError: If the run-time fails.
        """
        windows = image.detach().cpu().contiguous().numpy()
        scores = torch.empty((len(windows), *self._shape))
        for place in range(len(windows)):
            scores[place] = torch.from_numpy(self._scores(windows[place : place + 1]))[0]
        return scores

    def _scores(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores (1, classes, window, window) of one window."""
        try:
            with telling_no_memory():
                if self._name == "onnx":
                    name = self._run.get_inputs()[0].name
                    found: npt.NDArray[np.float32] = self._run.run(None, {name: window})[0]
                else:
                    found = self._run.infer([window])[0]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # As above; what fails here is a graph that was made to fail.
            problem = f"{self._name} failed to run it ({first_line(error)})"
            raise WorkError(self._path, problem, "Export the model again") from error
        if found.shape != (1, *self._shape):
            problem = f"gave an array of {' x '.join(map(str, found.shape))}"
            raise WorkError(self._path, problem, "Export the model again")
        return found


class ExportedBackend:
    """Runs an exported model on windows of raw pixels.

    Args:
        graph: The model in a run-time.
        model: Where it came from.
        kind: The windows.
        name: Which run-time.
        precision: Its numbers.
        device: Where scores are averaged.
    """

    def __init__(
        self,
        graph: ExportedGraph,
        model: ExportedModel,
        kind: WindowKind,
        name: BackendName,
        precision: Precision,
        device: torch.device,
    ) -> None:
        self.name = name
        self.device, self.precision = device, precision
        self.classes = model.card.spec.classes
        network = WindowNetwork(model.inner, kind.units, model.card.window, network=graph)
        self._network = network.eval()

    @torch.inference_mode()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        mask = None if valid is None else valid.cpu()
        scores: Tensor = self._network(pixels.cpu(), mask)
        return scores.to(self.device)


def _onnx_session(model: ExportedModel, device: torch.device) -> Any:  # noqa: ANN401 - no hints
    session = make_session(model.graph, torch.device("cpu"), "fp32")
    if device.type == "cuda" and _has_cuda():
        session = make_session(model.graph, device, "fp32")
    return session


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _openvino_request(model: ExportedModel, precision: Precision) -> Any:  # noqa: ANN401 - as above
    import openvino

    core = openvino.Core()
    if model.format == "onnx":
        graph = core.read_model(model.graph)
    else:
        graph = core.read_model(model.graph, model.constants)
    bands, side = model.card.spec.in_channels, model.card.window
    graph.reshape([1, bands, side, side])
    settings = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
    return core.compile_model(graph, "CPU", settings).create_infer_request()
