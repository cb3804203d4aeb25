"""Mobile U-Net: an encoder and decoder of MobileNet's separable convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.layers import conv_norm_relu

_DOWN = ((64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512,) * 4)
"""Channels before, between and after the blocks of each level, from the image down."""

_UP = (
    (512,) * 4,
    (512, 512, 512, 256),
    (256, 256, 256, 128),
    (128, 128, 64),
    (64, 64, 64),
)
"""The same on the way back; each level begins with a transposed convolution."""


class MobileUnetOptions(ArchitectureOptions):
    """Options of Mobile U-Net."""

    skip: bool = True
    """Whether the pooled levels of the encoder are added in the decoder (MobileUNet-Skip)."""


class MobileUnet(nn.Module):
    """U-Net of depthwise separable blocks (arXiv 1704.04861), with additive skips.

    It has no paper; the layout is that of MobileUNet-Skip in GeorgeSeif's
    Semantic-Segmentation-Suite: five poolings, of which four are added back.

    Args:
        in_channels: Bands of the image.
        classes: Channels of the logits.
        skip: Whether there are skips.
    """

    def __init__(self, in_channels: int, classes: int, *, skip: bool = True) -> None:
        super().__init__()
        self.skip = skip
        self.stem = conv_norm_relu(in_channels, _DOWN[0][0], 1)
        self.down = nn.ModuleList(_blocks(widths) for widths in _DOWN)
        self.up = nn.ModuleList(
            nn.Sequential(_enlarge(before[-1], widths[0]), _blocks(widths))
            for before, widths in pairwise((_DOWN[-1], *_UP))
        )
        self.head = nn.Conv2d(_UP[-1][-1], classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height, width) from (n, bands, height, width)."""
        features = self.stem(image)
        pooled = []
        for blocks in self.down:
            features = functional.max_pool2d(blocks(features), 2)
            pooled.append(features)
        pooled.pop()  # the deepest is where the decoder begins
        for level in self.up:
            features = level(features)
            if self.skip and pooled:
                features = features + pooled.pop()
        logits: Tensor = self.head(features)
        return logits


def _blocks(widths: Sequence[int]) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution, each with normalisation and ReLU, per step."""
    return nn.Sequential(
        *(
            nn.Sequential(
                conv_norm_relu(before, before, 3, groups=before), conv_norm_relu(before, after, 1)
            )
            for before, after in pairwise(widths)
        )
    )


def _enlarge(in_channels: int, out_channels: int) -> nn.Sequential:
    """Twice the height and width by a learned 3x3 kernel."""
    return nn.Sequential(
        nn.ConvTranspose2d(
            in_channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _build(request: NetworkRequest) -> nn.Module:
    return MobileUnet(request.in_channels, request.classes, skip=request.options.skip)


MOBILE_UNET: dict[str, Architecture] = {
    "mobile_unet": Architecture(
        summary="Mobile U-Net: separable convolutions, additive skips (after arXiv 1704.04861)",
        build=_build,
        options=MobileUnetOptions,
        has_encoder=False,
        divisor=32,
    ),
}
