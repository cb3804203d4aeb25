"""LR-ASPP: the light head of MobileNetV3, over any encoder."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from geoseg.nn.architecture import Architecture, ArchitectureOptions, Channels, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import conv_norm_relu, resize


class LrasppOptions(ArchitectureOptions):
    """Options of LR-ASPP."""

    output_stride: Literal[8, 16, 32] = 16
    """Pixels per cell of the encoder's last level; that of twice its resolution is the other."""

    width: Channels = 128
    """Channels of the head."""


class LRASPP(nn.Module):
    """Lite reduced atrous spatial pyramid pooling (arXiv 1905.02244, section 6.4).

    The last level is gated by its own mean; two 1x1 classifiers, of it and of a finer level,
    are added. The mean is taken over the whole image, as is usual, instead of over 49 cells.

    Args:
        request: Encoder, bands, classes and `LrasppOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        options: LrasppOptions = request.options
        self.encoder = build_encoder(request, output_stride=options.output_stride)
        # Level i has cells of 2**i pixels, down to the output stride.
        self.low_level = options.output_stride.bit_length() - 2
        low_channels = self.encoder.out_channels[self.low_level]
        high_channels = self.encoder.out_channels[-1]
        self.project = conv_norm_relu(high_channels, options.width, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(high_channels, options.width, 1, bias=False),
            nn.Sigmoid(),
        )
        self.low_classifier = nn.Conv2d(low_channels, request.classes, 1)
        self.high_classifier = nn.Conv2d(options.width, request.classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h, w) of half the output stride from (n, bands, H, W)."""
        levels = self.encoder(image)
        low, high = levels[self.low_level], levels[-1]
        gated = resize(self.project(high) * self.gate(high), low)
        logits: Tensor = self.low_classifier(low) + self.high_classifier(gated)
        return logits


LRASPP_NETWORKS: dict[str, Architecture] = {
    "lraspp": Architecture(
        summary="LR-ASPP of MobileNetV3, arXiv 1905.02244",
        build=LRASPP,
        options=LrasppOptions,
        default_encoder="tu-mobilenetv3_large_100",
    )
}
