"""UNetResnet: a narrow U-Net decoder with transposed convolutions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import resize

_WIDTHS = ((192, 128), (128, 96), (96, 64), (64, 48), (48, 32))
"""Channels of the convolution and of the doubling after it, from the coarsest level on."""


class UNetResnetOptions(ArchitectureOptions):
    """Options of UNetResnet."""

    output_stride: Literal[8, 16, 32] = 32
    """Pixels per cell of the encoder's last level; the first to publish it took 8."""


class UpBlock(nn.Sequential):
    """A 3x3 convolution, then a transposed one that doubles the size, each with a ReLU.

    Args:
        in_channels: Of the features.
        width: Between the two.
        out_channels: Of the result.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1, bias=False),
            nn.ReLU(inplace=True),
        )


class UNetResnet(nn.Module):
    """UNetResnet of github.com/yassouali/pytorch-segmentation, logits at stride 1.

    Its published decoder has no activation at all and is thus linear; here a ReLU follows each
    convolution but the last.

    Args:
        request: Encoder, bands, classes and `UNetResnetOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        self.encoder = build_encoder(request, output_stride=request.options.output_stride)
        *_, c2, c3, c4, c5 = self.encoder.out_channels
        self.blocks = nn.ModuleList()
        raised = 0
        for skip, (width, out_channels) in zip((c5, c4, c3, c2, 0), _WIDTHS, strict=True):
            self.blocks.append(UpBlock(raised + skip, width, out_channels))
            raised = out_channels
        self.classifier = nn.Sequential(
            nn.Conv2d(raised, raised, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(raised, request.classes, kernel_size=1, bias=False),
        )
        for part in (self.blocks, self.classifier):
            part.apply(_initialize)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h, w) of (n, bands, h, w)."""
        *_, c2, c3, c4, c5 = self.encoder(image)
        features = self.blocks[0](c5)
        for skip, block in zip((c4, c3, c2), self.blocks[1:4], strict=True):
            features = block(torch.cat([resize(features, skip), skip], dim=1))
        logits: Tensor = self.classifier(self.blocks[4](features))
        return logits


def _initialize(module: nn.Module) -> None:
    """Keep the variance through the ReLUs: nothing is normalised (arXiv 1502.01852)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


UNET_RESNET: dict[str, Architecture] = {
    "unet_resnet": Architecture(
        summary="UNetResnet, a narrow U-Net decoder; github.com/yassouali/pytorch-segmentation",
        build=UNetResnet,
        options=UNetResnetOptions,
    )
}
