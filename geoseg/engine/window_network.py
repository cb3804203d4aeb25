"""A network with all that comes before and after it, as one graph from raw pixels to scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    """

    slope: Tensor
    intercept: Tensor
    fill: Tensor

    def __init__(self, bundle: ModelBundle, units: Units) -> None:
        super().__init__()
        scaling, bands = bundle.card.scaling, bundle.card.spec.in_channels
        slope, intercept = scaling.affine(bands)
        self.network = bundle.build()
        self.register_buffer("slope", (slope * units.factor)[:, None, None])
        self.register_buffer("intercept", intercept[:, None, None])
        self.register_buffer("fill", scaling.fill(bands)[:, None, None])
        self._is_clamped = scaling.kind == "percentile"
        self._units = units
        self._activation: Activation = bundle.card.activation

    def forward(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute scores.

        Args:
            pixels: (n, bands, height, width) raw values.
            valid: (n, height, width) bool; None where all are valid.

        Returns:
            (n, classes, height, width) float32.
        """
        logits: Tensor = self.network(self.scale(pixels, valid))
        return activate(logits, self._activation)

    def scale(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """What the network sees (n, bands, height, width) float32, channels last."""
        raw = pixels.to(torch.float32)
        scaled = torch.addcmul(self.intercept, raw, self.slope)
        if self._is_clamped:
            scaled = scaled.clamp(0, 1)
        missing = self._missing(raw)
        if missing is not None:
            scaled = torch.where(missing, self.fill, scaled)
        if valid is not None:
            scaled = torch.where(valid[:, None], scaled, self.fill)
        return scaled.contiguous(memory_format=torch.channels_last)

    def _missing(self, raw: Tensor) -> Tensor | None:
        missing = ~torch.isfinite(raw) if self._units.is_float else None
        if self._units.nodata is None:
            return missing
        declared = raw == torch.tensor(self._units.nodata, dtype=torch.float32)
        return declared if missing is None else missing | declared


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Turn logits (n, classes, height, width) into float32 scores as a model card says."""
    if activation == "softmax":
        return logits.softmax(1, dtype=torch.float32)
    if activation == "sigmoid":
        return logits.float().sigmoid()
    return logits.float()
