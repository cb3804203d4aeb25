"""ICNet as its authors trained it: a PSPNet-50 of half the width, cut in two (arXiv 1704.08545)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, NetworkRequest
from geoseg.nn.decoders.icnet import FUSED, GUIDANCE, CascadeFeatureFusion, shrink
from geoseg.nn.layers import conv_norm_relu, resize

_BINS = (1, 2, 3, 6)
_POOLED = 256


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with a way around them; as in Caffe the first one strides.

    Args:
        in_channels: Of the input.
        width: Channels inside; the output has four times as many.
        stride: Step of the first convolution.
        dilation: Of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out_channels = 4 * width
        self.layers = nn.Sequential(
            *conv_norm_relu(in_channels, width, 1, stride=stride),
            *conv_norm_relu(width, width, dilation=dilation),
            *conv_norm_relu(width, out_channels, 1)[:-1],
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = conv_norm_relu(in_channels, out_channels, 1, stride=stride)[:-1]

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, 4 width, h / stride, w / stride) from (n, in_channels, h, w)."""
        return functional.relu(self.layers(features) + self.shortcut(features))


class SummedPooling(nn.Module):
    """Pyramid pooling whose grids are added to the features, not put beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(side) for side in _BINS)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, channels, h, w) from the same."""
        total = features
        for pool in self.pools:
            total = total + resize(pool(features), features)
        return total


class SplitICNet(nn.Module):
    """ICNet with one trunk for its two coarser resolutions.

    The image at a half passes the trunk up to the first block of its third stage; the result is
    halved once more and passes the rest, so no layer is computed twice.

    Args:
        in_channels: Bands.
        classes: Channels of the logits.
    """

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            conv_norm_relu(in_channels, 32, stride=2),
            conv_norm_relu(32, 32),
            conv_norm_relu(32, 64),
            nn.MaxPool2d(3, stride=2, padding=1),
            *_stage(64, 32, 3),
            Bottleneck(128, 64, stride=2),
        )
        self.rest = nn.Sequential(
            *_stage(256, 64, 3),
            *_stage(256, 128, 6, dilation=2),
            *_stage(512, 256, 3, dilation=4),
        )
        self.pooling = nn.Sequential(SummedPooling(), conv_norm_relu(1024, _POOLED, 1))
        self.fine = nn.Sequential(
            conv_norm_relu(in_channels, 32, stride=2),
            conv_norm_relu(32, 32, stride=2),
            conv_norm_relu(32, 64, stride=2),
        )
        self.fusion_16 = CascadeFeatureFusion(_POOLED, 256)
        self.fusion_8 = CascadeFeatureFusion(FUSED, 64)
        self.head = nn.Conv2d(FUSED, classes, kernel_size=1)
        self.auxiliary = nn.ModuleList(
            nn.Conv2d(channels, classes, kernel_size=1) for channels in (_POOLED, FUSED)
        )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Compute logits at 1/4.

        Args:
            image: (n, bands, height, width).

        Returns:
            (n, classes, h, w) logits; in training also those of the guidance at 1/16 and 1/8.
        """
        middle = self.first(shrink(image, 2))  # 1/16
        coarse = self.pooling(self.rest(shrink(middle, 2)))  # 1/32
        fused, guided_16 = self.fusion_16(coarse, middle)
        fused, guided_8 = self.fusion_8(fused, self.fine(image))  # 1/8
        logits: Tensor = self.head(functional.interpolate(fused, scale_factor=2, mode="bilinear"))
        if self.training:
            return logits, self.auxiliary[0](guided_16), self.auxiliary[1](guided_8)
        return logits


def _stage(in_channels: int, width: int, count: int, *, dilation: int = 1) -> list[nn.Module]:
    return [
        Bottleneck(4 * width if place else in_channels, width, dilation=dilation)
        for place in range(count)
    ]


def _build(request: NetworkRequest) -> nn.Module:
    return SplitICNet(request.in_channels, request.classes)


ICNET: dict[str, Architecture] = {
    "icnet": Architecture(
        summary="ICNet, fast: three resolutions in cascade, arXiv 1704.08545",
        build=_build,
        auxiliary=GUIDANCE,
        has_encoder=False,
        divisor=32,
    ),
}
