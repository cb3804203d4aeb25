"""Running a network by OpenVINO, the fastest run-time on processors with bf16."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from geoseg.engine.backends import BackendName
from geoseg.engine.window_network import Units, WindowNetwork
from geoseg.errors import ConfigError, WorkError
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Runs a bundle by OpenVINO on the processor, one window after the other.

    The network is converted from PyTorch with its scaling and activation inside, for one window
    of raw pixels; the values go in as the scene holds them.

    Args:
        bundle: The network with its scaling.
        units: What the raw values of the scene mean.
        dtype: Type of the raw values, as numpy names it.
        window: Side of a window in pixels.
        precision: fp32 or bf16.

    Raises:
        ConfigError: If OpenVINO is not installed, or does not compute with that precision.
        WorkError: If it cannot convert the network.
    """

    name: BackendName = "openvino"

    def __init__(
        self, bundle: ModelBundle, units: Units, dtype: str, window: int, precision: Precision
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            cure = "Install geoseg[openvino], or choose --backend torch"
            raise ConfigError("--backend", "openvino is not installed", cure) from error
        if precision not in _HINTS:
            raise ConfigError("--precision", f"openvino has no {precision}", "Give bf16 or fp32")
        self.device = torch.device("cpu")
        self.precision = precision
        self.classes = bundle.card.spec.classes
        self._dtype = np.dtype(dtype) if dtype in {"uint8", "float32"} else np.dtype("float32")
        bands = bundle.card.spec.in_channels
        example = (
            torch.zeros(1, bands, window, window, dtype=torch.from_numpy(self._zero()).dtype),
            torch.ones(1, window, window, dtype=torch.bool),
        )
        network = WindowNetwork(bundle, units).eval()
        try:
            with warnings.catch_warnings(), torch.inference_mode(mode=False):
                warnings.simplefilter("ignore")  # of the tracer, about sizes that are fixed here
                model = openvino.convert_model(network, example_input=example)
                model.reshape({0: list(example[0].shape), 1: list(example[1].shape)})
            settings = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
            compiled = openvino.Core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WorkError(
                "--backend openvino", f"cannot convert the network ({reason})", "Choose torch"
            ) from error
        self._request = compiled.create_infer_request()

    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        everywhere = np.ones(pixels.shape[-2:], dtype=np.bool_)[None]
        results = []
        for place in range(pixels.shape[0]):
            window = np.ascontiguousarray(pixels[place : place + 1].numpy(), dtype=self._dtype)
            mask = everywhere if valid is None else valid[place : place + 1].numpy()
            outputs = self._request.infer([window, mask], share_inputs=True, share_outputs=True)
            output = torch.from_numpy(outputs[0])
            results.append(output if pixels.shape[0] == 1 else output.clone())
        return results[0] if len(results) == 1 else torch.cat(results)

    def _zero(self) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        return np.zeros(1, dtype=self._dtype)
