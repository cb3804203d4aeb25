"""SRI-Net for buildings (Liu et al., Remote Sensing 2019, doi 10.3390/rs11070830)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import conv_norm_relu, resize

Channels = Annotated[int, Field(ge=8, le=4096)]

_DILATIONS = (1, 2, 5, 7)
"""Of the factorised branches; without a common factor they leave no holes."""


class SriOptions(ArchitectureOptions):
    """Options of SRI-Net."""

    encoder_output_stride: Literal[16, 32] = 16
    decoder_channels: Channels = 256
    full_size_head: bool = False
    """Whether the last 3x3 convolution runs at the size of the image, as in the authors' code,
    instead of at a quarter of it; sixteen times the work, for the same parameters."""


class SriNet(nn.Module):
    """SRI-Net: spatial residual inception over three levels of an encoder.

    The last level goes through a module, is enlarged and put beside a projection of the next finer
    level, and so on up to a quarter of the image's size. The layout is that of the first author's
    own code (liuph0119's Semantic_Segmentation_Keras).

    Args:
        encoder: Gives levels of which those at 1/4, 1/8 and the last are used.
        classes: Channels of the logits.
        options: Width of the decoder, and where its head runs.
    """

    def __init__(self, encoder: Any, classes: int, options: SriOptions) -> None:  # noqa: ANN401
        super().__init__()
        width = options.decoder_channels
        *_, quarter, eighth, _, last = encoder.out_channels
        self.encoder = encoder
        self.full_size_head = options.full_size_head
        self.context5 = SpatialResidualInception(last, width)
        self.project3 = conv_norm_relu(eighth, width // 4, 1)
        self.context3 = SpatialResidualInception(width + width // 4, width)
        self.project2 = conv_norm_relu(quarter, width // 4, 1)
        self.context2 = SpatialResidualInception(width + width // 4, width)
        self.smooth = conv_norm_relu(width, width)
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height / 4, width / 4), or at full size, see `SriOptions`."""
        *_, c2, c3, _, c5 = self.encoder(image)
        p5 = self.context5(c5)
        p3 = self.context3(torch.cat([resize(p5, c3), self.project3(c3)], dim=1))
        p2 = self.context2(torch.cat([resize(p3, c2), self.project2(c2)], dim=1))
        if self.full_size_head:
            p2 = resize(p2, image)
        logits: Tensor = self.head(self.smooth(p2))
        return logits


class SpatialResidualInception(nn.Module):
    """Factorised convolutions of four dilations and a 1x1 one, side by side, plus a residual.

    Only its input and its output pass a ReLU.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.branches = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 1, bias=False)])
        self.branches.extend(_factorised(out_channels, dilation) for dilation in _DILATIONS)
        self.fuse = nn.Conv2d(len(self.branches) * out_channels, out_channels, 1, bias=False)
        self.shortcut = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.apply(_initialize)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, `out_channels`, h, w) from (n, `in_channels`, h, w)."""
        reduced = self.reduce(functional.relu(features))
        contexts = torch.cat([branch(reduced) for branch in self.branches], dim=1)
        return functional.relu(self.shortcut(reduced) + self.fuse(contexts))


def _factorised(channels: int, dilation: int) -> nn.Sequential:
    """A 1x3 and a 3x1 convolution, with seven eighths of the channels between."""
    between = channels * 7 // 8
    return nn.Sequential(
        nn.Conv2d(
            channels, between, (1, 3), padding=(0, dilation), dilation=(1, dilation), bias=False
        ),
        nn.Conv2d(
            between, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1), bias=False
        ),
    )


def _initialize(module: nn.Module) -> None:
    """Keep the variance; no normalisation does it, and no ReLU halves it inside the module."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


def _build(request: NetworkRequest) -> nn.Module:
    encoder = build_encoder(request, output_stride=request.options.encoder_output_stride)
    return SriNet(encoder, request.classes, request.options)


SRINET: dict[str, Architecture] = {
    "srinet": Architecture(
        summary="SRI-Net: spatial residual inception for buildings, doi 10.3390/rs11070830",
        build=_build,
        options=SriOptions,
        default_encoder="resnet101",
    ),
}
