"""RefineNet: features are refined from coarse to fine by four cascaded blocks."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import resize

_WIDTHS = (256, 256, 256, 512)
"""Channels of the blocks, from the finest to the coarsest."""


class RefineNetOptions(ArchitectureOptions):
    """Options of RefineNet."""

    pooling_stages: Literal[2, 4] = 4
    """Poolings in each chain: two in the paper's figure, four in its released models."""

    output_units: Literal[1, 3] = 3
    """Residual units after each chain: the one of the block, and two more.

    The two are those that the paper puts on the coarse input of the next block and, in the last
    block, before the classifier; one leaves them away.
    """


class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, beside an identity; nothing is normalised.

    Args:
        channels: Of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = _convolution(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, channels, h, w) from the same."""
        inner = self.first(functional.relu(features))
        refined: Tensor = features + self.second(functional.relu(inner))
        return refined


class ChainedResidualPooling(nn.Module):
    """Context from ever larger neighbourhoods: each pooling begins at the one before.

    Args:
        channels: Of the features.
        stages: Poolings over 5x5 cells, each followed by a 3x3 convolution.
    """

    def __init__(self, channels: int, stages: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size=5, stride=1, padding=2)
        self.convolutions = nn.ModuleList(_convolution(channels, channels) for _ in range(stages))

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, channels, h, w) from the same."""
        total = chained = functional.relu(features)
        for convolution in self.convolutions:
            chained = convolution(self.pool(chained))
            total = total + chained
        return total


class RefineBlock(nn.Module):
    """Fuses the features of one level with those that the coarser block has refined.

    Args:
        channels: Of the level and of the result.
        coarse_channels: Of the refined coarser features; 0 where there are none.
        options: Stages of the chain and units after it.
    """

    def __init__(self, channels: int, coarse_channels: int, options: RefineNetOptions) -> None:
        super().__init__()
        self.units = nn.Sequential(ResidualConvUnit(channels), ResidualConvUnit(channels))
        if coarse_channels:
            self.project = _convolution(channels, channels)
            self.project_coarse = _convolution(coarse_channels, channels)
        self.chain = ChainedResidualPooling(channels, options.pooling_stages)
        self.output = nn.Sequential(
            *(ResidualConvUnit(channels) for _ in range(options.output_units))
        )

    def forward(self, features: Tensor, coarse: Tensor | None = None) -> Tensor:
        """Refine a level.

        Args:
            features: (n, channels, h, w) of the level.
            coarse: (n, coarse_channels, any, any); None for the coarsest level.

        Returns:
            (n, channels, h, w).
        """
        features = self.units(features)
        if coarse is not None:
            features = self.project(features)
            features = features + resize(self.project_coarse(coarse), features)
        refined: Tensor = self.output(self.chain(features))
        return refined


class RefineNet(nn.Module):
    """RefineNet (arXiv 1611.06612), logits at stride 4.

    Args:
        request: Encoder, bands, classes and `RefineNetOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        options: RefineNetOptions = request.options
        self.encoder = build_encoder(request)
        channels = self.encoder.out_channels[-4:]
        self.reductions = nn.ModuleList(map(_convolution, channels, _WIDTHS))
        coarse_widths = (*_WIDTHS[1:], 0)
        self.blocks = nn.ModuleList(
            RefineBlock(width, coarse, options)
            for width, coarse in zip(_WIDTHS, coarse_widths, strict=True)
        )
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Conv2d(_WIDTHS[0], request.classes, kernel_size=3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h / 4, w / 4) of (n, bands, h, w)."""
        *_, c2, c3, c4, c5 = self.encoder(image)
        levels = (c2, c3, self.dropout(c4), self.dropout(c5))
        refined: Tensor | None = None
        for i in (3, 2, 1, 0):
            refined = self.blocks[i](self.reductions[i](levels[i]), refined)
        logits: Tensor = self.classifier(refined)
        return logits


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)


REFINENET: dict[str, Architecture] = {
    "refinenet": Architecture(
        summary="RefineNet, arXiv 1611.06612",
        build=RefineNet,
        options=RefineNetOptions,
        default_encoder="resnet101",
        # Nothing is normalised in the decoder: at 1e-3 its losses rise to thousands and stay.
        lr=1e-4,
    )
}
