"""PSANet: every cell gathers from, and gives to, every other by learned weights."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, Auxiliary, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import classifier, conv_norm_relu

Attention = Literal["collect", "distribute", "both"]

_STRIDE = 8
"""Pixels per cell of the encoder's last level."""


class PsaNetOptions(ArchitectureOptions):
    """Options of PSANet."""

    attention: Attention = "both"
    """Whether cells collect from the others, distribute to them, or both."""

    crop: Annotated[int, Field(ge=16, le=4096)] = 465
    """Side of the training windows in pixels: the attention reaches over as many.

    Larger images are taken, too: the cells beyond the reach get the weight of a logit of 0.
    """

    shrink: Annotated[int, Field(ge=1, le=8)] = 2
    """Factor by which the features are shrunk for the attention."""

    compact: bool = False
    """Whether cells weigh the places of a fixed grid instead of offsets: fewer parameters, but
    the features of images of any other size than `crop` are resized to that grid."""

    softmax: bool = True
    """Whether the weights of all sources of a cell sum to one."""

    normalization: Annotated[float, Field(gt=0)] = 1.0
    """What the gathered features are divided by; of use where no softmax bounds them."""

    @property
    def side(self) -> int:
        """Cells along the side of a training window where the attention works."""
        return -(-self.crop // (_STRIDE * self.shrink))


def offset_logits(logits: Tensor, side: int) -> Tensor:
    """Turn logits by offset into logits by place.

    Args:
        logits: (n, side * side, h, w): what each cell predicts for the cells around it, row by
            row of the over-complete map, with offset 0 in its centre.
        side: Odd side of that map.

    Returns:
        (n, h * w, h * w): [i, p, q] is what cell q predicts for cell p; 0 where p lies beyond
        the map around q.
    """
    height, width = logits.shape[-2:]
    rows = _offsets(height, side, logits.device)
    columns = _offsets(width, side, logits.device)
    # (p's row, p's column, q's row, q's column)
    index = rows[:, None, :, None] * side + columns[None, :, None, :]
    within = (rows >= 0) & (rows < side)
    inside = within[:, None, :, None] & ((columns >= 0) & (columns < side))[None, :, None, :]
    cells = height * width
    flat = torch.where(inside, index, 0).reshape(1, cells, cells)
    gathered = logits.flatten(2).gather(1, flat.expand(logits.shape[0], -1, -1))
    return torch.where(inside.reshape(1, cells, cells), gathered, 0)


class PointwiseAttention(nn.Module):
    """One branch: features weighed and summed over all cells.

    Args:
        in_channels: Of the features.
        width: Channels that are summed.
        distributes: Whether the weights are predicted where the features come from, instead of
            where they go to.
        options: Size of the map and what is done with its logits.
    """

    def __init__(
        self, in_channels: int, width: int, options: PsaNetOptions, *, distributes: bool
    ) -> None:
        super().__init__()
        self.distributes = distributes
        self.options = options
        self.side = options.side if options.compact else 2 * options.side - 1
        self.reduce = conv_norm_relu(in_channels, width, 1)
        self.predict = nn.Sequential(
            conv_norm_relu(width, width, 1), nn.Conv2d(width, self.side**2, 1, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, width, shrunk h, shrunk w) from (n, in_channels, h, w)."""
        reduced = self._shrink(self.reduce(features))
        weights = self.weights(self.predict(reduced))
        # (n, width, sources) x (n, sources, targets)
        gathered = torch.bmm(reduced.flatten(2), weights).view_as(reduced)
        return gathered / self.options.normalization

    def weights(self, logits: Tensor) -> Tensor:
        """Tell how much of each source each target receives.

        Args:
            logits: (n, side * side, h, w) as predicted by each cell.

        Returns:
            (n, h * w sources, h * w targets).
        """
        by_place = logits.flatten(2) if self.options.compact else offset_logits(logits, self.side)
        if self.distributes:  # predicted at the source: it is the column, the target the row
            by_place = by_place.transpose(1, 2)
        return by_place.softmax(dim=1) if self.options.softmax else by_place

    def _shrink(self, features: Tensor) -> Tensor:
        shrink = self.options.shrink
        height, width = (-(-length // shrink) for length in features.shape[-2:])
        size = (self.side, self.side) if self.options.compact else (height, width)
        return functional.interpolate(features, size=size, mode="bilinear", align_corners=True)


class PSA(nn.Module):
    """The point-wise spatial attention module: the features and what attention adds to them.

    Args:
        in_channels: Of the features.
        options: Which branches, and how they attend.
    """

    def __init__(self, in_channels: int, options: PsaNetOptions) -> None:
        super().__init__()
        width = in_channels // 4
        ways = {"collect": (False,), "distribute": (True,), "both": (False, True)}
        self.branches = nn.ModuleList(
            PointwiseAttention(in_channels, width, options, distributes=distributes)
            for distributes in ways[options.attention]
        )
        self.project = conv_norm_relu(len(self.branches) * width, in_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, 2 * in_channels, h, w) from (n, in_channels, h, w)."""
        attended = torch.cat([branch(features) for branch in self.branches], dim=1)
        attended = functional.interpolate(
            self.project(attended), size=features.shape[-2:], mode="bilinear", align_corners=True
        )
        return torch.cat([features, attended], dim=1)


class PSANet(nn.Module):
    """Point-wise spatial attention network (ECCV 2018, doi 10.1007/978-3-030-01240-3_17).

    Args:
        request: Encoder, bands, classes and `PsaNetOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        self.encoder = build_encoder(request, output_stride=_STRIDE)
        c4_channels, c5_channels = self.encoder.out_channels[-2:]
        self.attention = PSA(c5_channels, request.options)
        self.head = classifier(2 * c5_channels, c5_channels // 4, request.classes)
        self.auxiliary = classifier(c4_channels, c4_channels // 4, request.classes)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute logits.

        Args:
            image: (n, bands, h, w).

        Returns:
            (n, classes, h/8, w/8); in training with those of the last level but one.
        """
        *_, c4, c5 = self.encoder(image)
        logits: Tensor = self.head(self.attention(c5))
        return (logits, self.auxiliary(c4)) if self.training else logits


def _offsets(length: int, side: int, device: torch.device) -> Tensor:
    """Where along one axis of the map each cell finds each other: (other, cell), from 0."""
    places = torch.arange(length, device=device)
    return places[:, None] - places[None, :] + (side - 1) // 2


PSANET: dict[str, Architecture] = {
    "psanet": Architecture(
        summary="PSANet, doi 10.1007/978-3-030-01240-3_17",
        build=PSANet,
        options=PsaNetOptions,
        auxiliary=(Auxiliary(name="level 4", weight=0.4),),
        default_encoder="tu-resnet50s",
    )
}
