"""A network with all that comes before and after it, as one graph from raw pixels to scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import Activation


@dataclass(frozen=True, kw_only=True)
class Units:
    """What the raw values of a scene mean."""

    nodata: float | None = None
    """Value that means no data in a single band of an otherwise valid pixel."""

    factor: float = 1.0
    """Multiplied to raw values gives them the units of the training scenes."""

    is_float: bool = False
    """Whether values may be NaN or infinite."""


class WindowNetwork(nn.Module):
    """Scaling, filling, network and activation in one module, for eager and compiled use.

    Args:
        bundle: The network with its card.
        units: What raw values mean.
        size: Side at which the network sees the windows, pixels; None for their own.
        network: What gives the logits in place of the bundle's own network.
    """

    slope: Tensor
    intercept: Tensor
    missing: Tensor

    def __init__(
        self,
        bundle: ModelBundle,
        units: Units,
        size: int | None = None,
        *,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        scaling, bands = bundle.card.scaling, bundle.card.spec.in_channels
        slope, intercept = scaling.affine(bands)
        self.network = bundle.build() if network is None else network
        self.register_buffer("slope", (slope * units.factor)[:, None, None])
        self.register_buffer("intercept", intercept[:, None, None])
        self.register_buffer("missing", scaling.fill(bands)[:, None, None])
        self._is_clamped = scaling.kind == "percentile"
        self._units = units
        self._size = size
        self._activation: Activation = bundle.card.activation

    def forward(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute scores.

        Args:
            pixels: (n, bands, height, width) raw values.
            valid: (n, height, width) bool; None where all are valid.

        Returns:
            (n, classes, height, width) float32.
        """
        height, width = pixels.shape[-2:]
        image = self.scale(pixels, valid)
        if self._size is not None:
            shrinks = self._size < max(height, width)
            image = _resized(image, self._size, self._size, antialias=shrinks)
        logits: Tensor = self.network(image.contiguous(memory_format=torch.channels_last))
        return _resized(activate(logits, self._activation), height, width)

    def scale(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """What the network sees (n, bands, height, width) float32."""
        raw = pixels.to(torch.float32)
        scaled = torch.addcmul(self.intercept, raw, self.slope)
        if self._is_clamped:
            scaled = scaled.clamp(0, 1)
        missing = self._missing(raw)
        if missing is not None:
            scaled = torch.where(missing, self.missing, scaled)
        if valid is not None:
            scaled = torch.where(valid[:, None], scaled, self.missing)
        return scaled

    def _missing(self, raw: Tensor) -> Tensor | None:
        missing = ~torch.isfinite(raw) if self._units.is_float else None
        if self._units.nodata is None:
            return missing
        declared = raw == torch.tensor(self._units.nodata, dtype=torch.float32)
        return declared if missing is None else missing | declared


def _resized(image: Tensor, height: int, width: int, *, antialias: bool = False) -> Tensor:
    if image.shape[-2:] == (height, width):
        return image
    return functional.interpolate(image, (height, width), mode="bilinear", antialias=antialias)


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Turn logits (n, classes, height, width) into float32 scores as a model card says."""
    if activation == "softmax":
        return logits.softmax(1, dtype=torch.float32)
    if activation == "sigmoid":
        return logits.float().sigmoid()
    return logits.float()
