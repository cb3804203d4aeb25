"""Whether probabilities mean what they say: counted in parts, scored in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

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
        count, pixels = probabilities.shape
        if not pixels:
            return cls.empty(count)
        winners = probabilities.argmax(axis=0)
        winning = np.take_along_axis(probabilities, winners[None], axis=0)[0]
        of_truth = np.take_along_axis(probabilities, reference[None].astype(np.intp), axis=0)[0]
        truth = [reference == index for index in range(count)]
        each = [_binned(p, t) for p, t in zip(probabilities, truth, strict=True)]
        squares = [
            float(np.square(p - t, dtype=np.float64).sum())
            for p, t in zip(probabilities, truth, strict=True)
        ]
        return cls(
            top=_binned(winning, winners == reference),
            each=np.stack(each, axis=1),
            squares=np.array(squares),
            log_loss=-float(np.log(np.maximum(of_truth, least), dtype=np.float64).sum()),
        )

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


def _binned(probabilities: Shares, hits: npt.NDArray[np.bool_]) -> Floats:
    """(3, bins) pixels, their sum of probabilities, and hits."""
    bins = np.clip((probabilities * np.float32(BINS)).astype(np.intp), 0, BINS - 1)
    return np.stack(
        [
            np.bincount(bins, minlength=BINS).astype(np.float64),
            np.bincount(bins, probabilities, BINS).astype(np.float64),
            np.bincount(bins, hits, BINS).astype(np.float64),
        ]
    )


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
