"""DeepLab with hybrid dilations (HDC) and dense upsampling convolutions (DUC)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.encoders.dilated import dilate

Rate = Annotated[int, Field(ge=1, le=64)]

_OUTPUT_STRIDE = 8


class DucOptions(ArchitectureOptions):
    """Options of DeepLab DUC-HDC."""

    rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (6, 12, 18, 24)
    """Dilations of the 3x3 convolutions whose sum is the answer."""

    upsampling: Literal[2, 4, 8] = 8
    """How many pixels along each axis a cell of 8 pixels answers for by itself.

    8 gives the whole image; the authors take 4 where memory is short, and resize the rest.
    """

    dilations_4: tuple[Rate, ...] = (1, 2, 5, 9)
    """Dilations of the blocks of the encoder's stage 4, in turn; none leaves them all alike.

    The default is the paper's "dilation-bigger"; 1, 2, 3 and 3, 4, 5 are its "dilation-RF".
    """

    dilations_5: tuple[Rate, ...] = (5, 9, 17)
    """Likewise of its stage 5."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for dilations in (self.dilations_4, self.dilations_5):
            if len(dilations) > 1 and math.gcd(*dilations) > 1:
                raise ValueError(
                    f"dilations {dilations} have a common factor, which leaves a grid of holes"
                )
        return self


class DenseUpsampling(nn.Module):
    """Dense upsampling convolution: each cell answers for each of its pixels by a channel.

    Args:
        in_channels: Of the features.
        classes: Channels of the logits.
        factor: Pixels per cell along each axis.
        rates: Dilations of the convolutions whose sum is taken.
    """

    def __init__(
        self, in_channels: int, classes: int, factor: int, rates: Sequence[int] = (6, 12, 18, 24)
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, classes * factor**2, 3, padding=rate, dilation=rate)
            for rate in rates
        )
        for parameter in self.branches.parameters():
            _repeat_over_pixels(parameter, factor)
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, classes, factor h, factor w) from (n, in_channels, h, w)."""
        first, *others = self.branches
        scores: Tensor = first(features)
        for branch in others:
            scores = scores + branch(features)
        logits: Tensor = self.shuffle(scores)
        return logits


class DeepLabDUC(nn.Module):
    """DeepLab DUC-HDC (arXiv 1702.08502).

    Args:
        encoder: As `build_encoder` gives it, on stride 8.
        classes: Channels of the logits.
        options: Rates and upsampling.
    """

    def __init__(
        self,
        encoder: Any,  # noqa: ANN401 - the libraries' encoders share no type
        classes: int,
        options: DucOptions,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = DenseUpsampling(
            encoder.out_channels[-1], classes, options.upsampling, options.rates
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits.

        Args:
            image: (n, bands, height, width), multiples of 8.

        Returns:
            (n, classes, height, width) with an upsampling of 8, else that much smaller.
        """
        *_, c5 = self.encoder(image)
        logits: Tensor = self.head(c5)
        return logits


def dilate_in_turn(encoder: Any, dilations_4: Sequence[int], dilations_5: Sequence[int]) -> None:  # noqa: ANN401
    """Give the blocks of an encoder's last two stages dilations in turn (HDC).

    One dilation in all blocks sees every second or fourth cell only; dilations without a common
    factor see all. Encoders that do not tell their stages keep what they have.

    Args:
        encoder: As `build_encoder` gives it, on stride 8; changed in place.
        dilations_4: Of the blocks of stage 4, repeated as needed; none keeps what is there.
        dilations_5: Of the blocks of stage 5.
    """
    for stage, dilations in zip(_stages(encoder), (dilations_4, dilations_5), strict=False):
        for index, block in enumerate(_blocks(stage) if dilations else ()):
            dilate(block, dilations[index % len(dilations)])


def _stages(encoder: Any) -> list[list[nn.Module]]:  # noqa: ANN401
    """The modules of stages 4 and 5; none where the encoder does not tell them."""
    body = getattr(encoder, "model", encoder)  # timm's stand inside
    if hasattr(body, "layer3") and hasattr(body, "layer4"):
        return [[body.layer3], [body.layer4]]
    try:
        stages: dict[int, list[nn.Module]] = encoder.get_stages()
    except (AttributeError, NotImplementedError):
        return []
    return [stages[16], stages[32]]


def _blocks(stage: Iterable[nn.Module]) -> list[nn.Module]:
    """The blocks of a stage, out of the sequences they stand in."""
    blocks: list[nn.Module] = []
    for module in stage:
        # By exact type: a block may be a sequence of layers of its own kind.
        is_plain = type(module) in (nn.Sequential, nn.ModuleList)
        blocks.extend(_blocks(module.children()) if is_plain else [module])
    return blocks


def _repeat_over_pixels(parameter: Tensor, factor: int) -> None:
    """Start all pixels of a cell alike (ICNR, arXiv 1707.02937), without a checkerboard.

    Args:
        parameter: Weight or bias, its first axis classes * factor**2 channels; changed in place.
        factor: Pixels per cell along each axis.
    """
    with torch.no_grad():
        parameter.copy_(parameter[:: factor**2].repeat_interleave(factor**2, dim=0))


def _build(request: NetworkRequest) -> nn.Module:
    options: DucOptions = request.options
    encoder = build_encoder(request, output_stride=_OUTPUT_STRIDE)
    dilate_in_turn(encoder, options.dilations_4, options.dilations_5)
    return DeepLabDUC(encoder, request.classes, options)


DEEPLAB_DUC: dict[str, Architecture] = {
    "deeplab_duc": Architecture(
        summary="DeepLab DUC-HDC, hybrid dilations and dense upsampling, arXiv 1702.08502",
        build=_build,
        options=DucOptions,
        default_encoder="resnet101",
    )
}
"""DeepLab DUC-HDC by name."""
