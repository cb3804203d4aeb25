"""The table [augment]: which random changes training samples get, and how large they are."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0.1, le=10)]
Amount = Annotated[float, Field(ge=0, le=5)]
Pixels = Annotated[float, Field(ge=0, le=50)]

_FOLDS = 3
"""Elastic displacements above 1/3 of their spacing could lay ground over itself."""


class AugmentProbabilities(BaseModel):
    """How often a change is made that is switched on by its size; the table [augment.probability].

    What happens evenly around "no change" happens always; what only takes quality away, half
    the time, so that the network also sees samples as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Probability = 1.0
    angle: Probability = 1.0
    shift: Probability = 1.0
    shear: Probability = 1.0
    perspective: Probability = 1.0
    elastic: Probability = 0.5
    blur: Probability = 0.5
    gamma: Probability = 1.0
    brightness: Probability = 1.0
    contrast: Probability = 1.0
    band_shift: Probability = 1.0
    band_gain: Probability = 1.0
    noise: Probability = 0.5


class AugmentConfig(BaseModel):
    """Which changes are made, each sample on its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: Probability = 0.5
    """Probability of a left-right flip, and of an up-down flip."""

    rotate: Probability = 0.5
    """Probability of a turn by 90, 180 or 270 degrees (180 only where samples are not square)."""

    scale: tuple[Factor, Factor] = (0.8, 1.25)
    """Smallest and largest factor by which things grow; the sample keeps its size."""

    angle: float = Field(default=0.0, ge=0, le=180)
    """Largest free rotation to either side, degrees."""

    shift: float = Field(default=0.0, ge=0, le=0.9)
    """Largest shift along each axis, as a share of the sample's side."""

    shear: float = Field(default=0.0, ge=0, le=45)
    """Largest angle by which upright lines lean to either side, degrees."""

    perspective: float = Field(default=0.0, ge=0, le=0.4)
    """Largest share by which things are larger at one border, and smaller at the other, than in
    the middle."""

    elastic: Pixels = 0.0
    """Largest displacement of the points of a coarse net along each axis, in pixels."""

    elastic_spacing: float = Field(default=32.0, ge=4, le=1024)
    """Pixels between the points of that net; at least three times `elastic`."""

    blur: tuple[Pixels, Pixels] = (0.0, 0.0)
    """Smallest and largest standard deviation of a Gaussian blur, in pixels."""

    gamma: tuple[Factor, Factor] = (1.0, 1.0)
    """Smallest and largest exponent of the values between a band's least and greatest."""

    brightness: Amount = 0.1
    """Largest shift of all bands, in scaled units (standard deviations by `standardize`)."""

    contrast: Probability = 0.1
    """Largest share by which the distance of pixels from the sample's mean grows or shrinks."""

    band_shift: Amount = 0.0
    """As `brightness`, but each band on its own."""

    band_gain: Probability = 0.0
    """As `contrast`, but each band on its own."""

    noise: tuple[Amount, Amount] = (0.0, 0.0)
    """Smallest and largest standard deviation of Gaussian noise, in scaled units."""

    band_drop: Probability = 0.0
    """Probability of each band to be lost (to become its mean); one band always stays."""

    cutmix: Probability = 0.0
    """Probability that a box of a sample is taken from another of the batch."""

    cutmix_alpha: float = Field(default=1.0, gt=0, le=10)
    """The share of the sample that the box leaves is drawn from Beta(alpha, alpha)."""

    probability: AugmentProbabilities = AugmentProbabilities()
    """How often the changes are made whose keys above tell a size."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, noun in (("scale", "factor"), ("gamma", "exponent")):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the smallest {noun} comes first")
        for name in ("blur", "noise"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the smallest standard deviation comes first")
        if self.elastic * _FOLDS > self.elastic_spacing:
            raise ValueError(
                f"elastic is at most a third of elastic_spacing ({self.elastic_spacing:g}), "
                "or the ground would fold"
            )
        return self
