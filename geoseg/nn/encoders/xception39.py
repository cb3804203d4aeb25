"""Xception-39, the small encoder of BiSeNet."""

from __future__ import annotations

from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import Tensor, nn

from geoseg.nn.encoders.dilated import dilate
from geoseg.nn.layers import conv_norm_relu

_EXPANSION = 4
_STAGES = ((16, 4), (32, 8), (64, 4))
"""Width and blocks of the stages on cells of 8, 16 and 32 pixels, as BiSeNet's authors have it."""


class Xception39Encoder(nn.Module, EncoderMixin):  # type: ignore[misc] # the library is untyped
    """Xception-39 of BiSeNet (arXiv 1808.00897): a stem of 8 channels, three stages of bottlenecks.

    Args:
        depth: Levels beside the image, 1 to 5; the stages behind them are left out.
        output_stride: Pixels per cell of the last level.
    """

    def __init__(self, depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        self._depth = depth
        self._output_stride = output_stride
        self._in_channels = 3
        self._out_channels = [3, 8, 8, *(width * _EXPANSION for width, _ in _STAGES)]
        self.stem = conv_norm_relu(3, 8, stride=2)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels, stages = 8, []
        for width, blocks in _STAGES[: max(depth - 2, 0)]:
            first = _Bottleneck(channels, width, stride=2)
            channels = width * _EXPANSION
            rest = (_Bottleneck(channels, width) for _ in range(1, blocks))
            stages.append(nn.Sequential(first, *rest))
        self.stages = nn.ModuleList(stages)

    def make_dilated(self, output_stride: int) -> None:
        """Keep the last levels on cells of `output_stride` pixels, 8 or 16.

        The convolution that loses its step keeps its taps, those behind it spread theirs, so
        that every second cell of the finer level is a cell of the coarser one.
        """
        rate = 1
        for stage, stride in zip(self.stages, (8, 16, 32), strict=False):
            if stride <= output_stride:
                continue
            for module in stage.modules():
                if isinstance(module, nn.Conv2d):
                    stepping = module.stride != (1, 1)
                    module.stride = (1, 1)
                    dilate(module, rate if stepping else 2 * rate)
            rate *= 2

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the levels of (n, bands, height, width), the image first."""
        features = [image, self.stem(image)]
        if self._depth > 1:
            features.append(self.pool(features[-1]))
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class _Bottleneck(nn.Module):
    """Three separable convolutions and a shortcut, which is a fourth where the size changes."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = width * _EXPANSION
        self.residual = nn.Sequential(
            _separable(in_channels, width, stride=stride),
            nn.ReLU(inplace=True),
            _separable(width, width),
            nn.ReLU(inplace=True),
            _separable(width, out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = _separable(in_channels, out_channels, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        activated: Tensor = self.relu(self.shortcut(features) + self.residual(features))
        return activated


def _separable(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """One kernel per channel, then a mixture of them; normalised once, at the end."""
    return nn.Sequential(
        nn.Conv2d(
            in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False
        ),
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
