"""What turns windows of raw pixels into scores of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.engine.heap import keep_heap
from geoseg.engine.window_network import Units, WindowNetwork
from geoseg.errors import WorkError
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, autocast

BackendName = Literal["torch", "compile", "openvino"]


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
            pixels: (n, bands, height, width) raw values of the scene, any dtype, on any device.
            valid: (n, height, width) bool; what is not valid is taken as the bands' mean; None
                where all is valid.

        Returns:
            (n, classes, height, width) float32 on `device`: probabilities, or what the
            network gives where its card says that it gives no logits. They may be overwritten
            by the next call.
        """


class TorchBackend:
    """Runs a bundle by PyTorch: channels last, autocast, inference mode.

    Args:
        bundle: The network with its scaling.
        units: What the raw values of the scene mean.
        device: Where to run.
        precision: Numbers of the forward pass; what the device computes with.
    """

    name: BackendName = "torch"

    def __init__(
        self, bundle: ModelBundle, units: Units, device: torch.device, precision: Precision
    ) -> None:
        self.device = device
        self.precision = precision
        self.classes = bundle.card.spec.classes
        if device.type == "cpu":
            keep_heap()
        network = WindowNetwork(bundle, units)
        self.network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @torch.inference_mode()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        pixels = pixels.to(self.device, non_blocking=True)
        if valid is not None:
            valid = valid.to(self.device, non_blocking=True)
        with autocast(self.precision, self.device):
            scores: Tensor = self.network(pixels, valid)
        return scores


class CompiledBackend:
    """Runs a bundle compiled by `torch.compile`, for batches of one size.

    The first call compiles, which takes from some seconds (when torch finds the code in its
    cache on disk) to half a minute. Smaller batches are padded: another size would compile anew.

    Args:
        bundle: The network with its scaling.
        units: What the raw values of the scene mean.
        device: Where to run.
        precision: Numbers of the forward pass.
        batch_size: Windows in each call.
    """

    name: BackendName = "compile"

    def __init__(
        self,
        bundle: ModelBundle,
        units: Units,
        device: torch.device,
        precision: Precision,
        batch_size: int,
    ) -> None:
        self._eager = TorchBackend(bundle, units, device, precision)
        self.device, self.precision, self.classes = device, precision, self._eager.classes
        self._batch_size = batch_size
        on_cpu = device.type == "cpu"
        self._compiled: Callable[[Tensor, Tensor], Tensor] = torch.compile(
            self._eager.network, dynamic=False, options={"freezing": on_cpu}
        )

    @torch.no_grad()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`.

        Raises:
            WorkError: If the network cannot be compiled.
        """
        count = pixels.shape[0]
        if valid is None:
            valid = pixels.new_ones((count, *pixels.shape[-2:]), dtype=torch.bool)
        missing = self._batch_size - count
        if missing > 0:
            pixels = functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, missing))
            valid = functional.pad(valid, (0, 0, 0, 0, 0, missing))
        try:
            with autocast(self.precision, self.device):
                scores = self._compiled(pixels.to(self.device), valid.to(self.device))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise WorkError(
                "--backend compile", f"torch.compile failed ({reason})", "Choose torch"
            ) from error
        return scores[:count]
