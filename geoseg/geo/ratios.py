"""Quotients and means where something may be missing: NaN, and never 0, where undefined."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Divide, with NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    quotient: Floats = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def mean_of(values: Iterable[float] | Floats) -> float:
    """The mean of the values that are defined; NaN where none is."""
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values), float)
    defined = array[~np.isnan(array)]
    return float(defined.mean()) if defined.size else float("nan")
