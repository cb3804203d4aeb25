"""DenseASPP: atrous convolutions, each of which sees the features and all before it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from geoseg.nn.architecture import (
    Architecture,
    ArchitectureOptions,
    Channels,
    Dropout,
    NetworkRequest,
)
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.encoders.names import TIMM_PREFIX
from geoseg.nn.layers import PooledBatchNorm2d

Rates = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)]

_WIDTHS: dict[str, tuple[int, int]] = {
    "densenet121": (128, 64),
    "densenet161": (512, 128),
    "densenet169": (336, 168),
    "densenet201": (480, 240),
}
"""Channels between and of each atrous convolution, as the authors chose them."""


class DenseAsppOptions(ArchitectureOptions):
    """Options of DenseASPP."""

    output_stride: Literal[8, 16] = 8
    """Pixels per cell of the features."""

    rates: Rates = (3, 6, 12, 18, 24)
    """Dilations of the atrous convolutions, in their order."""

    inner_channels: Channels | None = None
    """Before each atrous convolution.

    None means the authors' number for a DenseNet, and an eighth of the encoder's channels for
    any other, as it is with DenseNet-121.
    """

    branch_channels: Channels | None = None
    """That each atrous convolution adds; None as above, half as many."""

    dropout: Dropout = 0.1
    """Share of the channels that training drops, after each convolution and before the logits."""


class AtrousBlock(nn.Sequential):
    """ReLU, 1x1 convolution, normalisation, ReLU, atrous 3x3 convolution, dropout of channels.

    Args:
        in_channels: Of the features with all that was put before them.
        widths: Channels between, and of the output.
        rate: Dilation.
        dropout: Share of the channels that training drops.
        normalised: Whether a batch normalisation comes first.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, int],
        rate: int,
        dropout: float,
        *,
        normalised: bool,
    ) -> None:
        inner, out = widths
        super().__init__(
            PooledBatchNorm2d(in_channels) if normalised else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(in_channels, inner, kernel_size=1),
            PooledBatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, out, kernel_size=3, padding=rate, dilation=rate),
            nn.Dropout2d(dropout),
        )


class DenseASPP(nn.Module):
    """Densely connected atrous spatial pyramid pooling (doi 10.1109/CVPR.2018.00388).

    Args:
        encoder: As `build_encoder` gives it, on a stride of 8 or 16.
        classes: Channels of the logits.
        widths: Channels before and of each atrous convolution.
        options: Rates and dropout.
    """

    def __init__(
        self,
        encoder: Any,  # noqa: ANN401 - the libraries' encoders share no type
        classes: int,
        widths: tuple[int, int],
        options: DenseAsppOptions,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        last = encoder.out_channels[-1]
        channels = max(last // 2, 1)
        # The authors end DenseNet with one more transition, which halves its channels. Its
        # normalisation is the encoder's own last one.
        self.transition = nn.Sequential(
            nn.ReLU(), nn.Conv2d(last, channels, kernel_size=1, bias=False)
        )
        self.norm = PooledBatchNorm2d(channels)
        self.blocks = nn.ModuleList()
        for rate in options.rates:
            # The first follows a normalisation already.
            block = AtrousBlock(
                channels, widths, rate, options.dropout, normalised=len(self.blocks) > 0
            )
            self.blocks.append(block)
            channels += widths[1]
        self.head = nn.Sequential(
            nn.Dropout2d(options.dropout), nn.Conv2d(channels, classes, kernel_size=1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits.

        Args:
            image: (n, bands, height, width), multiples of the output stride s.

        Returns:
            (n, classes, height / s, width / s).
        """
        *_, c5 = self.encoder(image)
        features: Tensor = self.norm(self.transition(c5))
        for block in self.blocks:
            features = torch.cat([block(features), features], dim=1)
        logits: Tensor = self.head(features)
        return logits


def _build(request: NetworkRequest) -> nn.Module:
    options: DenseAsppOptions = request.options
    encoder = build_encoder(request, output_stride=options.output_stride)
    last: int = encoder.out_channels[-1]
    name = request.encoder.removeprefix(TIMM_PREFIX).partition(".")[0]
    inner, out = _WIDTHS.get(name, (max(last // 8, 1), max(last // 16, 1)))
    widths = (options.inner_channels or inner, options.branch_channels or out)
    return DenseASPP(encoder, request.classes, widths, options)


DENSEASPP: dict[str, Architecture] = {
    "denseaspp": Architecture(
        summary="DenseASPP, atrous convolutions connected densely, doi 10.1109/CVPR.2018.00388",
        build=_build,
        options=DenseAsppOptions,
        default_encoder="densenet121",
    )
}
"""DenseASPP by name."""
