"""Whether a scene's values lie where those of training did, band by band."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoseg.geo.raster import Scene
from geoseg.geo.stats import BandStats
from geoseg.nn.fit import sample_values

logger = logging.getLogger(__name__)

LEAST_INSIDE = 0.5
"""Share of a band's values between training's percentiles below which its user is warned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandShift:
    """How one band of a scene compares with the same band of the training scenes.

    Values are raw units of the training scenes; NaN where either side has no values.
    """

    band: str
    """Its name, or its place among the network's bands, from 1."""

    mean: float
    """Mean of the scene's sample."""

    std: float
    """Standard deviation of the scene's sample."""

    training_mean: float
    """Mean of the training pixels."""

    training_std: float
    """Standard deviation of the training pixels."""

    low: float
    """Second percentile of the training pixels."""

    high: float
    """Their 98th percentile."""

    inside: float
    """Share of the scene's sample from `low` to `high`; 0.96 of the training pixels are."""

    @property
    def is_far(self) -> bool:
        """Whether most of the scene's values lie outside of where training's lay."""
        return self.inside < LEAST_INSIDE


def band_shifts(
    scene: Scene,
    bands: Sequence[int],
    names: Sequence[str],
    stats: BandStats,
    *,
    scale: float | None = None,
) -> tuple[BandShift, ...]:
    """Compare a sample of a scene with the statistics of training.

    Args:
        scene: The scene; a few small windows of it are read.
        bands: Numbers of its bands in the network's order, as `match_bands` tells them.
        names: The network's names of them, empty texts where it has none.
        stats: The training pixels, in raw units.
        scale: What the scene's values will be multiplied by.

    Returns:
        One comparison per band.
    """
    sample = sample_values(scene) * (1.0 if scale is None else scale)
    return tuple(
        _compare(name or f"{place + 1}", sample[scene.bands.index(band)], stats, place)
        for place, (band, name) in enumerate(zip(bands, names, strict=True))
    )


def warn_of_shifts(path: str, shifts: Sequence[BandShift]) -> None:
    """Log each band of a scene whose values lie far outside of training's."""
    for shift in shifts:
        if shift.is_far:
            logger.warning(
                "%s: band %s is unlike training: %.0f %% of its values lie from %.4g to %.4g, "
                "where 96 %% of training's lay; its mean is %.4g, training's %.4g. "
                "The map may be wrong",
                path,
                shift.band,
                100 * shift.inside,
                shift.low,
                shift.high,
                shift.mean,
                shift.training_mean,
            )


def _compare(name: str, values: np.ndarray, stats: BandStats, place: int) -> BandShift:
    values = values[np.isfinite(values)]
    low, high = stats.p2[place], stats.p98[place]
    known = len(values) > 0 and math.isfinite(low) and math.isfinite(high)
    return BandShift(
        band=name,
        mean=float(values.mean()) if len(values) else math.nan,
        std=float(values.std()) if len(values) else math.nan,
        training_mean=stats.mean[place],
        training_std=stats.std[place],
        low=low,
        high=high,
        inside=float(np.mean((values >= low) & (values <= high))) if known else math.nan,
    )
