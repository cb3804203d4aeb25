"""What is made of scores: class values and probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from geoseg.engine.argmax import highest
from geoseg.geo.cog import RasterProfile
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.style import raster_colormap

PROBABILITY_SCALE = 0.005
"""Probability in one step of a probability raster of uint8."""


class Product(Protocol):
    """Turns rows of scores into rows of one raster."""

    @property
    def nodata(self) -> float:
        """Written where nothing is valid."""

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """What the raster is, with tags and creation options."""

    def encode(self, scores: Tensor) -> Tensor:
        """Turn scores (classes, rows, width) into values (bands, rows, width) beside them.

        Values of uint16 come as int32, with which every device computes.
        """


class ClassProduct:
    """The class with the highest score of each pixel.

    Args:
        legend: Turns channels into class values.
        exclude: Channels that are never chosen.
    """

    def __init__(self, legend: Legend, exclude: Sequence[int] = ()) -> None:
        self._legend = legend
        self.dtype = "uint8" if max(legend.values) < 255 else "uint16"
        self.nodata = 255.0 if self.dtype == "uint8" else 65535.0
        self._channels = [c for c in range(legend.count) if c not in set(exclude)]
        self._values = [legend.values[c] for c in self._channels]

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """One band, with the legend's colours where it can hold them."""
        return RasterProfile(
            grid=grid,
            dtype=self.dtype,
            nodata=self.nodata,
            colormap=raster_colormap(self._legend) if self.dtype == "uint8" else None,
            band_names=("class",),
            tags=tags,
            options=options,
        )

    def encode(self, scores: Tensor) -> Tensor:
        """Class values (1, rows, width)."""
        return highest(scores, self._channels, self._values)[None]


class ProbabilityProduct:
    """The score of every class.

    Args:
        legend: Names the channels.
        dtype: `uint8` in steps of `PROBABILITY_SCALE`, or `float32`.
    """

    def __init__(self, legend: Legend, dtype: str = "uint8") -> None:
        self._legend = legend
        self.dtype = dtype
        self.nodata = 255.0 if dtype == "uint8" else float("nan")
        self.scale = PROBABILITY_SCALE if dtype == "uint8" else None

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """A band for each class, described by its name."""
        return RasterProfile(
            grid=grid,
            count=self._legend.count,
            dtype=self.dtype,
            nodata=self.nodata,
            band_names=self._legend.names,
            tags=tags,
            scale=self.scale,
            overview_resampling="average",
            options=options,
        )

    def encode(self, scores: Tensor) -> Tensor:
        """Scores (classes, rows, width), quantised where the raster is."""
        scores = scores[: self._legend.count]
        if self.dtype == "float32":
            return scores.float().clone()
        steps = (scores / PROBABILITY_SCALE).round_().clamp_(0, round(1 / PROBABILITY_SCALE))
        return steps.to(torch.uint8)
