"""Plain vision transformers as encoders with levels of several resolutions."""

from __future__ import annotations

import math
from typing import Any

import timm
from segmentation_models_pytorch.encoders._base import EncoderMixin
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.encoders.names import TIMM_PREFIX, size_options, timm_traits
from geoseg.nn.layers import conv_norm_relu

_STEM_CHANNELS = 32
_CELL = 16
"""Pixels a side of what becomes a token where the network's own are no power of two."""


class PyramidEncoder(nn.Module, EncoderMixin):  # type: ignore[misc] # the library is untyped
    """A pyramid over a transformer whose features all have one resolution.

    The levels on cells of 4, 8, 16 and 32 pixels come of its tokens by transposed convolutions
    and pooling, as in ViTDet's simple feature pyramid (arXiv 2203.16527), but without its last
    projection to 256 channels, since every decoder projects by itself. They are taken after each
    quarter of the blocks instead of all after the last one, as for UPerNet in BEiT
    (arXiv 2106.08254), so that decoders with auxiliary outputs find depths that differ.

    The level on cells of 2 pixels comes of the image, by two convolutions: tokens of 16 pixels
    have nothing to tell a U-Net at that size, whose edges would be as coarse as they are.

    Tokens of 14 pixels, as DINOv2 has them, become such of 16; timm resamples its weights.

    Args:
        name: As `resolve_encoder` returns it; a timm network for which `is_plain` holds.
        in_channels: Bands of the image.
        pretrained: Whether it begins with timm's weights.
        depth: Levels beside the image, 3 to 5.
        output_stride: Pixels per cell of the last level: 8, 16 or 32.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int,
        pretrained: bool = False,
        depth: int = 5,
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        model = _trunk(name, in_channels=in_channels, pretrained=pretrained)
        self.model = model
        self._depth = depth
        self._in_channels = in_channels
        self._output_stride = output_stride
        info = model.feature_info
        cell = int(info[-1]["reduction"])
        width = int(info[-1].get("num_chs_norm", info[-1]["num_chs"]))  # SAM's neck is its norm
        self.divisor = math.lcm(cell, min(output_stride, 2**depth))
        """Of the heights and widths that it takes as they are, pixels."""
        self._strides = [min(2**level, output_stride) for level in range(2, depth + 1)]
        parts = len(self._strides)
        self._indices = [len(info) * (part + 1) // parts - 1 for part in range(parts)]
        model.prune_intermediate_layers(self._indices)
        self.stem = nn.Sequential(
            conv_norm_relu(in_channels, _STEM_CHANNELS, stride=2),
            conv_norm_relu(_STEM_CHANNELS, _STEM_CHANNELS),
        )
        resized = [_resized(width, cell / stride) for stride in self._strides]
        self.levels = nn.ModuleList(module for module, _ in resized)
        self._out_channels = [in_channels, _STEM_CHANNELS, *(channels for _, channels in resized)]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Do nothing: timm has built it for its bands."""

    def make_dilated(self, output_stride: int) -> None:
        """Do nothing: it is built for its output stride."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the levels of (n, bands, height, width), the image first.

        Args:
            image: Of any size; where `divisor` does not divide it, as ICNet's smaller ones, its
                last pixels are repeated and the levels cut to whole and begun cells.
        """
        height, width = image.shape[-2:]
        below, right = -height % self.divisor, -width % self.divisor
        large = image
        if below or right:
            large = functional.pad(image, (0, right, 0, below), mode="replicate")
        model: Any = self.model
        tokens: list[Tensor] = model.forward_intermediates(
            large, indices=self._indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        levels = [image, self.stem(image)]
        for resized, stride, level in zip(self.levels, self._strides, tokens, strict=True):
            rows, columns = -(-height // stride), -(-width // stride)
            levels.append(resized(level)[..., :rows, :columns])
        return levels


def _trunk(name: str, *, in_channels: int, pretrained: bool) -> Any:  # noqa: ANN401 - timm's
    """Build a timm network without head, whose tokens are a power of two wide."""
    plain = name.removeprefix(TIMM_PREFIX)
    cell = timm_traits(plain).cell
    given: dict[str, Any] = {**size_options(name)}
    fits = cell & (cell - 1) == 0
    if not fits:
        given["patch_size"] = _CELL
    try:
        return timm.create_model(
            plain, pretrained=pretrained, in_chans=in_channels, num_classes=0, **given
        )
    except TypeError as error:
        if fits:
            raise
        raise ValueError(f"its tokens of {cell} pixels are no power of two") from error


def _resized(channels: int, factor: float) -> tuple[nn.Module, int]:
    """What changes the resolution by a power of two, and the channels that it gives.

    Each doubling halves the channels; pooling keeps them, as in ViTDet.
    """
    if factor < 1:
        side = round(1 / factor)
        return nn.MaxPool2d(side, side), channels
    steps: list[nn.Module] = []
    for step in range(round(math.log2(factor))):
        if step > 0:
            steps += [LayerNorm2d(channels), nn.GELU()]
        steps.append(nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2))
        channels //= 2
    return nn.Sequential(*steps), channels
