"""Whether probabilities mean what they say: counted in parts, scored in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled
from geoseg.geo.ratios import divide, mean_of

Floats = npt.NDArray[np.float64]
Shares = npt.NDArray[np.float32]

BINS = 15
"""Bins of equal width between the probabilities 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class CalibrationCounts:
    """Sums over pixels with a label and probabilities; those of several maps add up."""

    top: Floats
    """(3, bins) by the winning probability: pixels, their sum of it, pixels that are right."""

    each: Floats
    """(3, C, bins) by the probability of a class: pixels, their sum of it, pixels of the class."""

    squares: Floats
    """(C,) sum of squared differences between probability and truth (1 or 0)."""

    log_loss: float
    """Sum of -log of the probability of the true class."""

    @classmethod
    def empty(cls, count: int) -> Self:
        """Of no pixels, for `count` classes."""
        return cls(
            top=np.zeros((3, BINS)),
            each=np.zeros((3, count, BINS)),
            squares=np.zeros(count),
            log_loss=0.0,
        )

    @classmethod
    def of(cls, probabilities: Shares, reference: npt.NDArray[Any], least: float) -> Self:
        """Count some pixels.

        A bin holds its lower bound and not its upper one; the last holds 1, too.

        Args:
            probabilities: (C, n) that sum to one.
            reference: (n,) class indices.
            least: The probability that stands for less, so that a logarithm exists: what is
                stored as 0 may be anything below the smallest step.
        """
        counts = cls.empty(len(probabilities))
        log_loss = _tally(
            probabilities, reference, least, (counts.top, counts.each, counts.squares)
        )
        return replace(counts, log_loss=log_loss)

    def __add__(self, other: Self) -> CalibrationCounts:
        """The counts of both."""
        return CalibrationCounts(
            top=self.top + other.top,
            each=self.each + other.each,
            squares=self.squares + other.squares,
            log_loss=self.log_loss + other.log_loss,
        )

    def scores(self, names: Sequence[str], left_out: Sequence[int] = ()) -> dict[str, Any]:
        """Errors of the probabilities, and the curves behind them.

        Expected calibration error (Guo et al. 2017, arXiv:1706.04599): the mean gap between the
        winning probability and the share of right pixels, over bins, each weighted by its
        pixels. By class (Kull et al. 2019, arXiv:1910.12656): the same of the probability of a
        class and the share of its pixels. Brier score (Brier 1950): mean over pixels of the
        squared differences between probabilities and truth, summed over classes.

        Args:
            names: Name of each class.
            left_out: Indices of classes that take no part in the mean over classes.

        Returns:
            `pixels`, `expected_calibration_error`, `maximum_calibration_error`,
            `classwise_calibration_error` (mean over classes), `brier`, `negative_log_likelihood`,
            `mean_confidence`, `accuracy`, `reliability` (one dict a bin: `from`, `to`, `pixels`,
            `confidence`, `accuracy`), `classes` (one dict a class: `name`,
            `calibration_error`, `brier`, `reliability`); NaN where undefined.
        """
        pixels, confidence, right = self.top.sum(axis=1)
        errors = np.array([_expected_gap(self.each[:, index]) for index in range(len(names))])
        errors[list(left_out)] = np.nan
        gaps = _gaps(self.top)
        briers = divide(self.squares, pixels)
        return {
            "pixels": int(pixels),
            "expected_calibration_error": _expected_gap(self.top),
            "maximum_calibration_error": float(np.nanmax(gaps)) if pixels else float("nan"),
            "classwise_calibration_error": mean_of(errors),
            "brier": float(briers.sum()),
            "negative_log_likelihood": float(divide(self.log_loss, pixels)),
            "mean_confidence": float(divide(confidence, pixels)),
            "accuracy": float(divide(right, pixels)),
            "reliability": _curve(self.top),
            "classes": [
                {
                    "name": name,
                    "calibration_error": float(errors[index]),
                    "brier": float(briers[index]),
                    "reliability": _curve(self.each[:, index]),
                }
                for index, name in enumerate(names)
            ],
        }


@compiled
def unlike_one(probabilities: Shares, slack: float) -> tuple[int, float, float]:
    """Find pixels whose probabilities are none: they do not sum to one, or some are below 0.

    Args:
        probabilities: (C, n).
        slack: By how much sums and zeros may be missed.

    Returns:
        How many there are, and the least and the greatest of their sums.
    """
    wrong, low, high = 0, np.inf, -np.inf
    for pixel in range(probabilities.shape[1]):
        total, least = 0.0, 0.0
        for index in range(probabilities.shape[0]):
            total += probabilities[index, pixel]
            least = min(least, probabilities[index, pixel])
        if not abs(total - 1) <= slack or least < -slack:
            wrong += 1
            low, high = min(low, total), max(high, total)
    return wrong, low, high


@compiled
def _tally(
    probabilities: Shares,
    reference: npt.NDArray[Any],
    least: float,
    sums: tuple[Floats, Floats, Floats],
) -> float:
    """Add pixels to `top`, `each` and `squares` of `CalibrationCounts`; gives the log loss."""
    top, each, squares = sums
    count, pixels = probabilities.shape
    log_loss = 0.0
    for pixel in range(pixels):
        winner = 0
        for index in range(count):
            share = probabilities[index, pixel]
            if share > probabilities[winner, pixel]:
                winner = index
            truth = 1.0 if reference[pixel] == index else 0.0
            place = min(max(int(share * BINS), 0), BINS - 1)
            each[0, index, place] += 1
            each[1, index, place] += share
            each[2, index, place] += truth
            squares[index] += (share - truth) ** 2
        share = probabilities[winner, pixel]
        place = min(max(int(share * BINS), 0), BINS - 1)
        top[0, place] += 1
        top[1, place] += share
        top[2, place] += 1.0 if reference[pixel] == winner else 0.0
        log_loss -= np.log(max(float(probabilities[reference[pixel], pixel]), least))
    return log_loss


def _gaps(binned: Floats) -> Floats:
    """(bins,) difference between mean probability and share of hits; NaN in empty bins."""
    return np.abs(divide(binned[1], binned[0]) - divide(binned[2], binned[0]))


def _expected_gap(binned: Floats) -> float:
    pixels = binned[0]
    return float(divide(np.abs(binned[1] - binned[2]).sum(), pixels.sum()))


def _curve(binned: Floats) -> list[dict[str, Any]]:
    confidence, accuracy = divide(binned[1], binned[0]), divide(binned[2], binned[0])
    return [
        {
            "from": place / BINS,
            "to": (place + 1) / BINS,
            "pixels": int(binned[0, place]),
            "confidence": float(confidence[place]),
            "accuracy": float(accuracy[place]),
        }
        for place in range(BINS)
    ]
