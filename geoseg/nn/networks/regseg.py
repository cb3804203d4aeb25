"""RegSeg: a field of view that grows by dilation, not by depth (arXiv 2111.09957)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, NetworkRequest
from geoseg.nn.layers import PooledBatchNorm2d, conv_norm_relu, resize

_STEM = 32

DILATIONS: tuple[tuple[int, ...], ...] = ((1,), (1, 2), *4 * ((1, 4),), *7 * ((1, 14),))
"""Of the blocks at 1/16, after the one that shrinks to it; the last one widens."""


@dataclass(frozen=True, kw_only=True)
class RegsegSize:
    """What the two sizes of RegSeg differ in."""

    group: int
    """Channels of each group of the 3x3 convolutions."""

    quarter: tuple[int, int]
    """Channels and blocks at 1/4."""

    eighth: tuple[int, int]
    """Channels and blocks at 1/8."""

    sixteenth: tuple[int, int]
    """Channels at 1/16, of all blocks but the last and of the last."""

    projected: tuple[int, int]
    """Channels that the decoder takes of 1/8 and 1/16, and of 1/4."""


BASE = RegsegSize(
    group=16, quarter=(48, 1), eighth=(128, 3), sixteenth=(256, 320), projected=(128, 8)
)
LARGE = RegsegSize(
    group=24, quarter=(48, 2), eighth=(120, 6), sixteenth=(336, 384), projected=(256, 16)
)


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole image holds (arXiv 1709.01507).

    Args:
        channels: Of the features.
        width: Channels between.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, width, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, channels, h, w) from the same."""
        weighed: Tensor = features * self.weights(features)
        return weighed


class DilatedConv(nn.Module):
    """A grouped 3x3 convolution whose channels are shared out between several dilations.

    Args:
        channels: Of the input and of the output.
        dilations: One for each equal share.
        group: Channels of each group.
        stride: Step of the convolution.
    """

    def __init__(
        self, channels: int, dilations: tuple[int, ...], group: int, *, stride: int = 1
    ) -> None:
        super().__init__()
        share = channels // len(dilations)
        self.convs = nn.ModuleList(
            nn.Conv2d(
                share,
                share,
                3,
                stride=stride,
                padding=dilation,
                dilation=dilation,
                groups=share // group,
                bias=False,
            )
            for dilation in dilations
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, channels, h / stride, w / stride) from (n, channels, h, w)."""
        shares = features.chunk(len(self.convs), dim=1)
        pairs = zip(self.convs, shares, strict=True)
        return torch.cat([conv(share) for conv, share in pairs], dim=1)


class DBlock(nn.Module):
    """A block of RegNetY whose 3x3 convolution has several dilations.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        group: Channels of each group of the 3x3 convolution.
        dilations: Of the shares of its channels.
        stride: Of the 3x3 convolution, 1 or 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: int,
        dilations: tuple[int, ...] = (1,),
        *,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *conv_norm_relu(in_channels, out_channels, 1),
            DilatedConv(out_channels, dilations, group, stride=stride),
            PooledBatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            SqueezeExcitation(out_channels, in_channels // 4),
            *conv_norm_relu(out_channels, out_channels, 1)[:-1],
        )
        shortcut: list[nn.Module] = []
        if stride == 2:
            shortcut.append(nn.AvgPool2d(2, ceil_mode=True))
        if stride == 2 or in_channels != out_channels:
            shortcut += conv_norm_relu(in_channels, out_channels, 1)[:-1]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, out_channels, h / stride, w / stride) from (n, in_channels, h, w)."""
        return functional.relu(self.layers(features) + self.shortcut(features))


class RegSeg(nn.Module):
    """The network of Gao (arXiv 2111.09957): nothing is coarser than 1/16.

    Args:
        in_channels: Bands.
        classes: Channels of the logits.
        size: Widths and depths.
    """

    def __init__(self, in_channels: int, classes: int, size: RegsegSize) -> None:
        super().__init__()
        quarter, eighth, (sixteenth, last) = size.quarter[0], size.eighth[0], size.sixteenth
        wide, narrow = size.projected
        self.stem = conv_norm_relu(in_channels, _STEM, stride=2)
        self.stage4 = _plain_stage(_STEM, *size.quarter, size.group)
        self.stage8 = _plain_stage(quarter, *size.eighth, size.group)
        self.stage16 = nn.Sequential(
            DBlock(eighth, sixteenth, size.group, stride=2),
            *(DBlock(sixteenth, sixteenth, size.group, pair) for pair in DILATIONS[:-1]),
            DBlock(sixteenth, last, size.group, DILATIONS[-1]),
        )
        self.project16 = conv_norm_relu(last, wide, 1)
        self.project8 = conv_norm_relu(eighth, wide, 1)
        self.project4 = conv_norm_relu(quarter, narrow, 1)
        self.fuse8 = conv_norm_relu(wide, wide // 2)
        self.fuse4 = conv_norm_relu(wide // 2 + narrow, wide // 2)
        self.classifier = nn.Conv2d(wide // 2, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, height / 4, width / 4) of (n, bands, height, width)."""
        c4 = self.stage4(self.stem(image))
        c8 = self.stage8(c4)
        c16 = self.stage16(c8)
        p8 = self.project8(c8)
        p8 = self.fuse8(p8 + resize(self.project16(c16), p8))
        p4 = self.project4(c4)
        p4 = self.fuse4(torch.cat([resize(p8, p4), p4], dim=1))
        logits: Tensor = self.classifier(p4)
        return logits


def _plain_stage(in_channels: int, channels: int, count: int, group: int) -> nn.Sequential:
    blocks = [DBlock(channels, channels, group) for _ in range(count - 1)]
    return nn.Sequential(DBlock(in_channels, channels, group, stride=2), *blocks)


def _builder(size: RegsegSize) -> Callable[[NetworkRequest], nn.Module]:
    def build(request: NetworkRequest) -> nn.Module:
        return RegSeg(request.in_channels, request.classes, size)

    return build


REGSEG: dict[str, Architecture] = {
    "regseg": Architecture(
        summary="RegSeg, fast: ever larger dilations at 1/16, arXiv 2111.09957",
        build=_builder(BASE),
        has_encoder=False,
        divisor=16,
    ),
    "regseg_large": Architecture(
        summary="RegSeg, the larger one of its authors, arXiv 2111.09957",
        build=_builder(LARGE),
        has_encoder=False,
        divisor=16,
    ),
}
