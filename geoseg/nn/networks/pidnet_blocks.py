"""The parts of PIDNet: residual blocks, pooled context, and the meetings of its branches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.layers import PooledBatchNorm2d, conv_norm_relu, resize


def norm_relu_conv(
    in_channels: int, out_channels: int, kernel: int = 1, *, groups: int = 1
) -> nn.Sequential:
    """Batch normalisation, ReLU, convolution without bias; the size is kept.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        kernel: Odd side of the kernel.
        groups: Groups of channels that do not see each other.
    """
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(PooledBatchNorm2d(in_channels), nn.ReLU(inplace=True), convolution)


class Residual(nn.Module):
    """Layers with a way around them, which is projected where the shape changes.

    Args:
        layers: Convolutions, the last of them normalised but not rectified.
        channels: Of the input and of what `layers` gives.
        stride: By which `layers` shrinks the features.
        rectify: Whether a ReLU follows the sum.
    """

    def __init__(
        self, layers: nn.Module, channels: tuple[int, int], stride: int, *, rectify: bool
    ) -> None:
        super().__init__()
        before, after = channels
        self.layers = layers
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = conv_norm_relu(before, after, 1, stride=stride)[:-1]
        self.rectify = rectify

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, after, h / stride, w / stride) from (n, before, h, w)."""
        total: Tensor = self.layers(features) + self.shortcut(features)
        return functional.relu(total) if self.rectify else total


def basic_block(before: int, after: int, *, stride: int = 1, rectify: bool = False) -> Residual:
    """Two 3x3 convolutions with a way around them (arXiv 1512.03385)."""
    layers = nn.Sequential(
        *conv_norm_relu(before, after, stride=stride), *conv_norm_relu(after, after)[:-1]
    )
    return Residual(layers, (before, after), stride, rectify=rectify)


def bottleneck(before: int, width: int, *, stride: int = 1) -> Residual:
    """1x1, 3x3 and 1x1 convolution to twice the width, with a way around them; no ReLU after."""
    layers = nn.Sequential(
        *conv_norm_relu(before, width, 1),
        *conv_norm_relu(width, width, stride=stride),
        *conv_norm_relu(width, 2 * width, 1)[:-1],
    )
    return Residual(layers, (before, 2 * width), stride, rectify=False)


def basic_stage(before: int, after: int, count: int, *, stride: int = 1) -> nn.Sequential:
    """Several basic blocks; the first shrinks, the last is not rectified."""
    blocks = [
        basic_block(
            after if place else before,
            after,
            stride=1 if place else stride,
            rectify=place < count - 1,
        )
        for place in range(count)
    ]
    return nn.Sequential(*blocks)


class ContextPooling(nn.Module):
    """Features beside their averages over ever larger surroundings.

    Args:
        in_channels: Of the features.
        width: Channels of each scale.
        out_channels: Of the output.
        parallel: Whether one grouped convolution works on all scales at once (PAPPM, arXiv
            2206.02066), instead of scale after scale, each with the sum so far (DAPPM, arXiv
            2101.06085).
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, *, parallel: bool) -> None:
        super().__init__()
        self.parallel = parallel
        pools: list[nn.Module] = [
            nn.AvgPool2d(side, stride, padding=side // 2) for side, stride in ((5, 2), (9, 4))
        ]
        pools += [nn.AvgPool2d(17, 8, padding=8), nn.AdaptiveAvgPool2d(1)]
        self.own = norm_relu_conv(in_channels, width)
        self.scales = nn.ModuleList(
            nn.Sequential(pool, *norm_relu_conv(in_channels, width)) for pool in pools
        )
        count = len(pools)
        self.process = nn.ModuleList(
            [norm_relu_conv(count * width, count * width, 3, groups=count)]
            if parallel
            else [norm_relu_conv(width, width, 3) for _ in pools]
        )
        self.compress = norm_relu_conv((count + 1) * width, out_channels)
        self.shortcut = norm_relu_conv(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, out_channels, h, w) from (n, in_channels, h, w)."""
        own: Tensor = self.own(features)
        pooled = [resize(scale(features), features) for scale in self.scales]
        levels = [own]
        if self.parallel:
            levels.append(self.process[0](torch.cat([level + own for level in pooled], dim=1)))
        else:
            for level, process in zip(pooled, self.process, strict=True):
                levels.append(process(level + levels[-1]))
        context: Tensor = self.compress(torch.cat(levels, dim=1)) + self.shortcut(features)
        return context


class PixelAttention(nn.Module):
    """The detail branch takes from the context where the two agree (Pag of the paper).

    Args:
        context_channels: Of the context.
        channels: Of the detail.
        width: Channels in which the two are compared.
    """

    def __init__(self, context_channels: int, channels: int, width: int) -> None:
        super().__init__()
        self.compress = conv_norm_relu(context_channels, channels, 1)[:-1]
        self.detail_key = conv_norm_relu(channels, width, 1)[:-1]
        self.context_key = conv_norm_relu(channels, width, 1)[:-1]

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Mix the two.

        Args:
            detail: (n, channels, h, w).
            context: (n, context_channels, any, any), coarser.

        Returns:
            (n, channels, h, w).
        """
        coarse = self.compress(context)
        key = resize(self.context_key(coarse), detail)
        agreement = (self.detail_key(detail) * key).sum(dim=1, keepdim=True)
        return torch.lerp(detail, resize(coarse, detail), torch.sigmoid(agreement))


class BoundaryFusion(nn.Module):
    """Detail counts at boundaries, context inside (Bag of the paper).

    Args:
        channels: Of all three inputs and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = norm_relu_conv(channels, channels, 3)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        """Fuse three tensors (n, channels, h, w) into one."""
        fused: Tensor = self.conv(torch.lerp(context, detail, torch.sigmoid(boundary)))
        return fused


class LightBoundaryFusion(nn.Module):
    """As `BoundaryFusion`, with two 1x1 convolutions and each branch kept in full (Light-Bag).

    Args:
        channels: Of all three inputs and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail_conv = conv_norm_relu(channels, channels, 1)[:-1]
        self.context_conv = conv_norm_relu(channels, channels, 1)[:-1]

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        """Fuse three tensors (n, channels, h, w) into one."""
        share = torch.sigmoid(boundary)
        filled: Tensor = self.detail_conv(detail + (1 - share) * context)
        sharpened: Tensor = self.context_conv(context + share * detail)
        return filled + sharpened
