"""Areas and accuracies with their errors, from a sample that is stratified by the map's classes.

The estimators and their variances are those that Olofsson et al. (2014, Remote Sensing of
Environment 148, 42-57, doi:10.1016/j.rse.2014.02.015) recommend; the equations named below are
theirs. Counting the pixels of a map tells its areas without saying how wrong they are, and is
biased wherever one class is taken for another more often than the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.ratios import divide

Floats = npt.NDArray[np.float64]

Z = 1.96
"""Standard errors on both sides of an estimate that make an interval of 95 % confidence."""


@dataclass(frozen=True, kw_only=True)
class AreaSample:
    """What was interpreted at the places of a stratified random sample."""

    counts: npt.NDArray[np.int64]
    """(C, C) places; rows are the map's classes, which are the strata, columns the reference."""

    areas: Floats
    """(C,) area of each class on the map, in any unit."""

    @cached_property
    def estimate(self) -> Estimate:
        """Areas and accuracies.

        Raises:
            ValueError: If a class that the map has was sampled at fewer than two places.
        """
        places = self.counts.sum(axis=1)
        if ((places < 2) & (self.areas > 0)).any():
            raise ValueError("a class of the map has fewer than 2 places")
        present = self.areas > 0
        weights = self.areas / self.areas.sum()
        shares = np.zeros(self.counts.shape)
        shares[present] = self.counts[present] / places[present, None]
        spread = np.zeros(self.counts.shape)
        # Of the mean of a stratum's places, each of which is of a class or not.
        spread[present] = shares[present] * (1 - shares[present]) / (places[present, None] - 1)
        return Estimate(
            total=float(self.areas.sum()), weights=weights, shares=shares, spread=spread
        )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimates and their standard errors; NaN where a class occurs on neither side."""

    total: float
    """Area of the whole map."""

    weights: Floats
    """(C,) share of each class of the map in its area: W_i."""

    shares: Floats
    """(C, C) share of a stratum's places that are of each reference class: n_ij / n_i."""

    spread: Floats
    """(C, C) variance of these shares."""

    @property
    def proportions(self) -> Floats:
        """(C, C) estimated shares of the area, rows are the map: equation 4."""
        proportions: Floats = self.weights[:, None] * self.shares
        return proportions

    @property
    def areas(self) -> Floats:
        """(C,) area of each reference class: equations 9 and 11, without an error's bias."""
        areas: Floats = self.total * self.proportions.sum(axis=0)
        return areas

    @property
    def area_errors(self) -> Floats:
        """(C,) standard errors of the areas: equation 10."""
        errors: Floats = self.total * np.sqrt(self.weights**2 @ self.spread)
        return errors

    @property
    def overall(self) -> tuple[float, float]:
        """Overall accuracy and its standard error: equations 1 and 5."""
        accuracy = float(np.trace(self.proportions))
        return accuracy, float(np.sqrt(self.weights**2 @ np.diag(self.spread)))

    @property
    def users(self) -> tuple[Floats, Floats]:
        """(C,) user's accuracies and standard errors: equations 2 and 6."""
        accuracy = divide(np.diag(self.proportions), self.weights)
        errors = np.sqrt(np.diag(self.spread))
        errors[np.isnan(accuracy)] = np.nan
        return accuracy, errors

    @property
    def producers(self) -> tuple[Floats, Floats]:
        """(C,) producer's accuracies and standard errors: equations 3 and 7."""
        found = self.proportions.sum(axis=0)
        accuracy = divide(np.diag(self.proportions), found)
        squares = self.weights[:, None] ** 2 * self.spread  # of stratum i on reference class j
        own = np.diag(squares)
        others = squares.sum(axis=0) - own
        variance = (1 - accuracy) ** 2 * own + accuracy**2 * others
        return accuracy, np.sqrt(divide(variance, found**2))

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """The estimates, each with half the width of its 95 % confidence interval.

        Args:
            names: Name of each class.

        Returns:
            `total_area`, `overall_accuracy`, `proportions` (rows are the map) and `classes`: a
            dict each with `name`, `mapped_share`, `area`, `users_accuracy`,
            `producers_accuracy`. An estimate is a dict of `value`, `standard_error` and
            `margin`.
        """
        users, producers = self.users, self.producers
        return {
            "total_area": self.total,
            "overall_accuracy": _told(*self.overall),
            "proportions": self.proportions.tolist(),
            "classes": [
                {
                    "name": name,
                    "mapped_share": float(self.weights[index]),
                    "area": _told(self.areas[index], self.area_errors[index]),
                    "users_accuracy": _told(users[0][index], users[1][index]),
                    "producers_accuracy": _told(producers[0][index], producers[1][index]),
                }
                for index, name in enumerate(names)
            ],
        }


def _told(value: float, error: float) -> dict[str, float]:
    return {"value": float(value), "standard_error": float(error), "margin": Z * float(error)}
