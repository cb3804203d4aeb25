"""Layers that many networks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_BILINEAR = (0.25, 0.75, 0.75, 0.25)
"""Weights along one axis by which a cell enters the four finer cells around it."""


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU; the size is kept but for the stride.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        kernel: Odd side of the kernel.
        stride: Step of the convolution.
        dilation: Between the taps of the kernel.
        groups: Groups of channels that do not see each other.
    """
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        PooledBatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def classifier(
    in_channels: int, width: int, classes: int, *, dropout: float = 0.1
) -> nn.Sequential:
    """The usual head: 3x3 convolution, normalisation, ReLU, dropout of channels, 1x1 convolution.

    Args:
        in_channels: Of the features.
        width: Channels between.
        classes: Channels of the logits.
        dropout: Share of the channels that training drops.
    """
    return nn.Sequential(
        *conv_norm_relu(in_channels, width),
        nn.Dropout2d(dropout),
        nn.Conv2d(width, classes, kernel_size=1),
    )


def resize(image: Tensor, like: Tensor, *, align_corners: bool = False) -> Tensor:
    """Resize bilinearly to the height and width of another tensor.

    Args:
        image: (n, channels, h, w).
        like: (n, any, height, width).
        align_corners: Whether the centres of the corner cells fall together, instead of the
            outer corners of the cells.

    Returns:
        (n, channels, height, width).
    """
    size = like.shape[-2:]
    if image.shape[-2:] == size:
        return image
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=align_corners)


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation after a global pooling.

    A batch of one sample has a single value per channel there, of which no variance can be
    taken; the running statistics serve then, as they do in prediction.
    """

    def forward(self, input: Any) -> Any:  # noqa: A002, ANN401 - the signature of torch
        """Normalise (n, channels, height, width)."""
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def protect_pooled_norms(module: Any) -> None:  # noqa: ANN401 - torch types children loosely
    """Put `PooledBatchNorm2d` in place of each batch normalisation; keys stay as they are."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            norm = PooledBatchNorm2d(child.num_features, eps=child.eps, momentum=child.momentum)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            protect_pooled_norms(child)


class PyramidPooling(nn.Module):
    """The pyramid pooling module of PSPNet (arXiv 1612.01105).

    The features are averaged over grids of a few bins a side, each grid is projected, resized
    back and put beside the features.

    Args:
        in_channels: Of the features.
        out_channels: Of each projected grid.
        bins: Bins along each side, grid by grid.
        align_corners: How the grids are resized, see `resize`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        *,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = in_channels + out_channels * len(bins)
        self.align_corners = align_corners
        self.branches = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), conv_norm_relu(in_channels, out_channels, 1))
            for side in bins
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, `out_channels`, h, w) from (n, `in_channels`, h, w)."""
        grids = [
            resize(branch(features), features, align_corners=self.align_corners)
            for branch in self.branches
        ]
        return torch.cat([features, *grids], dim=1)


class LearnedUpsampling(nn.Module):
    """Twice the size by a transposed convolution that starts as bilinear interpolation.

    The border is repeated, not filled with zeros, so that a constant stays constant.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Two cells that belong to the repeated border and one of the kernel's own are cut off.
        self.deconvolution = nn.ConvTranspose2d(
            channels, channels, kernel_size=4, stride=2, padding=3, bias=False
        )
        line = torch.tensor(_BILINEAR)
        with torch.no_grad():
            weight = torch.eye(channels)[:, :, None, None] * torch.outer(line, line)
            self.deconvolution.weight.copy_(weight)

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, channels, 2 h, 2 w) from (n, channels, h, w)."""
        padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
        upsampled: Tensor = self.deconvolution(padded)
        return upsampled
