"""Where the windows of a prediction lie, and how much each of their pixels counts.

The weight of a window is the product of a weight by row and a weight by column. So the sum of all
weights over a pixel is the product of two vectors that are known before the first forward pass:
averaging needs no array of counts and no epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """The windows along one axis of a scene, or those that touch a part of it."""

    length: int
    """Pixels of the scene."""

    core: tuple[int, int]
    """First and last (exclusive) pixel that is wanted."""

    offsets: tuple[int, ...]
    """Where windows start."""

    profiles: npt.NDArray[np.float32]
    """Weights of the pixels of a window (kinds, size); the largest is 1."""

    kinds: tuple[int, ...]
    """Which profile each window has: those at the scene's ends have their own."""

    totals: npt.NDArray[np.float32]
    """Sum of the weights over each pixel of the scene (padded length); above 0 everywhere."""

    @property
    def size(self) -> int:
        """Pixels of a window."""
        return int(self.profiles.shape[1])

    @property
    def padded(self) -> int:
        """Pixels that all windows cover: the length, or one window where that is longer."""
        return len(self.totals)

    @property
    def begin(self) -> int:
        """First pixel of the first window."""
        return self.offsets[0]

    @property
    def end(self) -> int:
        """Behind the last pixel of the last window; beyond the scene where that is smaller."""
        return self.offsets[-1] + self.size

    def weight(self, index: int) -> npt.NDArray[np.float32]:
        """Weights (size,) of the pixels of a window."""
        weights: npt.NDArray[np.float32] = self.profiles[self.kinds[index]]
        return weights

    def share(self, index: int) -> npt.NDArray[np.float32]:
        """What part (size,) of each pixel's average a window gives; the parts add up to 1."""
        start = self.offsets[index]
        return self.weight(index) / self.totals[start : start + self.size]

    def first_over(self, position: int) -> int:
        """Offset of the first window that covers a pixel."""
        return next(start for start in self.offsets if start + self.size > position)

    def crop(self, start: int, stop: int) -> Axis:
        """The windows that touch the pixels from `start` to `stop`: all that give them scores."""
        kept = [
            place
            for place, offset in enumerate(self.offsets)
            if offset < stop and offset + self.size > start
        ]
        return replace(
            self,
            core=(start, stop),
            offsets=tuple(self.offsets[place] for place in kept),
            kinds=tuple(self.kinds[place] for place in kept),
        )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All windows of a scene, or of a part of it: every row window with every column window."""

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

    def crop(self, rows: tuple[int, int], cols: tuple[int, int]) -> Layout:
        """The windows that touch some rows and columns; their pixels get the same scores."""
        return replace(self, rows=self.rows.crop(*rows), cols=self.cols.crop(*cols))

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.rows.offsets) * len(self.cols.offsets)

    @property
    def is_plain(self) -> bool:
        """Whether all pixels of all windows count alike."""
        return bool((self.rows.profiles == 1).all() and (self.cols.profiles == 1).all())


def make_axis(length: int, size: int, stride: int, blend: Blend) -> Axis:
    """Lay windows along one axis and weigh their pixels.

    Toward the ends of the scene the weight stays at its peak, so that every pixel is defined.

    Raises:
        ConfigError: If size, stride or blend make no sense.
    """
    check_window(size, stride)
    starts = offsets(length, size, stride)
    middle = size // 2
    profiles = np.tile(_profile(size, stride, blend), (4, 1))
    profiles[_FIRST, :middle] = 1.0
    profiles[_LAST, middle:] = 1.0
    profiles[_ONLY] = 1.0
    kinds = [_INNER] * len(starts)
    kinds[0], kinds[-1] = (_FIRST, _LAST) if len(starts) > 1 else (_ONLY, _ONLY)
    totals = np.zeros(max(length, size), dtype=np.float32)
    for start, kind in zip(starts, kinds, strict=True):
        totals[start : start + size] += profiles[kind]
    return Axis(
        length=length,
        core=(0, length),
        offsets=tuple(starts),
        profiles=profiles,
        kinds=tuple(kinds),
        totals=totals,
    )


_INNER, _FIRST, _LAST, _ONLY = range(4)
"""Kinds of windows along an axis: inside, at its first and at its last end, alone."""


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
