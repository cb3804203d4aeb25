"""What every architecture is described by: its options, its builder, its needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import nn


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
class Architecture:
    """One entry of `ARCHITECTURES`."""

    summary: str
    """One line with the paper it comes from."""

    build: Callable[[NetworkRequest], nn.Module]
    """Makes the bare network: logits at input size, for sizes its divisor divides."""

    options: type[ArchitectureOptions] = ArchitectureOptions
    """What may stand under `options`."""

    has_encoder: bool = True
    """Whether an encoder is chosen."""

    timm_only: bool = False
    """Whether only timm's encoders fit."""

    cells: int = 1
    """Fewest cells along each axis that the decoder needs of the encoder's last level."""
