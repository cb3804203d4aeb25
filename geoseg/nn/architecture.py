"""What every architecture is described by: its options, its builder, its needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

Channels = Annotated[int, Field(ge=1, le=8192)]
"""How wide a layer may be."""

Dropout = Annotated[float, Field(ge=0, lt=1)]
"""Share of the values that training drops."""


class ArchitectureOptions(BaseModel):
    """The knobs of one architecture; none by default. Subclasses add theirs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True)
class NetworkRequest:
    """What a builder is asked for."""

    encoder: str
    """Name as `resolve_encoder` returns it; `none` where the architecture has none."""

    in_channels: int
    """Bands of the input."""

    classes: int
    """Channels of the logits."""

    pretrained: bool
    """Whether the encoder is to begin with its ImageNet weights."""

    options: Any
    """An instance of the architecture's `options` class."""


@dataclass(frozen=True, kw_only=True)
class Auxiliary:
    """One more output that a network gives in training, after its logits."""

    name: str
    """What it is called in the log."""

    weight: float
    """What its loss is multiplied by, as in the paper."""

    boundary: bool = False
    """Whether it is one channel that tells the boundaries of the classes, instead of logits."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One entry of `ARCHITECTURES`."""

    summary: str
    """One line with the paper it comes from."""

    build: Callable[[NetworkRequest], nn.Module]
    """Makes the bare network, for sizes that its divisor divides.

    It gives logits of any size, which are resized; in training a tuple of them and of what
    `auxiliary` lists, in that order.
    """

    options: type[ArchitectureOptions] = ArchitectureOptions
    """What may stand under `options`."""

    auxiliary: tuple[Auxiliary, ...] = ()
    """What it gives in training beside its logits."""

    has_encoder: bool = True
    """Whether an encoder is chosen."""

    default_encoder: str = "resnet50"
    """The encoder of the paper, or the one nearest to it."""

    has_pretrained: bool = False
    """Whether there are ImageNet weights for a part of it, where it has no encoder."""

    divisor: int = 1
    """Of the heights and widths it takes, where it has no encoder to tell."""

    timm_only: bool = False
    """Whether only timm's encoders fit."""

    cells: int = 1
    """Fewest cells along each axis that the decoder needs of the encoder's last level."""

    lr: float = 1e-3
    """Learning rate of a training that tells none."""
