"""ICNet over any encoder: coarse images pass all of it, finer ones less (arXiv 1704.08545)."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, Auxiliary, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import PyramidPooling, classifier, conv_norm_relu, resize

FUSED = 128
"""Channels of every fused level, as in the paper."""

_POOLED = 256
"""Channels of the coarsest level after its pyramid pooling."""

_COARSEST = 4
"""The encoder's smaller image is 1 / this of the input; its cells shall divide that too."""

GUIDANCE = (Auxiliary(name="sixteenth", weight=0.16), Auxiliary(name="eighth", weight=0.4))
"""The cascade label guidance of the paper; the logits themselves weigh 1."""


class CascadeFeatureFusion(nn.Module):
    """Joins a coarse level with one of twice its resolution (CFF of the paper).

    Args:
        coarse: Channels of the coarse level.
        fine: Channels of the fine level.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        # Dilated, so that it sees as far as a larger transposed convolution would.
        self.coarse = conv_norm_relu(coarse, FUSED, dilation=2)[:-1]
        self.fine = conv_norm_relu(fine, FUSED, 1)[:-1]

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse the two.

        Args:
            coarse: (n, coarse channels, h / 2, w / 2).
            fine: (n, fine channels, h, w).

        Returns:
            (n, 128, h, w), and the coarse level resized to (h, w), which the guidance is for.
        """
        enlarged = resize(coarse, fine)
        return functional.relu(self.coarse(enlarged) + self.fine(fine)), enlarged


def shrink(image: Tensor, factor: int) -> Tensor:
    """Resize bilinearly to 1 / `factor` of the height and width, rounded up.

    Args:
        image: (n, channels, height, width).
        factor: 1 or more.
    """
    height, width = image.shape[-2:]
    size = [-(-height // factor), -(-width // factor)]
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


class ICNet(nn.Module):
    """ICNet in its usual form, over an encoder of output stride 8.

    The image at a quarter passes the whole encoder and a pyramid pooling, at a half the first
    three levels of the same encoder, in full three convolutions of its own.

    Args:
        encoder: Gives levels at 1/8 from the third on.
        in_channels: Bands.
        classes: Channels of the logits.
    """

    def __init__(self, encoder: Any, in_channels: int, classes: int) -> None:  # noqa: ANN401 - the libraries' encoders share no type
        super().__init__()
        *_, middle, _, deep = encoder.out_channels
        self.encoder = encoder
        # In a tuple, since its layers are those of the encoder and must not be listed twice.
        self._first_levels = (_first_levels(encoder),)
        pooling = PyramidPooling(deep, deep // 4)
        self.pooling = nn.Sequential(pooling, conv_norm_relu(pooling.out_channels, _POOLED, 1))
        self.fine = nn.Sequential(
            conv_norm_relu(in_channels, 32, stride=2),
            conv_norm_relu(32, 64, stride=2),
            conv_norm_relu(64, FUSED, stride=2),
        )
        self.fusion_16 = CascadeFeatureFusion(_POOLED, middle)
        self.fusion_8 = CascadeFeatureFusion(FUSED, FUSED)
        self.head = classifier(FUSED, FUSED, classes)
        self.auxiliary = nn.ModuleList(
            classifier(channels, FUSED, classes) for channels in (_POOLED, FUSED)
        )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Compute logits at 1/4.

        Args:
            image: (n, bands, height, width).

        Returns:
            (n, classes, h, w) logits; in training also those of the guidance at 1/16 and 1/8.
        """
        coarse = self.pooling(self.encoder(shrink(image, _COARSEST))[5])  # 1/32
        middle = self._first_levels[0](shrink(image, 2))[3]  # 1/16
        fused, guided_16 = self.fusion_16(coarse, middle)
        fused, guided_8 = self.fusion_8(fused, self.fine(image))  # 1/8
        logits: Tensor = self.head(functional.interpolate(fused, scale_factor=2, mode="bilinear"))
        if self.training:
            return logits, self.auxiliary[0](guided_16), self.auxiliary[1](guided_8)
        return logits


def _first_levels(encoder: Any) -> Any:  # noqa: ANN401 - as above
    """An encoder with the same layers that stops at its third level.

    Those of segmentation-models-pytorch look their depth up at each call; timm's go on to the
    end, which costs time and changes nothing in prediction.
    """
    view = copy.copy(encoder)
    view._depth = 3  # noqa: SLF001 - the libraries tell it no other way
    return view


def _build(request: NetworkRequest) -> nn.Module:
    encoder = build_encoder(request, output_stride=8)
    if not hasattr(encoder, "divisor"):  # else it pads its images itself
        encoder.divisor = _COARSEST * encoder.output_stride
    return ICNet(encoder, request.in_channels, request.classes)


ICNET_ENCODED: dict[str, Architecture] = {
    "icnet_resnet": Architecture(
        summary="ICNet over an encoder: three resolutions in cascade, arXiv 1704.08545",
        build=_build,
        auxiliary=GUIDANCE,
        cells=_COARSEST,  # the smaller image has one cell then
    ),
}
