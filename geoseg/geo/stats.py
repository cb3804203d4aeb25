"""Statistics of the bands of rasters: streamed, mergeable, over valid pixels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

_MANTISSA_BITS_DROPPED = 14
"""Of a float32 in its sort order; bins that remain are 1/512 of their octave wide."""


@dataclass(frozen=True, kw_only=True)
class BandStats:
    """What the valid pixels of each band are like; one entry per band, in raw units.

    A band without any valid pixel has count 0 and NaN for the rest.
    """

    count: tuple[int, ...]
    """Valid, finite pixels."""

    mean: tuple[float, ...]
    """Arithmetic mean."""

    std: tuple[float, ...]
    """Standard deviation of the population (divided by count)."""

    min: tuple[float, ...]
    """Smallest value."""

    max: tuple[float, ...]
    """Largest value."""

    p2: tuple[float, ...]
    """Second percentile: exact for integers up to 16 bits, else within 0.2 %."""

    p98: tuple[float, ...]
    """98th percentile, as exact as `p2`."""

    def to_dict(self) -> dict[str, list[float | int | None]]:
        """Lists fit for JSON; NaN becomes null."""
        names = ("count", "mean", "std", "min", "max", "p2", "p98")
        return {name: [_none_if_nan(v) for v in getattr(self, name)] for name in names}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[Any]]) -> BandStats:
        """The inverse of `to_dict`.

        Raises:
            KeyError: If an entry is missing.
        """
        names = ("mean", "std", "min", "max", "p2", "p98")
        floats = {name: tuple(_nan_if_none(v) for v in values[name]) for name in names}
        return cls(count=tuple(int(v) for v in values["count"]), **floats)


class BandStatsAccumulator:
    """Takes pixels piece by piece; pieces may be counted apart and merged.

    The order of the pieces does not matter for integers of up to 16 bits; for other types it
    does for mean and deviation, by rounding in float64 only.

    Args:
        bands: Number of bands.
        dtype: Data type of the pixels, which decides how percentiles are kept.
    """

    def __init__(self, bands: int, dtype: str) -> None:
        self._bands = [_state(np.dtype(dtype)) for _ in range(bands)]

    def update(self, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Count the valid, finite pixels of a piece.

        Args:
            data: Pixels (bands, height, width) of the accumulator's data type.
            valid: (height, width), True where there is data.
        """
        everywhere = bool(valid.all())
        for band, state in zip(data, self._bands, strict=True):
            state.update(band.ravel() if everywhere else band[valid])

    def merge(self, other: BandStatsAccumulator) -> None:
        """Count all that `other` has counted."""
        for mine, theirs in zip(self._bands, other._bands, strict=True):
            mine.merge(theirs)

    def result(self) -> BandStats:
        """The statistics of all pixels so far."""
        bands = [band.summary() for band in self._bands]
        return BandStats(
            count=tuple(band.count for band in self._bands),
            mean=tuple(band.mean for band in bands),
            std=tuple(band.std for band in bands),
            min=tuple(band.low for band in bands),
            max=tuple(band.high for band in bands),
            p2=tuple(band.percentile(0.02) for band in self._bands),
            p98=tuple(band.percentile(0.98) for band in self._bands),
        )


class _Summary(NamedTuple):
    """Mean, deviation and extremes of one band."""

    mean: float = math.nan
    std: float = math.nan
    low: float = math.nan
    high: float = math.nan


class _BandState(ABC):
    """Pixels of one band as a histogram; how values become bins is up to the type of pixels."""

    def __init__(self) -> None:
        self.count = 0
        self._low = 0
        self._counts = np.zeros(0, np.int64)

    @abstractmethod
    def update(self, values: npt.NDArray[Any]) -> None:
        """Count pixels (n,)."""

    @abstractmethod
    def summary(self) -> _Summary:
        """Mean, deviation and extremes; NaN where nothing was counted."""

    @abstractmethod
    def _value(self, bin_: int) -> float:
        """The value in the middle of a bin."""

    def merge(self, other: Self) -> None:
        """Count what `other` has counted."""
        if other.count:
            self._add_counts(other._low, other._counts)

    def percentile(self, share: float) -> float:
        """The smallest value with at least `share` of the pixels at or below it."""
        if self.count == 0:
            return math.nan
        rank = math.ceil(share * self.count)
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        summary = self.summary()
        return min(max(self._value(self._low + place), summary.low), summary.high)

    def _add_bins(self, bins: npt.NDArray[np.intp], low: int) -> None:
        bins -= low
        self._add_counts(low, np.bincount(bins))

    def _add_counts(self, low: int, counts: npt.NDArray[np.int64]) -> None:
        self.count += int(counts.sum())
        if self._counts.size == 0:
            self._low, self._counts = low, counts.copy()
            return
        first = min(low, self._low)
        last = max(low + len(counts), self._low + len(self._counts))
        if first < self._low or last > self._low + len(self._counts):
            wider = np.zeros(last - first, np.int64)
            wider[self._low - first :][: len(self._counts)] = self._counts
            self._low, self._counts = first, wider
        self._counts[low - self._low :][: len(counts)] += counts


class _ShortIntegers(_BandState):
    """Integers of up to 16 bits: each value is a bin, and the histogram tells everything."""

    def update(self, values: npt.NDArray[Any]) -> None:
        if values.size:
            self._add_bins(values.astype(np.intp), int(values.min()))

    def summary(self) -> _Summary:
        if self.count == 0:
            return _Summary()
        found = np.flatnonzero(self._counts)
        values, counts = self._low + found, self._counts[found]
        mean = int(values @ counts) / self.count
        variance = float((values - mean) ** 2 @ counts) / self.count
        return _Summary(mean, math.sqrt(variance), float(values[0]), float(values[-1]))

    def _value(self, bin_: int) -> float:
        return float(bin_)


class _Numbers(_BandState):
    """Other types: moments by Chan's formulas, and bins of equal relative width.

    A bin is the leading bits of a number's float32 form, whatever the unit.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mean, self._squares = 0.0, 0.0
        self._min, self._max = math.inf, -math.inf

    def update(self, values: npt.NDArray[Any]) -> None:
        values = values[np.isfinite(values)].astype(np.float64)
        if values.size:
            mean = float(values.mean())
            squares = float(((values - mean) ** 2).sum())
            self._join(values.size, mean, squares)
            self._min = min(self._min, float(values.min()))
            self._max = max(self._max, float(values.max()))
            bins = _float_bins(values)
            self._add_bins(bins, int(bins.min()))

    def merge(self, other: Self) -> None:
        if other.count:
            self._join(other.count, other._mean, other._squares)
            self._min, self._max = min(self._min, other._min), max(self._max, other._max)
        super().merge(other)

    def summary(self) -> _Summary:
        if self.count == 0:
            return _Summary()
        return _Summary(self._mean, math.sqrt(self._squares / self.count), self._min, self._max)

    def _join(self, count: int, mean: float, squares: float) -> None:
        """Chan, Golub and LeVeque: sums of squares about two means, joined without loss."""
        total = self.count + count
        shift = mean - self._mean
        self._squares += squares + shift * shift * (self.count * count / total)
        self._mean += shift * (count / total)

    def _value(self, bin_: int) -> float:
        return _bin_centre(bin_)


def _state(dtype: np.dtype[Any]) -> _BandState:
    short = dtype.kind in "iu" and dtype.itemsize <= 2
    return _ShortIntegers() if short else _Numbers()


def _float_bins(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Bin numbers whose order is that of the values."""
    limit = np.finfo(np.float32).max
    bits = np.clip(values, -limit, limit).astype(np.float32).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    bins: npt.NDArray[np.int64] = (ordered >> _MANTISSA_BITS_DROPPED).astype(np.int64)
    return bins


def _bin_centre(bin_: int) -> float:
    """The value in the middle of a bin of `_float_bins`."""
    ordered = (bin_ << _MANTISSA_BITS_DROPPED) | (1 << (_MANTISSA_BITS_DROPPED - 1))
    bits = ordered & 0x7FFFFFFF if ordered >> 31 else ~ordered & 0xFFFFFFFF
    return float(np.array([bits], np.uint32).view(np.float32)[0])


def _none_if_nan(value: float | int) -> float | int | None:  # noqa: PYI041 - counts stay whole
    return None if math.isnan(value) else value


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else float(value)
