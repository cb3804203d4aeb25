"""Running a network by ONNX Runtime, on processors and on NVIDIA's GPUs."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.engine.backends import BackendName, WindowKind, first_line
from geoseg.engine.disk_cache import ModelCache
from geoseg.engine.exported import HostWindows, cache_key, export_parts, input_dtype
from geoseg.errors import ConfigError, WorkError
from geoseg.geo.user_cache import cache_folder
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision
from geoseg.nn.no_memory import telling_no_memory

logger = logging.getLogger(__name__)

_PARTS = ("onnx", "onnxscript", "onnxruntime")


class OnnxBackend:
    """Runs a bundle by ONNX Runtime, in batches of one size.

    On the processor windows go one after the other. On a GPU TensorRT is taken where it is
    installed, else CUDA; smaller batches are padded there.

    Args:
        bundle: The network with its scaling.
        kind: Its windows.
        device: Where to run.
        precision: fp32; on a GPU also fp16.
        batch_size: Windows in each call on a GPU.

    Raises:
        ConfigError: If ONNX Runtime is not installed, or does not compute with that precision on
            that device.
        WorkError: If the network cannot be exported.
    """

    name: BackendName = "onnx"

    def __init__(
        self,
        bundle: ModelBundle,
        kind: WindowKind,
        device: torch.device,
        precision: Precision,
        batch_size: int,
    ) -> None:
        check_onnx(precision, device)
        self.device = device
        self.precision = precision
        self.classes = bundle.card.spec.classes
        self._batch_size = batch_size if device.type == "cuda" else 1
        self._kind = kind
        self._windows = HostWindows(kind)
        try:
            model = _exported(bundle, kind, precision, self._batch_size)
            self._session: Any = make_session(model, device, precision)
        except Exception as error:
            # The exporter passes on what the tracer and the network itself raise; PyTorch takes
            # over and tells what is wrong with the network.
            raise WorkError(
                "--backend onnx", f"cannot export the network ({first_line(error)})", "Choose torch"
            ) from error
        self._names = [each.name for each in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name

    @telling_no_memory()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        run = self._on_host if self.device.type == "cpu" else self._on_device
        starts = range(0, pixels.shape[0], self._batch_size)
        parts = [run(pixels, valid, slice(start, start + self._batch_size)) for start in starts]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _on_host(self, pixels: Tensor, valid: Tensor | None, part: slice) -> Tensor:
        inputs = dict(zip(self._names, self._windows.take(pixels, valid, part), strict=True))
        return torch.from_numpy(self._session.run([self._output], inputs)[0])

    def _on_device(self, pixels: Tensor, valid: Tensor | None, part: slice) -> Tensor:
        """Without a copy by the host: the runtime reads and writes the memory of tensors."""
        dtype = torch.from_numpy(np.zeros(1, dtype=input_dtype(self._kind))).dtype
        windows = pixels[part].to(self.device, dtype)
        count, side = windows.shape[0], self._kind.side
        missing = self._batch_size - count
        inside = windows.new_ones((count, side, side), dtype=torch.bool)
        if valid is not None:
            inside.copy_(valid[part])
        inputs = [
            functional.pad(windows, (0, 0, 0, 0, 0, 0, 0, missing)).contiguous(),
            functional.pad(inside, (0, 0, 0, 0, 0, missing)).contiguous(),
        ]
        shape = (self._batch_size, self.classes, side, side)
        scores = torch.empty(shape, dtype=torch.float32, device=self.device)
        binding = self._session.io_binding()
        for name, tensor in zip(self._names, inputs, strict=True):
            binding.bind_input(*self._place(name, tensor))
        binding.bind_output(*self._place(self._output, scores))
        torch.cuda.current_stream(self.device).synchronize()  # the runtime has its own stream
        self._session.run_with_iobinding(binding)
        return scores[:count]

    def _place(self, name: str, tensor: Tensor) -> tuple[object, ...]:
        kinds = {torch.uint8: np.uint8, torch.bool: np.bool_, torch.float32: np.float32}
        index = self.device.index or 0
        return name, "cuda", index, kinds[tensor.dtype], tuple(tensor.shape), tensor.data_ptr()


def has_onnx() -> bool:
    """Whether all is installed that is needed to export and run a network."""
    return all(importlib.util.find_spec(name) is not None for name in _PARTS)


def check_onnx(precision: Precision, device: torch.device, key: str = "--precision") -> None:
    """Refuse what ONNX Runtime cannot do here.

    Args:
        precision: Numbers of the forward pass.
        device: Where.
        key: Where the user asked for the numbers, for the error.

    Raises:
        ConfigError: If it is not installed, not for this device, or does not compute with that
            precision there.
    """
    cure = "Install geoseg[onnx], or choose --backend torch"
    if not has_onnx():
        raise ConfigError("--backend", "onnxruntime is not installed", cure)
    onnxruntime = _onnxruntime()
    with_gpu = device.type == "cuda"
    if with_gpu and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        cure = "Install onnxruntime-gpu, or choose --backend torch"
        raise ConfigError("--backend", "this onnxruntime has no CUDA", cure)
    if precision not in ({"fp32", "fp16"} if with_gpu else {"fp32"}):
        names = "fp32 or fp16" if with_gpu else "auto or fp32"
        problem = f"onnx has no {precision} on this {device.type}"
        raise ConfigError(key, problem, f"Give {names}")


class _Halved(nn.Module):
    """A network that computes in float16 between float32 inputs and outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image.half())
        return logits.float()


def _exported(bundle: ModelBundle, kind: WindowKind, precision: Precision, count: int) -> bytes:
    """The network in the format of ONNX, from the cache where it is there."""
    import onnx

    cache = ModelCache("onnx", cache_key(bundle, kind, precision, onnx.__version__, count))
    kept = cache.load()
    if kept is not None:
        return kept
    network, example = export_parts(bundle, kind, count)
    if precision == "fp16":
        setattr(network, "network", _Halved(network.network))  # noqa: B010 - another type
    with quiet_export():
        program = torch.onnx.export(
            network, example, dynamo=True, verbose=False, optimize=False, external_data=False
        )
    if program is None:
        raise TypeError("the exporter gave no network")
    model: bytes = program.model_proto.SerializeToString()
    cache.store(model)
    return model


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
    """Without gradients; keep the exporter from logging, warning and printing about its steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            torch.inference_mode(mode=False),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _onnxruntime() -> Any:  # noqa: ANN401 - a module without hints
    """Import ONNX Runtime without the reports that 1.31 and later send to its makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def make_session(model: bytes, device: torch.device, precision: Precision) -> Any:  # noqa: ANN401
    """A session of ONNX Runtime for the content of a file."""
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised too
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(
        model, options, providers=_providers(onnxruntime, device, precision)
    )


def _providers(onnxruntime: Any, device: torch.device, precision: Precision) -> list[Any]:  # noqa: ANN401
    """Whom the session may ask to compute, best first."""
    if device.type == "cpu":
        return ["CPUExecutionProvider"]
    index = str(device.index or 0)
    providers: list[Any] = []
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        tensorrt = {"device_id": index, "trt_fp16_enable": str(precision == "fp16")}
        folder = cache_folder("tensorrt")
        if folder is not None:
            tensorrt |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder)}
        providers.append(("TensorrtExecutionProvider", tensorrt))
    cuda = {"device_id": index, "cudnn_conv_algo_search": "EXHAUSTIVE"}
    return [*providers, ("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]
