"""PSPNet: features on an eighth of the image, put beside their averages over a few bins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from geoseg.nn.architecture import (
    Architecture,
    ArchitectureOptions,
    Auxiliary,
    Channels,
    Dropout,
    NetworkRequest,
)
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import PyramidPooling, classifier

Bins = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)]


class PspOptions(ArchitectureOptions):
    """Options of PSPNet."""

    output_stride: Literal[8, 16] = 8
    """Pixels per cell of the features."""

    bins: Bins = (1, 2, 3, 6)
    """Bins along each side of the averages; each gets its share of the encoder's channels."""

    channels: Channels = 512
    """Between the pooled features and the logits."""

    auxiliary_channels: Channels = 256
    """Of the head on the level before the last, which teaches it in training."""

    dropout: Dropout = 0.1
    """Share of the channels before the logits that training drops."""


class PspDenseOptions(PspOptions):
    """Options of PSPNet on a DenseNet."""

    channels: Channels = 480
    """As of PSPNet: a quarter of the channels of DenseNet-201, as 512 are of ResNet-50's."""


class PSPNet(nn.Module):
    """Pyramid scene parsing network (arXiv 1612.01105).

    Args:
        encoder: As `build_encoder` gives it, on a stride of 8 or 16.
        classes: Channels of the logits.
        options: Its widths and bins.
    """

    def __init__(
        self,
        encoder: Any,  # noqa: ANN401 - the libraries' encoders share no type
        classes: int,
        options: PspOptions,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        *_, before, last = encoder.out_channels
        share = max(last // len(options.bins), 1)
        self.pooling = PyramidPooling(last, share, options.bins)
        self.head = classifier(
            self.pooling.out_channels, options.channels, classes, dropout=options.dropout
        )
        self.auxiliary_head = classifier(
            before, options.auxiliary_channels, classes, dropout=options.dropout
        )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Compute logits.

        Args:
            image: (n, bands, height, width), multiples of the output stride s.

        Returns:
            (n, classes, height / s, width / s); in training with those of the auxiliary head,
            of the same shape, after them.
        """
        *_, c4, c5 = self.encoder(image)
        logits: Tensor = self.head(self.pooling(c5))
        if self.training:
            return logits, self.auxiliary_head(c4)
        return logits


def _build(request: NetworkRequest) -> nn.Module:
    encoder = build_encoder(request, output_stride=request.options.output_stride)
    return PSPNet(encoder, request.classes, request.options)


_AUXILIARY = (Auxiliary(name="auxiliary", weight=0.4),)

PSPNETS: dict[str, Architecture] = {
    "pspnet": Architecture(
        summary="PSPNet, pyramid pooling on stride 8, arXiv 1612.01105",
        build=_build,
        options=PspOptions,
        auxiliary=_AUXILIARY,
    ),
    "pspdensenet": Architecture(
        summary="PSPNet on a dilated DenseNet, arXiv 1612.01105 and 1608.06993",
        build=_build,
        options=PspDenseOptions,
        auxiliary=_AUXILIARY,
        default_encoder="densenet201",
    ),
}
"""PSPNet by the encoders it is made for."""
