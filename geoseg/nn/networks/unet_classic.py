"""U-Net as its authors drew it (arXiv 1505.04597), with an encoder of its own."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest

_LEVELS = 5


class UnetClassicOptions(ArchitectureOptions):
    """Options of the classic U-Net."""

    width: int = Field(default=64, ge=1, le=1024)
    """Channels of the first level; each level below has twice as many."""

    normalization: Literal["batch", "none"] = "batch"
    """What follows each 3x3 convolution; the paper of 2015 has `none`."""

    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the values that training drops at the end of the two deepest levels."""


class UnetClassic(nn.Module):
    """U-Net: five levels of two 3x3 convolutions, 2x2 up-convolutions, concatenated skips.

    The convolutions are padded, so that every pixel gets logits; the paper's are not, and lose
    92 pixels at each side.

    Args:
        in_channels: Bands of the image.
        classes: Channels of the logits.
        options: Width, normalisation and dropout.
    """

    def __init__(self, in_channels: int, classes: int, options: UnetClassicOptions) -> None:
        super().__init__()
        widths = [options.width * 2**level for level in range(_LEVELS)]
        norm = options.normalization == "batch"
        self.down = nn.ModuleList(
            _double(before, after, norm=norm)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.dropout = nn.Dropout(options.dropout)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2)
            for width in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(
            _double(2 * width, width, norm=norm) for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(options.width, classes, kernel_size=1)
        self.apply(_initialize)

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height, width) from (n, bands, height, width)."""
        features, skips = image, []
        for level, convolve in enumerate(self.down):
            if level:
                skips.append(features)
                features = functional.max_pool2d(features, 2)
            features = convolve(features)
            if level >= _LEVELS - 2:
                features = self.dropout(features)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            features = merge(torch.cat([skip, up(features)], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _double(in_channels: int, out_channels: int, *, norm: bool) -> nn.Sequential:
    """Two 3x3 convolutions, each with ReLU."""
    layers: list[nn.Module] = []
    for before in (in_channels, out_channels):
        layers.append(nn.Conv2d(before, out_channels, 3, padding=1, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _initialize(module: nn.Module) -> None:
    """A deviation of sqrt(2 / inputs of the neuron), as section 3 of the paper asks for."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _build(request: NetworkRequest) -> nn.Module:
    return UnetClassic(request.in_channels, request.classes, request.options)


UNET_CLASSIC: dict[str, Architecture] = {
    "unet_classic": Architecture(
        summary="U-Net with the encoder of its paper, arXiv 1505.04597",
        build=_build,
        options=UnetClassicOptions,
        has_encoder=False,
        divisor=16,
    ),
}
