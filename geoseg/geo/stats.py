"""Statistics of the bands of rasters: streamed, mergeable, over valid pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

    Counts, extremes and percentiles do not depend on the order of the pieces; mean and
    deviation do so by rounding in float64 only.

    Args:
        bands: Number of bands.
        dtype: Data type of the pixels, which decides how percentiles are kept.
    """

    def __init__(self, bands: int, dtype: str) -> None:
        self._bands = [_BandState(np.dtype(dtype)) for _ in range(bands)]

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
        bands = self._bands
        return BandStats(
            count=tuple(b.count for b in bands),
            mean=tuple(b.mean if b.count else math.nan for b in bands),
            std=tuple(math.sqrt(b.squares / b.count) if b.count else math.nan for b in bands),
            min=tuple(b.min if b.count else math.nan for b in bands),
            max=tuple(b.max if b.count else math.nan for b in bands),
            p2=tuple(b.percentile(0.02) for b in bands),
            p98=tuple(b.percentile(0.98) for b in bands),
        )


class _BandState:
    """Moments and a histogram of one band.

    Bins are the values themselves for integers up to 16 bits. Other types are counted by the
    leading bits of their float32 form in sort order, which makes bins of equal relative width
    whatever the unit.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.is_exact = dtype.kind in "iu" and dtype.itemsize <= 2
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.min, self.max = math.inf, -math.inf
        self._low = 0
        self._counts = np.zeros(0, np.int64)

    def update(self, values: npt.NDArray[Any]) -> None:
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
        if values.size == 0:
            return
        bins = values.astype(np.intp) if self.is_exact else _float_bins(values)
        low = int(values.min()) if self.is_exact else int(bins.min())
        bins -= low
        counts = np.bincount(bins)
        if self.is_exact:
            self._add_moments((low + np.arange(len(counts))).astype(np.float64), counts)
        else:
            self._add_moments(values.astype(np.float64), None)
        self._add_counts(low, counts)

    def merge(self, other: _BandState) -> None:
        if other.count:
            self._join_moments(other.count, other.mean, other.squares)
            self.min, self.max = min(self.min, other.min), max(self.max, other.max)
            self._add_counts(other._low, other._counts)

    def percentile(self, share: float) -> float:
        """The smallest value with at least `share` of the pixels at or below it."""
        if self.count == 0:
            return math.nan
        rank = math.ceil(share * self.count)
        bin_ = self._low + int(np.searchsorted(np.cumsum(self._counts), rank))
        value = float(bin_) if self.is_exact else _bin_centre(bin_)
        return min(max(value, self.min), self.max)

    def _add_moments(
        self, values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64] | None
    ) -> None:
        if counts is not None:
            values, counts = values[counts > 0], counts[counts > 0]
        number = int(counts.sum()) if counts is not None else values.size
        mean = float(np.average(values, weights=counts))
        deviations = (values - mean) ** 2
        squares = float(deviations @ counts if counts is not None else deviations.sum())
        self._join_moments(number, mean, squares)
        self.min = min(self.min, float(values.min()))
        self.max = max(self.max, float(values.max()))

    def _join_moments(self, count: int, mean: float, squares: float) -> None:
        """Chan, Golub and LeVeque: sums of squares about two means, joined without loss."""
        total = self.count + count
        shift = mean - self.mean
        self.squares += squares + shift * shift * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def _add_counts(self, low: int, counts: npt.NDArray[np.int64]) -> None:
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
