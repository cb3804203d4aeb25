"""From the raw units of a sensor to what the network sees, on the device."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from torch import Tensor

from geoseg.geo.stats import BandStats

ScalingKind = Literal["none", "divide", "standardize", "percentile"]


class Scaling(BaseModel):
    """How pixel values are scaled, one rule a bundle; per band, in raw units of the sensor.

    ``none``
        x
    ``divide``
        x / divisor
    ``standardize``
        (x - mean) / std
    ``percentile``
        (x - low) / (high - low), cut to 0 to 1
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScalingKind = "none"
    """Which of the formulas."""

    divisor: FiniteFloat = Field(default=1.0, gt=0)
    """Of `divide`, for all bands."""

    mean: tuple[FiniteFloat, ...] = ()
    """Mean per band; it also takes the place of missing values, whatever the kind."""

    std: tuple[FiniteFloat, ...] = ()
    """Standard deviation per band, above 0."""

    low: tuple[FiniteFloat, ...] = ()
    """Per band, what becomes 0 by `percentile`."""

    high: tuple[FiniteFloat, ...] = ()
    """Per band, what becomes 1 by `percentile`; above `low`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed = {"standardize": ("mean", "std"), "percentile": ("low", "high")}
        for name in needed.get(self.kind, ()):
            if not getattr(self, name):
                raise ValueError(f"scaling {self.kind} needs {name}")
        if len({len(values) for values in self._per_band() if values}) > 1:
            raise ValueError("mean, std, low and high are not of the same length")
        if any(std <= 0 for std in self.std):
            raise ValueError("std is not above 0")
        if any(high <= low for low, high in zip(self.low, self.high, strict=False)):
            raise ValueError("high is not above low")
        return self

    @classmethod
    def from_stats(
        cls, kind: ScalingKind, stats: BandStats, *, divisor: float | None = None
    ) -> Scaling:
        """Choose the numbers by what the training pixels are like.

        Args:
            kind: Which formula.
            stats: Of the training pixels, in raw units. A band without values counts as 0; one
                with a single value keeps its scale.
            divisor: Of `divide`; None takes the largest value of all bands.
        """
        mean = tuple(_finite(value, 0.0) for value in stats.mean)
        low = tuple(_finite(value, 0.0) for value in stats.p2)
        high = tuple(_finite(value, 0.0) for value in stats.p98)
        if divisor is None:
            divisor = max((_finite(value, 0.0) for value in stats.max), default=0.0)
        return cls(
            kind=kind,
            divisor=divisor if kind == "divide" and divisor > 0 else 1.0,
            mean=mean,
            std=tuple(_positive(_finite(value, 1.0)) for value in stats.std)
            if kind == "standardize"
            else (),
            low=low if kind == "percentile" else (),
            high=tuple(b if b > a else a + 1.0 for a, b in zip(low, high, strict=True))
            if kind == "percentile"
            else (),
        )

    @property
    def bands(self) -> int | None:
        """How many bands it is for; None where it fits any number."""
        return next((len(values) for values in self._per_band() if values), None)

    def apply(self, image: Tensor, nodata: float | None = None) -> Tensor:
        """Scale pixels; what is missing becomes the band's mean first.

        Args:
            image: (n, bands, height, width) float32 in raw units.
            nodata: Value that means missing, beside all that is not finite.

        Returns:
            (n, bands, height, width) float32 on the same device; where it was missing, `fill`.
        """
        missing = ~torch.isfinite(image)
        if nodata is not None and math.isfinite(nodata):
            missing |= image == torch.tensor(nodata, dtype=image.dtype)
        mean = _column(self.mean or (0.0,), image.device, image.dtype)
        return self._scale(torch.where(missing, mean, image))

    def fill(self, bands: int) -> Tensor:
        """What missing pixels become: the band's mean, scaled.

        Args:
            bands: How many, where the scaling fits any number.

        Returns:
            (bands,) float32; 0 by `standardize`.
        """
        missing = torch.full((1, self.bands or bands, 1, 1), math.nan)
        return self.apply(missing).flatten()

    def affine(self, bands: int) -> tuple[Tensor, Tensor]:
        """The formula as `slope * x + intercept`; `percentile` is cut to 0 to 1 afterwards.

        Args:
            bands: How many, where the scaling fits any number.

        Returns:
            Slope and intercept (bands,), float32.
        """
        one, zero = torch.ones(bands, dtype=torch.float64), torch.zeros(bands, dtype=torch.float64)
        match self.kind:
            case "none":
                slope, intercept = one, zero
            case "divide":
                slope, intercept = one / self.divisor, zero
            case "standardize":
                slope = 1 / torch.tensor(self.std, dtype=torch.float64)
                intercept = -torch.tensor(self.mean, dtype=torch.float64) * slope
            case "percentile":
                low = torch.tensor(self.low, dtype=torch.float64)
                slope = 1 / (torch.tensor(self.high, dtype=torch.float64) - low)
                intercept = -low * slope
        return slope.float(), intercept.float()

    def _scale(self, image: Tensor) -> Tensor:
        device, dtype = image.device, image.dtype
        match self.kind:
            case "none":
                return image
            case "divide":
                return image / self.divisor
            case "standardize":
                mean = _column(self.mean, device, dtype)
                return (image - mean) / _column(self.std, device, dtype)
            case "percentile":
                low = _column(self.low, device, dtype)
                return ((image - low) / (_column(self.high, device, dtype) - low)).clamp(0, 1)

    def _per_band(self) -> tuple[tuple[float, ...], ...]:
        return self.mean, self.std, self.low, self.high


@lru_cache(maxsize=64)
def _column(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Values per band as (1, bands, 1, 1), copied to the device once."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=dtype, device=device)[None, :, None, None]


def _finite(value: float, otherwise: float) -> float:
    return float(value) if math.isfinite(value) else otherwise


def _positive(std: float) -> float:
    return std if std > 0 else 1.0
