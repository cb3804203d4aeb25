"""How probable the chosen class of each pixel is, and the one behind it: for polygons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoseg.engine.products import PROBABILITY_SCALE
from geoseg.geo.grid import Grid
from geoseg.geo.raster_profile import RasterProfile

NODATA = 255
"""Where there is no confidence."""

_MOST = round(1 / PROBABILITY_SCALE)


class ConfidenceProduct:
    """The score of the class that is chosen, in the steps of a probability raster.

    So averages over polygons are those of a probability raster of bytes, to the last bit.

    Args:
        classes: Channels of scores.
        exclude: Channels that are never chosen.
        margin: Whether the highest score of the other classes is told too, as a second band.
    """

    dtype = "uint8"
    nodata = float(NODATA)

    def __init__(self, classes: int, exclude: Sequence[int] = (), *, margin: bool = False) -> None:
        self._chosen = [channel for channel in range(classes) if channel not in set(exclude)]
        self._excluded = sorted(set(exclude))
        self._bands = 2 if margin else 1

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """A raster that is never published: it has neither tags nor options."""
        del tags, options
        return RasterProfile(
            grid=grid,
            count=self._bands,
            dtype=self.dtype,
            nodata=self.nodata,
            band_names=("own", "second")[: self._bands],
            tags={},
            scale=PROBABILITY_SCALE,
            overview_resampling="average",
            options={},
        )

    def encode(self, scores: Tensor) -> Tensor:
        """Confidences (bands, rows, width) of scores (classes, rows, width)."""
        own = scores[self._chosen[0]]
        others: list[Tensor] = []
        for channel in self._chosen[1:]:
            others.append(torch.minimum(own, scores[channel]))
            own = torch.maximum(own, scores[channel])
            others = [torch.stack(others).amax(0)] if self._bands > 1 else []
        bands = [_steps(own)]
        if self._bands > 1:
            others.extend(scores[channel] for channel in self._excluded)
            second = _steps(torch.stack(others).amax(0)) if others else None
            bands.append(torch.full_like(bands[0], NODATA) if second is None else second)
        return torch.stack(bands)


def averaged(steps: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What is averaged over polygons.

    Args:
        steps: Confidences (1 or 2, rows, width) as `ConfidenceProduct` encodes them.

    Returns:
        Probabilities of the own class, and how far they are above the second (1 or 2, rows,
        width); NaN where there is none.
    """
    scaled = steps * np.float32(PROBABILITY_SCALE)
    if len(steps) > 1:
        scaled[1] = scaled[0] - scaled[1]
    scaled[steps == NODATA] = np.nan
    return scaled


def _steps(scores: Tensor) -> Tensor:
    return (scores / PROBABILITY_SCALE).round_().clamp_(0, _MOST).to(torch.uint8)
