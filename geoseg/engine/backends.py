"""What turns windows of raw pixels into scores of classes."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import Activation
from geoseg.nn.device import Precision, PrecisionName, autocast, resolve_device, resolve_precision


class Backend(Protocol):
    """A network on a device, ready to run."""

    @property
    def classes(self) -> int:
        """Channels of the scores."""

    @property
    def device(self) -> torch.device:
        """Where scores are made and averaged."""

    def scores(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Run the network.

        Args:
            pixels: (n, bands, height, width) raw values of the scene, any dtype, on any device.
            valid: (n, height, width) bool; what is not valid is taken as the bands' mean.

        Returns:
            (n, classes, height, width) float32 on `device`: probabilities, or what the
            network gives where its card says that it gives no logits.
        """


class TorchBackend:
    """Runs a bundle by PyTorch: channels last, autocast, inference mode.

    Args:
        bundle: The network with its scaling.
        device: As `resolve_device` takes it.
        precision: As `resolve_precision` takes it.

    Raises:
        ConfigError: If the device, or the precision on it, is not to be had.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        device: str = "auto",
        precision: PrecisionName = "auto",
    ) -> None:
        self.device = resolve_device(device)
        self.precision: Precision = resolve_precision(precision, self.device)
        self.classes = bundle.card.spec.classes
        self._scaling = bundle.card.scaling
        self._activation = bundle.card.activation
        self._nodata: float | None = None
        self._factor: float | None = None
        self._fill = self._scaling.fill(bundle.card.spec.in_channels)[:, None, None].to(self.device)
        self._network = bundle.build().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def set_units(self, nodata: float | None, factor: float | None) -> None:
        """Say what raw values mean from now on.

        Args:
            nodata: Value that means no data in a single band of a valid pixel.
            factor: Multiplied to raw values gives them the units of the training scenes.
        """
        self._nodata, self._factor = nodata, factor

    @torch.inference_mode()
    def scores(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Run the network; see `Backend.scores`."""
        pixels, valid = pixels.to(self.device, non_blocking=True), valid.to(self.device)
        raw, nodata = pixels.to(torch.float32), self._nodata
        if self._factor is not None:
            raw, nodata = raw * self._factor, None if nodata is None else nodata * self._factor
        scaled = torch.where(valid[:, None], self._scaling.apply(raw, nodata), self._fill)
        with autocast(self.precision, self.device):
            logits = self._network(scaled.contiguous(memory_format=torch.channels_last))
        return activate(logits.float(), self._activation)


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Turn logits (n, classes, height, width) into scores as a model card says."""
    if activation == "softmax":
        return logits.softmax(1)
    if activation == "sigmoid":
        return logits.sigmoid()
    return logits
