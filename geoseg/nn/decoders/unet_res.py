"""A U-Net decoder of residual blocks over any encoder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import PooledBatchNorm2d, resize

Width = Annotated[int, Field(ge=1, le=8192)]


class UnetResOptions(ArchitectureOptions):
    """Options of the residual U-Net decoder."""

    decoder_channels: tuple[Width, Width, Width, Width, Width] = (256, 128, 64, 32, 16)
    """Of the blocks, from stride 16 to stride 1."""


class ResidualBlock(nn.Module):
    """Twice normalisation, ReLU and 3x3 convolution, beside a shortcut.

    The full pre-activation unit of arXiv 1603.05027 that Res U-Net is made of. The shortcut is a
    1x1 convolution and its normalisation where the channels change, else the identity.

    Args:
        in_channels: Of the features.
        out_channels: Of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            PooledBatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            PooledBatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
                PooledBatchNorm2d(out_channels),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, out_channels, h, w) from (n, in_channels, h, w)."""
        total: Tensor = self.shortcut(features) + self.residual(features)
        return total


class UnetRes(nn.Module):
    """The decoder of Res U-Net (arXiv 1711.10684) on the levels of an encoder, logits at stride 1.

    Where the paper's own encoder has a level of stride 1, an image encoder has none: the last
    block sees no skip.

    Args:
        request: Encoder, bands, classes and `UnetResOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        options: UnetResOptions = request.options
        self.encoder = build_encoder(request)
        _, *skips, channels = self.encoder.out_channels
        self.skip_channels = (*reversed(skips), 0)
        self.blocks = nn.ModuleList()
        for skip, width in zip(self.skip_channels, options.decoder_channels, strict=True):
            self.blocks.append(ResidualBlock(channels + skip, width))
            channels = width
        self.classifier = nn.Sequential(
            PooledBatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, request.classes, kernel_size=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h, w) of (n, bands, h, w)."""
        _, *skips, features = self.encoder(image)
        for i, block in enumerate(self.blocks):
            if self.skip_channels[i]:
                skip = skips[-1 - i]
                features = torch.cat([resize(features, skip), skip], dim=1)
            else:
                features = functional.interpolate(features, scale_factor=2.0, mode="bilinear")
            features = block(features)
        logits: Tensor = self.classifier(features)
        return logits


UNET_RES: dict[str, Architecture] = {
    "unet_res": Architecture(
        summary="U-Net decoder of residual blocks, arXiv 1711.10684",
        build=UnetRes,
        options=UnetResOptions,
    )
}
