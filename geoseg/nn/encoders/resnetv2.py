"""Pre-activation ResNets that timm does not list: ResNetV2-200 and the separable ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from segmentation_models_pytorch.encoders._base import EncoderMixin
from timm.layers.create_conv2d import create_conv2d
from timm.layers.norm_act import BatchNormAct2d
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn


class ResNetV2Encoder(nn.Module, EncoderMixin):  # type: ignore[misc] # the library is untyped
    """A pre-activation ResNet with bottlenecks (arXiv 1603.05027), of timm's parts.

    The levels are the sums of the residual blocks, as timm gives them for `resnetv2_50`; the
    last one is normalised and activated.

    Args:
        layers: Blocks of each stage.
        separable: Whether the bottlenecks are those of `_make_separable`.
        depth: Levels beside the image, 2 to 5; the stages behind them are left out.
        output_stride: Pixels per cell of the last level: 8, 16 or 32.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        separable: bool = False,
        depth: int = 5,
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        model: Any = ResNetV2(
            layers=list(layers),
            num_classes=0,
            output_stride=output_stride,
            conv_layer=create_conv2d,
            norm_layer=BatchNormAct2d,
        )
        self._depth = depth
        self._output_stride = output_stride
        self._in_channels = 3
        self._out_channels = [3, *(info["num_chs"] for info in model.feature_info)]
        model.stages = model.stages[: depth - 1]
        model.norm = model.norm if depth == 5 else nn.Identity()
        if separable:
            for stage in model.stages:
                for block in stage.blocks:
                    _make_separable(block)
        self.model = model

    def make_dilated(self, output_stride: int) -> None:
        """Do nothing: timm dilates while it builds."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the levels of (n, bands, height, width), the image first."""
        model: Any = self.model
        features = [image, model.stem.conv(image)]
        current = model.stem.pool(features[-1])
        for stage in model.stages:
            current = stage(current)
            features.append(current)
        features[-1] = model.norm(features[-1])
        return features


def _make_separable(block: Any) -> None:  # noqa: ANN401 - timm's block
    """Turn a bottleneck into that of `resnet_v2_*_separable` (Semantic_Segmentation_Keras).

    Its first 1 x 1 convolution is separable, which at 1 x 1 is a factor per channel before it,
    and its middle kernel is 5 x 5. That the 5 is the middle's tells the published size: 20.12 M
    parameters more than the plain ResNetV2-50 are the 16 additional taps of its middle kernels
    (16 * (3 * 64**2 + 4 * 128**2 + 6 * 256**2 + 3 * 512**2)) and 0.01 M of the factors; separable
    kernels of 5 x 5 in front would be 0.3 M.
    """
    first, middle = block.conv1, block.conv2
    factors = nn.Conv2d(
        first.in_channels, first.in_channels, 1, groups=first.in_channels, bias=False
    )
    rate = middle.dilation[0]
    wide = nn.Conv2d(
        middle.in_channels,
        middle.out_channels,
        kernel_size=5,
        stride=middle.stride,
        padding=2 * rate,
        dilation=rate,
        bias=False,
    )
    with torch.no_grad():
        nn.init.ones_(factors.weight)  # the block begins as one without factors
        nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
    block.conv1 = nn.Sequential(factors, first)
    block.conv2 = wide
