"""What turns windows of raw pixels into scores of classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from geoseg.engine.cuda_graphs import GraphedNetwork
from geoseg.engine.disk_cache import keep_inductor_code
from geoseg.engine.heap import keep_heap
from geoseg.engine.window_network import Units, WindowNetwork
from geoseg.errors import WorkError
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, autocast
from geoseg.nn.no_memory import telling_no_memory

BackendName = Literal["torch", "compile", "openvino", "onnx"]

_CAST = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""Layers whose weights autocast would convert anew for each batch."""

_MOST_SHAPES = 64
"""For how many shapes and networks `torch.compile` may compile in one process."""


class Backend(Protocol):
    """A network on a device, ready to run."""

    @property
    def classes(self) -> int:
        """Channels of the scores."""

    @property
    def device(self) -> torch.device:
        """Where scores are made and averaged."""

    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network.

        Args:
            pixels: (n, bands, height, width) raw values of the scene, any dtype, on any device,
                strided as they may be.
            valid: (n, height, width) bool; what is not valid is taken as the bands' mean; None
                where all is valid.

        Returns:
            (n, classes, height, width) float32 on `device`: probabilities, or what the
            network gives where its card says that it gives no logits. They may be overwritten
            by the next call.
        """


@dataclass(frozen=True, kw_only=True)
class WindowKind:
    """The windows that a run-time is made for."""

    units: Units
    """What their raw values mean."""

    dtype: str
    """Type of the raw values, as numpy names it."""

    side: int
    """Height and width, pixels."""

    size: int
    """Side at which the network sees them, pixels."""


class TorchBackend:
    """Runs a bundle by PyTorch: channels last, autocast, inference mode; by graphs on a GPU.

    Args:
        bundle: The network with its scaling.
        units: What the raw values of the scene mean.
        device: Where to run.
        precision: Numbers of the forward pass; what the device computes with.
        size: Side at which the network sees the windows; None for their own.
        batch_size: Windows in most calls. On a GPU such calls, and smaller ones, run by a graph;
            0 does without.
    """

    name: BackendName = "torch"

    def __init__(
        self,
        bundle: ModelBundle,
        units: Units,
        device: torch.device,
        precision: Precision,
        *,
        size: int | None = None,
        batch_size: int = 0,
    ) -> None:
        self.device = device
        self.precision = precision
        self.classes = bundle.card.spec.classes
        if device.type == "cpu":
            keep_heap()
        network = _with_numbers(WindowNetwork(bundle, units, size), precision)
        self.network: nn.Module = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._graphed: GraphedNetwork | None = None
        if device.type == "cuda" and batch_size > 0:
            torch.backends.cudnn.benchmark = True  # shapes are fixed
            self._graphed = GraphedNetwork(self.forward, device, batch_size)

    @telling_no_memory()
    def forward(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network over what is on the device already."""
        with autocast(self.precision, self.device, cache=False):
            scores: Tensor = self.network(pixels, valid)
        return scores

    @torch.inference_mode()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        if self._graphed is not None:
            return self._graphed.scores(pixels, valid)
        pixels = pixels.to(self.device, non_blocking=True)
        if valid is not None:
            valid = valid.to(self.device, non_blocking=True)
        return self.forward(pixels, valid)


def _with_numbers(network: WindowNetwork, precision: Precision) -> WindowNetwork:
    """Convert the weights once that autocast would convert in each forward pass."""
    if precision not in {"bf16", "fp16"}:
        return network
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    for module in network.modules():
        if type(module) in _CAST:  # what derives from them may compute with its weights
            module.to(dtype)
    return network


@dataclass(slots=True)
class _Buffers:
    """Full batches of one shape: another shape or stride would compile anew."""

    pixels: Tensor
    valid: Tensor
    is_all_valid: bool = field(default=False)

    def fill(self, pixels: Tensor, valid: Tensor | None) -> None:
        count = pixels.shape[0]
        self.pixels[:count].copy_(pixels)
        if valid is not None:
            self.valid[:count].copy_(valid)
        elif not self.is_all_valid:
            self.valid.fill_(True)
        self.is_all_valid = valid is None


class CompiledBackend:
    """Runs a bundle compiled by `torch.compile`, for batches of one size.

    The first call compiles, which takes from some seconds (when torch finds the code in its
    cache on disk) to half a minute. Smaller batches are padded: another size would compile anew.

    Args:
        bundle: The network with its scaling.
        units: What the raw values of the scene mean.
        device: Where to run.
        precision: Numbers of the forward pass.
        size: Side at which the network sees the windows; None for their own.
        batch_size: Windows in each call.
    """

    name: BackendName = "compile"

    def __init__(
        self,
        bundle: ModelBundle,
        units: Units,
        device: torch.device,
        precision: Precision,
        *,
        size: int | None = None,
        batch_size: int,
    ) -> None:
        keep_inductor_code()
        self._eager = TorchBackend(bundle, units, device, precision, size=size)
        self.device, self.precision, self.classes = device, precision, self._eager.classes
        self._batch_size = batch_size
        self._buffers: dict[tuple[object, ...], _Buffers] = {}
        self._compiled_for: set[tuple[object, ...]] = set()
        self._compiled: Any = torch.compile(
            self._eager.network, dynamic=False, options={"freezing": device.type == "cpu"}
        )
        self._graphed: GraphedNetwork | None = None
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            self._graphed = GraphedNetwork(self._forward, device, batch_size)

    @torch.no_grad()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`.

        Raises:
            WorkError: If the network cannot be compiled.
        """
        shape = (*pixels.shape[1:], pixels.dtype)
        if shape in self._compiled_for:
            return self._run(pixels, valid)
        try:
            with torch._dynamo.config.patch(recompile_limit=_MOST_SHAPES):  # noqa: SLF001
                scores = self._run(pixels, valid)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # The compiler passes on whatever came to it: its own errors, those of the network
            # under tracing, of a missing C++ compiler, of a full disk. What is wrong with the
            # network itself PyTorch tells when it takes over.
            raise WorkError(
                "--backend compile", f"torch.compile failed ({first_line(error)})", "Choose torch"
            ) from error
        self._compiled_for.add(shape)
        return scores

    def _run(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        if self._graphed is not None and not self._graphed.is_off:
            return self._graphed.scores(pixels, valid)
        parts = []
        try:
            for start in range(0, pixels.shape[0], self._batch_size):
                part = slice(start, start + self._batch_size)
                parts.append(self._padded(pixels[part], None if valid is None else valid[part]))
        except torch.OutOfMemoryError:
            self._batch_size = max(self._batch_size // 2, 1)
            self._buffers.clear()
            raise
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _padded(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        key = (*pixels.shape[1:], pixels.dtype)
        if key not in self._buffers:
            self._buffers[key] = self._make_buffers(pixels)
        buffers = self._buffers[key]
        buffers.fill(pixels, valid)
        return self._forward(buffers.pixels, buffers.valid)[: pixels.shape[0]]

    @telling_no_memory()
    def _forward(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        with autocast(self.precision, self.device, cache=False):
            scores: Tensor = self._compiled(pixels, valid)
        return scores

    def _make_buffers(self, pixels: Tensor) -> _Buffers:
        shape, device = (self._batch_size, *pixels.shape[1:]), self.device
        return _Buffers(
            pixels=torch.zeros(shape, dtype=pixels.dtype, device=device),
            valid=torch.zeros((shape[0], *shape[2:]), dtype=torch.bool, device=device),
        )


def first_line(error: BaseException) -> str:
    """What a library's error says, without the pages that follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO begins with the place in its own source.
    lines = [line for line in lines if not line.startswith("Exception from ")] or lines
    text = lines[0] if lines else type(error).__name__
    return text.rstrip(".:") if len(text) <= 200 else f"{text[:200]}..."
