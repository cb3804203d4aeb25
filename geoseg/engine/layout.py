"""Where the windows of a prediction lie, and how much each of their pixels counts.

The weight of a window is the product of a weight by row and a weight by column. So the sum of all
weights over a pixel is the product of two vectors that are known before the first forward pass:
averaging needs no array of counts and no epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError
from geoseg.geo.windows import check_window, offsets

Blend = Literal["mean", "hann", "gaussian", "crop"]
"""How overlapping windows are averaged: all pixels alike, by a raised cosine or a bell that falls
off from the centre, or by the centre of each window alone."""

_GAUSSIAN_SIGMA = 0.25
"""Standard deviation of the bell, in sides of a window."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The windows along one axis of a scene."""

    length: int
    """Pixels of the scene."""

    offsets: tuple[int, ...]
    """Where windows start."""

    weights: npt.NDArray[np.float32]
    """Weight of each pixel of each window (windows, size); the largest is 1."""

    totals: npt.NDArray[np.float32]
    """Sum of the weights over each pixel (padded length); above 0 everywhere."""

    def representative(self, index: int) -> int:
        """The lowest window with the weights of window `index`: inner ones are all alike."""
        return index if index in (0, len(self.offsets) - 1) else 1

    def first_over(self, position: int) -> int:
        """Offset of the first window that covers a pixel."""
        size = self.weights.shape[1]
        return next(start for start in self.offsets if start + size > position)

    @property
    def padded(self) -> int:
        """Pixels that the windows cover: the length, or one window where that is longer."""
        return len(self.totals)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All windows of a scene: every row window with every column window."""

    window: int
    """Side of a window in pixels."""

    stride: int
    """Pixels from one window to the next."""

    rows: Axis
    """Down the scene."""

    cols: Axis
    """Across the scene."""

    @classmethod
    def of(cls, shape: tuple[int, int], window: int, stride: int, blend: Blend = "mean") -> Layout:
        """Lay windows over a scene.

        Args:
            shape: Height and width of the scene, pixels.
            window: Side of a window, pixels.
            stride: Pixels from one window to the next.
            blend: How overlapping windows are averaged.

        Raises:
            ConfigError: If window, stride or blend make no sense.
        """
        height, width = shape
        return cls(
            window=window,
            stride=stride,
            rows=make_axis(height, window, stride, blend),
            cols=make_axis(width, window, stride, blend),
        )

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.rows.offsets) * len(self.cols.offsets)


def make_axis(length: int, size: int, stride: int, blend: Blend) -> Axis:
    """Lay windows along one axis and weigh their pixels.

    Toward the ends of the scene the weight stays at its peak, so that every pixel is defined.

    Raises:
        ConfigError: If size, stride or blend make no sense.
    """
    check_window(size, stride)
    starts = offsets(length, size, stride)
    profile = _profile(size, stride, blend)
    weights = np.tile(profile, (len(starts), 1))
    middle = size // 2
    weights[0, :middle] = 1.0
    weights[-1, middle:] = 1.0
    totals = np.zeros(max(length, size), dtype=np.float32)
    for start, weight in zip(starts, weights, strict=True):
        totals[start : start + size] += weight
    return Axis(length=length, offsets=tuple(starts), weights=weights, totals=totals)


def _profile(size: int, stride: int, blend: Blend) -> npt.NDArray[np.float32]:
    """Weights (size,) of a window inside the scene; symmetric, its peak is 1."""
    centres = (np.arange(size) + 0.5) / size  # of pixels, in sides of a window
    if blend == "mean":
        profile = np.ones(size)
    elif blend == "hann":
        profile = np.sin(np.pi * centres) ** 2  # above 0: centres never reach the edge
    elif blend == "gaussian":
        profile = np.exp(-((centres - 0.5) ** 2) / (2 * _GAUSSIAN_SIGMA**2))
    elif blend == "crop":
        margin = (size - stride) // 2
        profile = np.zeros(size)
        profile[margin : size - margin] = 1.0
    else:
        raise ConfigError("--blend", f"{blend!r} is unknown", f"Choose of {get_args(Blend)}")
    profile /= profile.max()
    return np.asarray(profile, dtype=np.float32)
