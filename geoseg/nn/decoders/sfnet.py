"""SFNet and SFNet-Lite: coarse features flow to where the fine ones have their edges."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from geoseg.nn.architecture import Architecture, ArchitectureOptions, Auxiliary, NetworkRequest
from geoseg.nn.decoders.flow import FlowAlignment, GatedDualFlow
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import PyramidPooling, classifier, conv_norm_relu, resize

Width = Annotated[int, Field(ge=2, le=8192, multiple_of=2)]

_SMALL = 512
"""Channels of the last level of the encoders that the paper gives a narrow decoder."""


class SfNetOptions(ArchitectureOptions):
    """Options of SFNet."""

    width: Width | None = None
    """Channels of the decoder; without, 128 on small encoders such as ResNet-18, else 256."""


class SfNetLiteOptions(ArchitectureOptions):
    """Options of SFNet-Lite."""

    width: Width = 128
    """Channels of the decoder."""


class ReducedPyramid(nn.Sequential):
    """Pyramid pooling of the last level, reduced to the width of the decoder.

    Args:
        in_channels: Of the level.
        width: Of the decoder.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        pooling = PyramidPooling(in_channels, width, align_corners=True)
        super().__init__(pooling, conv_norm_relu(pooling.out_channels, width, 1))


class SFNet(nn.Module):
    """Semantic flow network (arXiv 2002.10120), logits at stride 4.

    A feature pyramid in which each coarser level is moved by a learned flow before it is added.

    Args:
        request: Encoder, bands, classes and `SfNetOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        self.encoder = build_encoder(request)
        *_, c2, c3, c4, c5 = self.encoder.out_channels
        width = request.options.width or (128 if c5 <= _SMALL else 256)
        self.pyramid = ReducedPyramid(c5, width)
        self.laterals = nn.ModuleList(
            conv_norm_relu(channels, width, 1) for channels in (c4, c3, c2)
        )
        self.alignments = nn.ModuleList(FlowAlignment(width) for _ in range(3))
        self.outputs = nn.ModuleList(conv_norm_relu(width, width) for _ in range(3))
        self.head = nn.Sequential(
            conv_norm_relu(4 * width, width), nn.Conv2d(width, request.classes, 1)
        )
        self.auxiliary = nn.ModuleList(classifier(width, width, request.classes) for _ in range(3))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute logits.

        Args:
            image: (n, bands, h, w).

        Returns:
            (n, classes, h/4, w/4); in training with those of strides 16, 8 and 4 of the pyramid.
        """
        *_, c2, c3, c4, c5 = self.encoder(image)
        top = self.pyramid(c5)
        levels = [top]
        steps = zip((c4, c3, c2), self.laterals, self.alignments, self.outputs, strict=True)
        for level, lateral, alignment, output in steps:
            fine = lateral(level)
            top = fine + alignment(fine, top)
            levels.append(output(top))
        raised = [resize(level, levels[-1], align_corners=True) for level in reversed(levels)]
        logits: Tensor = self.head(torch.cat(raised, dim=1))
        if not self.training:
            return logits
        others = (head(level) for head, level in zip(self.auxiliary, levels[1:], strict=True))
        return (logits, *others)


class SFNetLite(nn.Module):
    """SFNet-Lite (arXiv 2207.04415), logits at stride 4.

    The levels of strides 16 and 32 are joined by plain resizing; one gated dual flow aligns
    them with the level of stride 4.

    Args:
        request: Encoder, bands, classes and `SfNetLiteOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        self.encoder = build_encoder(request)
        *_, c2, _, c4, c5 = self.encoder.out_channels
        width = request.options.width
        self.pyramid = ReducedPyramid(c5, width)
        self.lateral4 = conv_norm_relu(c2, width, 1)
        self.lateral16 = conv_norm_relu(c4, width, 1)
        self.alignment = GatedDualFlow(width)
        self.head = nn.Sequential(
            conv_norm_relu(width, width),
            conv_norm_relu(width, width),
            nn.Conv2d(width, request.classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h/4, w/4) of (n, bands, h, w)."""
        *_, c2, _, c4, c5 = self.encoder(image)
        high = self.lateral16(c4)
        high = high + resize(self.pyramid(c5), high, align_corners=True)
        logits: Tensor = self.head(self.alignment(self.lateral4(c2), high))
        return logits


SFNET: dict[str, Architecture] = {
    "sfnet": Architecture(
        summary="SFNet, arXiv 2002.10120",
        build=SFNet,
        options=SfNetOptions,
        auxiliary=tuple(
            Auxiliary(name=f"pyramid of stride {stride}", weight=0.4) for stride in (16, 8, 4)
        ),
        default_encoder="resnet18",
    ),
    "sfnet_lite": Architecture(
        summary="SFNet-Lite, arXiv 2207.04415",
        build=SFNetLite,
        options=SfNetLiteOptions,
        default_encoder="resnet18",
    ),
}
