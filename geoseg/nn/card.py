"""The card of a model bundle: all that is told of a network beside its weights."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from geoseg.errors import BundleError
from geoseg.geo.stats import BandStats
from geoseg.nn.models import ModelSpec
from geoseg.nn.scaling import Scaling

FORMAT_VERSION = 1
"""Version of the card that this geoseg writes; it reads this one and those before."""

Activation = Literal["softmax", "sigmoid", "none"]


class ModelCard(BaseModel):
    """All that is told of a network beside its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    """Of the card."""

    spec: ModelSpec
    """The network."""

    activation: Activation = "softmax"
    """What turns its logits into probabilities."""

    legend: dict[str, JsonValue]
    """The classes, one per channel, as `Legend.to_dict` gives them."""

    bands: tuple[str, ...]
    """Names of the input bands in order; empty strings where they have none."""

    dtype: str
    """Data type of the training scenes, as numpy names it."""

    scaling: Scaling
    """From raw units to what the network sees."""

    stats: dict[str, JsonValue] = Field(default_factory=dict)
    """Of the training pixels per band, as `BandStats.to_dict` gives them; may be empty."""

    window: int = Field(ge=1, le=65536)
    """Side of a training sample, and so of the windows of prediction, in pixels."""

    stride: int = Field(ge=1, le=65536)
    """Step between the windows of prediction, in pixels."""

    mode: Literal["stride", "resize"] = "stride"
    """`resize` if it was trained on whole images, scaled to `window`, and is to predict them so."""

    resolution: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Ground resolution of the training pixels in metres; None for plain images."""

    crs: str | None = None
    """CRS of the training scenes; a hint, nothing depends on it."""

    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    """Where it comes from: `name`, `created`, `seed`, `config`, `metrics`, `versions`,
    `data`, `licence`."""

    checksum: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """SHA-256 over this card and the weights; set when the bundle is saved."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.bands) != self.spec.in_channels:
            raise ValueError(f"{len(self.bands)} bands for {self.spec.in_channels} input channels")
        if self.scaling.bands not in (None, len(self.bands)):
            raise ValueError(f"scaling of {self.scaling.bands} bands for {len(self.bands)}")
        if self.stride > self.window:
            raise ValueError(f"stride {self.stride} is larger than window {self.window}")
        if not _is_number_type(self.dtype):
            raise ValueError(f"dtype {self.dtype!r} is no type of pixels")
        if self.stats and not _are_stats(self.stats, len(self.bands)):
            raise ValueError(f"stats are not those of {len(self.bands)} bands")
        return self

    @property
    def name(self) -> str:
        """The name it was given in training; may be empty."""
        name = self.provenance.get("name", "")
        return name if isinstance(name, str) else ""

    @property
    def band_stats(self) -> BandStats | None:
        """Statistics of the training pixels; None where the card has none."""
        return BandStats.from_dict(self.stats) if self.stats else None  # type: ignore[arg-type]


def parse_card(subject: str, text: str) -> ModelCard:
    """Read a card from JSON.

    Args:
        subject: The file it came from.
        text: What was found in it.

    Raises:
        BundleError: If it is no card, or one of a newer format.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(subject, "its card is no JSON", "Copy the file again") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or version < 1:
        raise BundleError(subject, "its card has no format version", "Copy the file again")
    if version > FORMAT_VERSION:
        raise BundleError(
            subject,
            f"is of format version {version}, this geoseg reads up to {FORMAT_VERSION}",
            "Install a newer geoseg",
        )
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        problem = f"its card is wrong: {key}: {message}" if key else f"its card is wrong: {message}"
        raise BundleError(subject, problem, "Train or export the model again") from error


def _is_number_type(name: str) -> bool:
    try:
        return np.dtype(name).kind in "iuf"
    except (TypeError, ValueError):
        return False


def _are_stats(content: dict[str, Any], bands: int) -> bool:
    try:
        stats = BandStats.from_dict(content)
    except (KeyError, TypeError, ValueError):
        return False
    columns = (stats.mean, stats.std, stats.min, stats.max, stats.p2, stats.p98)
    return all(len(column) == bands for column in (stats.count, *columns))
