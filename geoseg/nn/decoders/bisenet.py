"""BiSeNet: a shallow path keeps the details, a deep one sees the context."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from geoseg.nn.architecture import (
    Architecture,
    ArchitectureOptions,
    Auxiliary,
    Channels,
    NetworkRequest,
)
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import PooledBatchNorm2d, classifier, conv_norm_relu, resize

_WIDTH = 128
"""Channels of both paths."""


class BiSeNetOptions(ArchitectureOptions):
    """Options of BiSeNet; the defaults are the ResNet-18 network of the paper's authors.

    Another common form has `head_width` 256, `auxiliary_width` 64 and `gate_layers` 1.
    """

    head_width: Channels = 64
    """Channels of the convolution before the classifier."""

    auxiliary_width: Channels = 256
    """The same of the two auxiliary classifiers."""

    gate_layers: Literal[1, 2] = 2
    """Layers that weigh the channels of the fusion: two of 1x1 as in the paper, or a single
    one with normalisation."""


class SpatialPath(nn.Sequential):
    """Three convolutions of stride 2 and one of 1x1: details at stride 8.

    Args:
        in_channels: Bands of the image.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            conv_norm_relu(in_channels, 64, 7, stride=2),
            conv_norm_relu(64, 64, stride=2),
            conv_norm_relu(64, 64, stride=2),
            conv_norm_relu(64, _WIDTH, 1),
        )


class AttentionRefinement(nn.Module):
    """Projects features and weighs each channel by what its mean tells.

    Args:
        in_channels: Of the features.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.project = conv_norm_relu(in_channels, _WIDTH)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(_WIDTH, _WIDTH, 1, bias=False),
            PooledBatchNorm2d(_WIDTH),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, 128, h, w) from (n, in_channels, h, w)."""
        projected: Tensor = self.project(features)
        weighed: Tensor = projected * self.gate(projected)
        return weighed


class ContextPath(nn.Module):
    """The two coarsest levels of the encoder and the mean of the last one, brought together.

    Args:
        c4_channels: Of the level of stride 16.
        c5_channels: Of the level of stride 32.
    """

    def __init__(self, c4_channels: int, c5_channels: int) -> None:
        super().__init__()
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm_relu(c5_channels, _WIDTH, 1))
        self.attention16 = AttentionRefinement(c4_channels)
        self.attention32 = AttentionRefinement(c5_channels)
        self.refine16 = conv_norm_relu(_WIDTH, _WIDTH)
        self.refine32 = conv_norm_relu(_WIDTH, _WIDTH)

    def forward(self, c4: Tensor, c5: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the context.

        Args:
            c4: (n, c4_channels, h/16, w/16).
            c5: (n, c5_channels, h/32, w/32).
            like: Of the height and width of the spatial path.

        Returns:
            (n, 128, h/8, w/8) and, on the way to it, (n, 128, h/16, w/16).
        """
        context = self.attention32(c5) + self.tail(c5)
        context16: Tensor = self.refine32(resize(context, c4))
        context = self.attention16(c4) + context16
        context8: Tensor = self.refine16(resize(context, like))
        return context8, context16


class FeatureFusion(nn.Module):
    """Joins both paths and adds the result once more, weighed channel by channel.

    Args:
        layers: Of the gate, see `BiSeNetOptions.gate_layers`.
    """

    def __init__(self, layers: Literal[1, 2]) -> None:
        super().__init__()
        width = 2 * _WIDTH
        self.join = conv_norm_relu(width, width, 1)
        last = (
            nn.Sigmoid() if layers == 2 else nn.Sequential(PooledBatchNorm2d(width), nn.Sigmoid())
        )
        first = [nn.Conv2d(width, width, 1, bias=False), nn.ReLU(inplace=True)]
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *(first if layers == 2 else []),
            nn.Conv2d(width, width, 1, bias=False),
            last,
        )

    def forward(self, details: Tensor, context: Tensor) -> Tensor:
        """Compute (n, 256, h, w) from twice (n, 128, h, w)."""
        joined: Tensor = self.join(torch.cat([details, context], dim=1))
        fused: Tensor = joined + joined * self.gate(joined)
        return fused


class BiSeNet(nn.Module):
    """BiSeNet (arXiv 1808.00897), logits at stride 8.

    Args:
        request: Encoder, bands, classes and `BiSeNetOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        options: BiSeNetOptions = request.options
        self.encoder = build_encoder(request)
        c4_channels, c5_channels = self.encoder.out_channels[-2:]
        self.spatial_path = SpatialPath(request.in_channels)
        self.context_path = ContextPath(c4_channels, c5_channels)
        self.fusion = FeatureFusion(options.gate_layers)
        self.head = classifier(2 * _WIDTH, options.head_width, request.classes, dropout=0)
        self.auxiliary = nn.ModuleList(
            classifier(_WIDTH, options.auxiliary_width, request.classes, dropout=0)
            for _ in range(2)
        )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute logits.

        Args:
            image: (n, bands, h, w).

        Returns:
            (n, classes, h/8, w/8); in training with those of both contexts, of strides 8 and 16.
        """
        *_, c4, c5 = self.encoder(image)
        details = self.spatial_path(image)
        contexts = self.context_path(c4, c5, details)
        logits: Tensor = self.head(self.fusion(details, contexts[0]))
        if not self.training:
            return logits
        others = (head(context) for head, context in zip(self.auxiliary, contexts, strict=True))
        return (logits, *others)


BISENET: dict[str, Architecture] = {
    "bisenet": Architecture(
        summary="BiSeNet, arXiv 1808.00897",
        build=BiSeNet,
        options=BiSeNetOptions,
        auxiliary=(
            Auxiliary(name="context of stride 8", weight=1.0),
            Auxiliary(name="context of stride 16", weight=1.0),
        ),
        default_encoder="resnet18",
    )
}
