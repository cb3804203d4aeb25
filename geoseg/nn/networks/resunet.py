"""Deep residual U-Net (Zhang, Liu and Wang 2017, arXiv 1711.10684)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.layers import resize

_LEVELS = 4
"""Three of the encoder and the bridge."""


class ResUnetOptions(ArchitectureOptions):
    """Options of the deep residual U-Net."""

    width: int = Field(default=64, ge=1, le=1024)
    """Channels of the first level; each level below has twice as many."""


class ResUnet(nn.Module):
    """Deep residual U-Net for roads: seven residual units, strides instead of pooling.

    Args:
        in_channels: Bands of the image.
        classes: Channels of the logits.
        width: Channels of the first level.
    """

    def __init__(self, in_channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(_LEVELS)]
        self.down = nn.ModuleList([_Residual(in_channels, width, first=True)])
        self.down.extend(_Residual(after // 2, after, stride=2) for after in widths[1:])
        self.merge = nn.ModuleList(
            _Residual(3 * after, after)  # the level below has twice the channels of the skip
            for after in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height, width) from (n, bands, height, width)."""
        levels = [image]
        for unit in self.down:
            levels.append(unit(levels[-1]))
        features = levels.pop()
        for unit in self.merge:
            skip = levels.pop()
            features = unit(torch.cat([resize(features, skip), skip], dim=1))
        logits: Tensor = self.head(features)
        return logits


class _Residual(nn.Module):
    """Twice normalisation, ReLU and 3x3 convolution, plus a 1x1 convolution of the input.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        stride: Of the first convolution.
        first: Whether it reads the image, which is convolved as it is.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, first: bool = False
    ) -> None:
        super().__init__()
        before = [] if first else [nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(
            *before,
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        # Channels differ in every unit, so that none has a plain identity.
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, `out_channels`, h / stride, w / stride)."""
        total: Tensor = self.body(features) + self.shortcut(features)
        return total


def _build(request: NetworkRequest) -> nn.Module:
    return ResUnet(request.in_channels, request.classes, request.options.width)


RESUNET: dict[str, Architecture] = {
    "resunet": Architecture(
        summary="Deep residual U-Net for roads, arXiv 1711.10684",
        build=_build,
        options=ResUnetOptions,
        has_encoder=False,
        divisor=8,
    ),
}
