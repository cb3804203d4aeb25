"""ENet (Paszke, Chaurasia, Kim and Culurciello, arXiv 1606.02147)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.unpooling import max_unpool2d

Activation = Literal["relu", "prelu"]

_FIRST = 16
"""Channels of the initial block."""

_POOLED = 3
"""Of these, at most so many are pooled bands of the image."""

_RHYTHM = ("plain", 2, "asymmetric", 4, "plain", 8, "asymmetric", 16)
"""The bottlenecks of stages 2 and 3; numbers are dilations."""


class EnetOptions(ArchitectureOptions):
    """Options of ENet."""

    decoder_activation: Activation = "relu"
    """Of stages 4 and 5; the paper found no gain in PReLU there."""


class Enet(nn.Module):
    """ENet: an initial block, 27 bottlenecks in five stages, one transposed convolution.

    Each PReLU has one slope. Of images of more than three bands, the first three are pooled in
    the initial block beside the convolution of all of them.

    Args:
        in_channels: Bands of the image.
        classes: Channels of the logits.
        decoder_activation: Of stages 4 and 5.
    """

    def __init__(
        self, in_channels: int, classes: int, decoder_activation: Activation = "relu"
    ) -> None:
        super().__init__()
        self.initial = _Initial(in_channels)
        self.down1 = _Down(_FIRST, 64, dropout=0.01)
        self.stage1 = nn.Sequential(*(_Keep(64, "plain", dropout=0.01) for _ in range(4)))
        self.down2 = _Down(64, 128)
        self.stage2 = nn.Sequential(*(_Keep(128, kind) for kind in _RHYTHM))
        self.stage3 = nn.Sequential(*(_Keep(128, kind) for kind in _RHYTHM))
        back = decoder_activation
        self.up4 = _Up(128, 64, back)
        self.stage4 = nn.Sequential(*(_Keep(64, "plain", activation=back) for _ in range(2)))
        self.up5 = _Up(64, _FIRST, back)
        self.stage5 = _Keep(_FIRST, "plain", activation=back)
        self.head = nn.ConvTranspose2d(
            _FIRST, classes, 3, stride=2, padding=1, output_padding=1, bias=False
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, classes, height, width) for heights and widths that 8 divides."""
        half = self.initial(image)
        quarter, half_indices = self.down1(half)
        quarter = self.stage1(quarter)
        eighth, quarter_indices = self.down2(quarter)
        eighth = self.stage3(self.stage2(eighth))
        quarter = self.stage4(self.up4(eighth, quarter_indices, quarter))
        half = self.stage5(self.up5(quarter, half_indices, half))
        logits: Tensor = self.head(half)
        return logits


class _Initial(nn.Module):
    """A strided 3x3 convolution beside a 2x2 max pooling, halving height and width."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.pooled = min(in_channels, _POOLED)
        self.conv = nn.Conv2d(in_channels, _FIRST - self.pooled, 3, 2, padding=1, bias=False)
        self.after = nn.Sequential(nn.BatchNorm2d(_FIRST), nn.PReLU())

    def forward(self, image: Tensor) -> Tensor:
        """Compute (n, 16, height / 2, width / 2)."""
        pooled = functional.max_pool2d(image[:, : self.pooled], 2)
        features: Tensor = self.after(torch.cat([self.conv(image), pooled], dim=1))
        return features


class _Keep(nn.Module):
    """A bottleneck that keeps channels, height and width.

    Args:
        channels: Of input and output; between are a quarter as many.
        kind: `plain` for a 3x3 kernel, `asymmetric` for 5x1 then 1x5, a number for its dilation.
        dropout: Share of the channels that training drops of what is added.
        activation: After each convolution and after the sum.
    """

    def __init__(
        self,
        channels: int,
        kind: str | int,
        *,
        dropout: float = 0.1,
        activation: Activation = "prelu",
    ) -> None:
        super().__init__()
        between = channels // 4
        self.extension = nn.Sequential(
            nn.Conv2d(channels, between, 1, bias=False),
            *_norm(between, activation),
            *_middle(between, kind, activation),
            *_norm(between, activation),
            *_expansion(between, channels, dropout),
        )
        self.activation = _activation(activation)

    def forward(self, features: Tensor) -> Tensor:
        """Compute a tensor of the same shape."""
        total: Tensor = self.activation(features + self.extension(features))
        return total


class _Down(nn.Module):
    """A bottleneck that halves height and width, with a max pooling beside it.

    Args:
        in_channels: Of the input; between are a quarter as many.
        out_channels: Of the output.
        dropout: Share of the channels that training drops of what is added.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        between = in_channels // 4
        self.missing = out_channels - in_channels
        self.extension = nn.Sequential(
            nn.Conv2d(in_channels, between, 2, stride=2, bias=False),
            *_norm(between, "prelu"),
            nn.Conv2d(between, between, 3, padding=1, bias=False),
            *_norm(between, "prelu"),
            *_expansion(between, out_channels, dropout),
        )
        self.activation = nn.PReLU()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute (n, `out_channels`, h / 2, w / 2) and the indices of the max pooling."""
        pooled, indices = functional.max_pool2d_with_indices(features, (2, 2))
        main = functional.pad(pooled, (0, 0, 0, 0, 0, self.missing))  # channels of zeros
        return self.activation(main + self.extension(features)), indices


class _Up(nn.Module):
    """A bottleneck that doubles height and width, with a max unpooling beside it.

    Args:
        in_channels: Of the input; between are a quarter as many.
        out_channels: Of the output.
        activation: After each convolution and after the sum.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation) -> None:
        super().__init__()
        between = in_channels // 4
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.extension = nn.Sequential(
            nn.Conv2d(in_channels, between, 1, bias=False),
            *_norm(between, activation),
            nn.ConvTranspose2d(between, between, 2, stride=2, bias=False),
            *_norm(between, activation),
            *_expansion(between, out_channels, 0.1),
        )
        self.activation = _activation(activation)

    def forward(self, features: Tensor, indices: Tensor, pooled: Tensor) -> Tensor:
        """Go up one level.

        Args:
            features: (n, `in_channels`, h / 2, w / 2).
            indices: (n, `out_channels`, h / 2, w / 2), of the pooling on the way down.
            pooled: (n, any, h, w), of the height and width of what was pooled.

        Returns:
            (n, `out_channels`, h, w).
        """
        size = (pooled.shape[2], pooled.shape[3])
        main = max_unpool2d(self.main(features), indices, size)
        total: Tensor = self.activation(main + self.extension(features))
        return total


def _activation(name: Activation) -> nn.Module:
    return nn.PReLU() if name == "prelu" else nn.ReLU(inplace=True)


def _norm(channels: int, activation: Activation) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), _activation(activation)


def _expansion(between: int, channels: int, dropout: float) -> tuple[nn.Module, ...]:
    """1x1 convolution to the full channels, normalised, and the regularisation."""
    return (
        nn.Conv2d(between, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.Dropout2d(dropout),
    )


def _middle(channels: int, kind: str | int, activation: Activation) -> tuple[nn.Module, ...]:
    """The convolution in the middle of a bottleneck."""
    if kind == "asymmetric":
        return (
            nn.Conv2d(channels, channels, (5, 1), padding=(2, 0), bias=False),
            *_norm(channels, activation),
            nn.Conv2d(channels, channels, (1, 5), padding=(0, 2), bias=False),
        )
    dilation = kind if isinstance(kind, int) else 1
    return (nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),)


def _build(request: NetworkRequest) -> nn.Module:
    return Enet(request.in_channels, request.classes, request.options.decoder_activation)


ENET: dict[str, Architecture] = {
    "enet": Architecture(
        summary="ENet, a third of a million parameters, arXiv 1606.02147",
        build=_build,
        options=EnetOptions,
        has_encoder=False,
        divisor=8,
    ),
}
