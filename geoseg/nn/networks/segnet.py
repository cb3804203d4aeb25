"""SegNet (Badrinarayanan, Kendall and Cipolla, arXiv 1511.00561)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, NetworkRequest
from geoseg.nn.layers import conv_norm_relu
from geoseg.nn.unpooling import max_unpool2d

_DOWN = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels after each of the 13 convolutions of VGG-16, stage by stage."""

_UP = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64,))
"""The mirror image; the classifier takes the place of its last convolution."""


class SegNet(nn.Module):
    """SegNet: VGG-16 and its mirror image, which is told only where the maxima were.

    Args:
        in_channels: Bands of the image.
        classes: Channels of the logits.
    """

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.down = _stages(in_channels, _DOWN)
        self.up = _stages(_DOWN[-1][-1], _UP)
        self.head = nn.Conv2d(_UP[-1][-1], classes, 3, padding=1)
        self.apply(_initialize)

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height, width) from (n, bands, height, width), from 32 pixels."""
        features, pooled = image, []
        for stage in self.down:
            features = stage(features)
            size = (features.shape[2], features.shape[3])
            features, indices = functional.max_pool2d_with_indices(features, (2, 2))
            pooled.append((indices, size))
        for stage in self.up:
            features = stage(max_unpool2d(features, *pooled.pop()))
        logits: Tensor = self.head(features)
        return logits


def _stages(in_channels: int, stages: Sequence[Sequence[int]]) -> nn.ModuleList:
    """3x3 convolutions with normalisation and ReLU, stage by stage."""
    befores = [in_channels, *(widths[-1] for widths in stages)]
    return nn.ModuleList(
        nn.Sequential(*(conv_norm_relu(*pair) for pair in pairwise((before, *widths))))
        for before, widths in zip(befores, stages, strict=False)
    )


def _initialize(module: nn.Module) -> None:
    """As He et al. (arXiv 1502.01852), which section 3 of the paper names."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _build(request: NetworkRequest) -> nn.Module:
    return SegNet(request.in_channels, request.classes)


SEGNET: dict[str, Architecture] = {
    "segnet": Architecture(
        summary="SegNet: VGG-16 and its mirror image with max unpooling, arXiv 1511.00561",
        build=_build,
        has_encoder=False,
        divisor=32,
    ),
}
