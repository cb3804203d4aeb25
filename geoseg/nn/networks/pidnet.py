"""PIDNet: three branches, for detail, context and boundaries (arXiv 2206.02066)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, Auxiliary, NetworkRequest
from geoseg.nn.layers import PooledBatchNorm2d, conv_norm_relu, resize
from geoseg.nn.networks.pidnet_blocks import (
    BoundaryFusion,
    ContextPooling,
    LightBoundaryFusion,
    PixelAttention,
    basic_block,
    basic_stage,
    bottleneck,
    norm_relu_conv,
)


@dataclass(frozen=True, kw_only=True)
class PidnetSize:
    """What the three sizes of PIDNet differ in."""

    width: int
    """Channels of the first stage."""

    early: int
    """Blocks of the stages of context at 1/4 and 1/8, and of those of detail."""

    late: int
    """Blocks of the stages of context at 1/16 and 1/32."""

    pooled: int
    """Channels of each scale of pooled context."""

    head: int
    """Channels inside the heads of classes."""

    light: bool
    """Whether boundaries, pooling and fusion take their cheaper forms."""


SMALL = PidnetSize(width=32, early=2, late=3, pooled=96, head=128, light=True)
MEDIUM = PidnetSize(width=64, early=2, late=3, pooled=96, head=128, light=True)
LARGE = PidnetSize(width=64, early=3, late=4, pooled=112, head=256, light=False)


class PIDNet(nn.Module):
    """The network of Xu, Xiong and Bhattacharyya (arXiv 2206.02066).

    Context (I) sinks to 1/64; detail (P) and boundary (D) stay at 1/8 and take from it on the
    way. Where the boundary branch is sure, the fusion trusts the detail.

    Args:
        in_channels: Bands.
        classes: Channels of the logits.
        size: Widths and depths.
    """

    def __init__(self, in_channels: int, classes: int, size: PidnetSize) -> None:
        super().__init__()
        width, early, late = size.width, size.early, size.late
        self.stem = nn.Sequential(
            *_stem_conv(in_channels, width),
            *_stem_conv(width, width),
        )
        self.context1 = basic_stage(width, width, early)
        self.context2 = basic_stage(width, 2 * width, early, stride=2)
        self.context3 = basic_stage(2 * width, 4 * width, late, stride=2)
        self.context4 = basic_stage(4 * width, 8 * width, late, stride=2)
        self.context5 = nn.Sequential(
            bottleneck(8 * width, 8 * width, stride=2), bottleneck(16 * width, 8 * width)
        )
        self.pooling = ContextPooling(16 * width, size.pooled, 4 * width, parallel=size.light)

        self.detail3 = basic_stage(2 * width, 2 * width, early)
        self.detail4 = basic_stage(2 * width, 2 * width, early)
        self.detail5 = bottleneck(2 * width, 2 * width)
        self.attend3 = PixelAttention(4 * width, 2 * width, width)
        self.attend4 = PixelAttention(8 * width, 2 * width, width)

        narrow = width if size.light else 2 * width
        self.boundary3 = basic_block(2 * width, narrow)
        self.boundary4 = (
            bottleneck(width, width) if size.light else basic_block(2 * width, 2 * width)
        )
        self.boundary5 = bottleneck(2 * width, 2 * width)
        self.difference3 = conv_norm_relu(4 * width, narrow)[:-1]
        self.difference4 = conv_norm_relu(8 * width, 2 * width)[:-1]

        self.fusion = (LightBoundaryFusion if size.light else BoundaryFusion)(4 * width)
        self.head = _head(4 * width, size.head, classes)
        self.auxiliary = nn.ModuleList(
            [_head(2 * width, size.head, classes), _head(2 * width, width, 1)]
        )
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Compute logits at 1/8.

        Args:
            image: (n, bands, height, width).

        Returns:
            (n, classes, h, w) logits; in training also those of the detail branch, and the
            boundary branch's (n, 1, h, w).
        """
        context = functional.relu(self.context1(self.stem(image)))  # 1/4
        context = functional.relu(self.context2(context))  # 1/8, where the branches part
        detail = self.detail3(context)
        boundary = self.boundary3(context)

        context = functional.relu(self.context3(context))  # 1/16
        early_detail = functional.relu(self.attend3(detail, context))
        boundary = functional.relu(boundary + resize(self.difference3(context), boundary))
        detail = self.detail4(early_detail)
        boundary = self.boundary4(boundary)

        context = functional.relu(self.context4(context))  # 1/32
        detail = functional.relu(self.attend4(detail, context))
        late_boundary = functional.relu(boundary + resize(self.difference4(context), boundary))
        detail = self.detail5(detail)
        boundary = self.boundary5(late_boundary)

        context = resize(self.pooling(self.context5(context)), detail)  # from 1/64
        logits: Tensor = self.head(self.fusion(detail, context, boundary))
        if self.training:
            return logits, self.auxiliary[0](early_detail), self.auxiliary[1](late_boundary)
        return logits


def _stem_conv(in_channels: int, width: int) -> nn.Sequential:
    # With a bias, needless before a norm, as the authors' weights have one.
    convolution = nn.Conv2d(in_channels, width, 3, stride=2, padding=1)
    return nn.Sequential(convolution, PooledBatchNorm2d(width), nn.ReLU(inplace=True))


def _head(in_channels: int, width: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        *norm_relu_conv(in_channels, width, 3),
        PooledBatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, out_channels, kernel_size=1),
    )


def _initialise(network: nn.Module) -> None:
    """As the authors do: by the fan out, for ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _builder(size: PidnetSize) -> Callable[[NetworkRequest], nn.Module]:
    def build(request: NetworkRequest) -> nn.Module:
        return PIDNet(request.in_channels, request.classes, size)

    return build


def _architecture(name: str, size: PidnetSize) -> Architecture:
    return Architecture(
        summary=f"PIDNet-{name}, fast: detail, context and boundaries apart, arXiv 2206.02066",
        build=_builder(size),
        auxiliary=(
            Auxiliary(name="detail", weight=0.4),
            Auxiliary(name="boundary", weight=20.0, boundary=True),
        ),
        has_encoder=False,
        divisor=64,
    )


PIDNET: dict[str, Architecture] = {
    "pidnet_s": _architecture("S", SMALL),
    "pidnet_m": _architecture("M", MEDIUM),
    "pidnet_l": _architecture("L", LARGE),
}
