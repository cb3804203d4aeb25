"""UPerNet at its full width, with an auxiliary head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geoseg.nn.architecture import (
    Architecture,
    ArchitectureOptions,
    Auxiliary,
    Channels,
    Dropout,
    NetworkRequest,
)
from geoseg.nn.decoders.pspnet import Bins
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import PyramidPooling, classifier, conv_norm_relu, resize


class Uper512Options(ArchitectureOptions):
    """Options of UPerNet-512."""

    channels: Channels = 512
    """Of every level of the pyramid."""

    pooled_channels: Channels = 512
    """Of each pooled grid of the last level."""

    bins: Bins = (1, 2, 3, 6)
    """Bins along each side of the grids."""

    auxiliary_channels: Channels = 256
    """Of the head on the level before the last, which teaches it in training."""

    dropout: Dropout = 0.1
    """Share of the channels before the logits that training drops."""


class UPerNet(nn.Module):
    """Unified perceptual parsing network (arXiv 1807.10221).

    The last level is pooled as in PSPNet; a feature pyramid carries it down to the finer levels,
    each of which has its own convolutions; all levels are put beside each other.

    Args:
        encoder: As `build_encoder` gives it, on stride 32.
        classes: Channels of the logits.
        options: Its widths and bins.
    """

    def __init__(
        self,
        encoder: Any,  # noqa: ANN401 - the libraries' encoders share no type
        classes: int,
        options: Uper512Options,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        width = options.channels
        *finer, last = encoder.out_channels[2:]  # of levels 2 to 4, and 5
        self.pooling = PyramidPooling(last, options.pooled_channels, options.bins)
        self.top = conv_norm_relu(self.pooling.out_channels, width)
        self.laterals = nn.ModuleList(conv_norm_relu(channels, width, 1) for channels in finer)
        self.smoothings = nn.ModuleList(conv_norm_relu(width, width) for _ in finer)
        self.head = classifier(width * (len(finer) + 1), width, classes, dropout=options.dropout)
        self.auxiliary_head = classifier(
            finer[-1], options.auxiliary_channels, classes, dropout=options.dropout
        )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Compute logits.

        Args:
            image: (n, bands, height, width), multiples of 32.

        Returns:
            (n, classes, height / 4, width / 4); in training with those of the auxiliary head,
            (n, classes, height / 16, width / 16), after them.
        """
        *_, c2, c3, c4, c5 = self.encoder(image)
        carried: Tensor = self.top(self.pooling(c5))  # 1/32
        levels = [carried]
        for features, lateral, smoothing in zip(
            (c4, c3, c2), reversed(self.laterals), reversed(self.smoothings), strict=True
        ):
            kept = lateral(features)
            carried = kept + resize(carried, kept)
            levels.append(smoothing(carried))
        finest = levels[-1]  # 1/4
        fused = torch.cat([resize(level, finest) for level in reversed(levels)], dim=1)
        logits: Tensor = self.head(fused)
        if self.training:
            return logits, self.auxiliary_head(c4)
        return logits


def _build(request: NetworkRequest) -> nn.Module:
    return UPerNet(build_encoder(request), request.classes, request.options)


UPERNET512: dict[str, Architecture] = {
    "upernet512": Architecture(
        summary="UPerNet at its full width of 512, with an auxiliary head, arXiv 1807.10221",
        build=_build,
        options=Uper512Options,
        auxiliary=(Auxiliary(name="auxiliary", weight=0.4),),
    )
}
"""UPerNet-512 by name."""
