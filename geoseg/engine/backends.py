"""What turns windows of raw pixels into scores of classes."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from geoseg.engine.heap import keep_heap
from geoseg.engine.window_network import Units, WindowNetwork
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, autocast


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
            network gives where its card says that it gives no logits.
        """


class TorchBackend:
    """Runs a bundle by PyTorch: channels last, autocast, inference mode.

    Args:
        bundle: The network with its scaling.
        units: What the raw values of the scene mean.
        device: Where to run.
        precision: Numbers of the forward pass; what the device computes with.
    """

    def __init__(
        self, bundle: ModelBundle, units: Units, device: torch.device, precision: Precision
    ) -> None:
        self.device = device
        self.precision = precision
        self.classes = bundle.card.spec.classes
        if device.type == "cpu":
            keep_heap()
        network = WindowNetwork(bundle, units)
        self._network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @torch.inference_mode()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        pixels = pixels.to(self.device, non_blocking=True)
        if valid is not None:
            valid = valid.to(self.device, non_blocking=True)
        with autocast(self.precision, self.device):
            scores: Tensor = self._network(pixels, valid)
        return scores
