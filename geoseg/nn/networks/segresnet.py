"""SegResNet: SegNet's idea on ResNet-50."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, resnet50

from geoseg.nn.architecture import Architecture, NetworkRequest
from geoseg.nn.layers import conv_norm_relu
from geoseg.nn.unpooling import max_unpool2d

_UP = ((2048, 2), (1024, 5), (512, 3), (256, 2))
"""Channels of each stage of ResNet-50 from its end, and its blocks that keep them."""

_STEM = 64


class SegResNet(nn.Module):
    """ResNet-50 and its mirror image; the stem's max pooling is undone with its indices.

    It has no paper; the layout is that of yassouali's pytorch-segmentation.

    Args:
        in_channels: Bands of the image.
        classes: Channels of the logits.
    """

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        resnet: Any = resnet50(weights=None)
        first: Any = conv_norm_relu(in_channels, _STEM, 7, stride=2)
        nn.init.kaiming_normal_(first[0].weight, mode="fan_out", nonlinearity="relu")
        self.stem = first
        self.down = nn.Sequential(resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)
        self.up = nn.Sequential(*(_mirrored(width, blocks) for width, blocks in _UP))
        self.head = nn.Sequential(
            nn.ConvTranspose2d(_STEM, _STEM, kernel_size=2, stride=2, bias=False),
            nn.Conv2d(_STEM, classes, kernel_size=3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height, width) for heights and widths that 32 divides."""
        stem = self.stem(image)
        size = (stem.shape[2], stem.shape[3])
        features, indices = functional.max_pool2d_with_indices(
            stem, (3, 3), stride=(2, 2), padding=(1, 1)
        )
        features = self.up(self.down(features))
        unpooled = max_unpool2d(features, indices, size, overlapping=True)
        logits: Tensor = self.head(unpooled)
        return logits


class _Return(nn.Module):
    """A bottleneck that undoes the first block of a stage of ResNet-50.

    Args:
        in_channels: Of the input; between are a quarter as many.
        out_channels: Of the output.
        enlarge: Whether height and width are doubled, by transposed convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, *, enlarge: bool) -> None:
        super().__init__()
        between = in_channels // 4
        if enlarge:
            spread: nn.Module = nn.ConvTranspose2d(between, between, 2, stride=2, bias=False)
            skip: nn.Module = nn.ConvTranspose2d(in_channels, out_channels, 2, 2, bias=False)
        else:
            spread = nn.Conv2d(between, between, 3, padding=1, bias=False)
            skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.body = nn.Sequential(
            *conv_norm_relu(in_channels, between, 1),
            spread,
            nn.BatchNorm2d(between),
            nn.ReLU(inplace=True),
            nn.Conv2d(between, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(skip, nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, `out_channels`, h, w), or twice as high and wide."""
        return functional.relu(self.body(features) + self.shortcut(features))


def _mirrored(width: int, blocks: int) -> nn.Sequential:
    """One stage of ResNet-50 backwards: the blocks that keep its channels, then its first."""
    lowest = width == 4 * _STEM
    after = _STEM if lowest else width // 2
    return nn.Sequential(
        *(Bottleneck(width, width // 4) for _ in range(blocks)),
        _Return(width, after, enlarge=not lowest),
    )


def _build(request: NetworkRequest) -> nn.Module:
    return SegResNet(request.in_channels, request.classes)


SEGRESNET: dict[str, Architecture] = {
    "segresnet": Architecture(
        summary="SegResNet: ResNet-50 and its mirror image, after SegNet (arXiv 1511.00561)",
        build=_build,
        has_encoder=False,
        divisor=32,
    ),
}
