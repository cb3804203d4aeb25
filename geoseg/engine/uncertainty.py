"""How sure a map is: entropy, margin, and how far single looks at a pixel disagree.

All come from the sums that the map itself is made of. For disagreement these carry one more
channel: the entropy of each look (a window, a mirror image, a scale, a model) by itself. The
entropy of the averaged scores less the average of those entropies is what the looks know of
another class than each other: the mutual information of class and look, or generalised
Jensen-Shannon divergence (Lin 1991, doi:10.1109/18.61115; for networks Smith and Gal 2018,
https://arxiv.org/abs/1803.08533).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from geoseg.engine.backends import Backend
from geoseg.geo.grid import Grid
from geoseg.geo.raster_profile import RasterProfile

Measure = Literal["entropy", "margin", "disagreement"]
"""`entropy` of the probabilities, from 0 (sure) to 1 (all classes alike); `margin` between the
two highest, from 0 (undecided) to 1 (sure); `disagreement` of single looks, from 0 (all alike)
to 1 (each sure of another class)."""

MEASURES: tuple[Measure, ...] = get_args(Measure)
"""All of them."""

UNCERTAINTY_SCALE = 0.005
"""Of a measure, in one step of an uncertainty raster."""


def entropy(scores: Tensor, *, exclusive: bool = True) -> Tensor:
    """The entropy of probabilities, in units of the highest that there can be.

    Args:
        scores: (..., classes, rows, width) from 0 to 1.
        exclusive: Whether they add up to 1 over the classes (softmax); else each class is a
            question of its own (sigmoid), and their entropies are averaged.

    Returns:
        (..., rows, width) from 0 to 1.
    """
    scores = scores.float().clamp(0, 1)
    if exclusive:
        total: Tensor = torch.special.entr(scores).sum(-3)
        return total / math.log(max(scores.shape[-3], 2))
    both: Tensor = torch.special.entr(scores) + torch.special.entr(1 - scores)
    return both.mean(-3) / math.log(2)


def margin(scores: Tensor) -> Tensor:
    """How far the highest score (classes, rows, width) is above the second; (rows, width)."""
    if len(scores) == 1:
        return scores[0].float().mul(2).sub(1).abs()  # of a class and its absence
    highest: Tensor = scores.float().topk(2, dim=0).values
    return (highest[0] - highest[1]).clamp(0, 1)


class EntropyBackend:
    """Adds the entropy of each window's own scores as one more channel.

    Args:
        backend: Runs the network.
        exclusive: Whether its scores add up to 1.
    """

    def __init__(self, backend: Backend, *, exclusive: bool) -> None:
        self._backend, self._exclusive = backend, exclusive
        self.classes, self.device = backend.classes + 1, backend.device

    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        scores = self._backend.scores(pixels, valid)
        doubt = entropy(scores, exclusive=self._exclusive)
        return torch.cat([scores, doubt[:, None].to(scores.dtype)], dim=1)


class UncertaintyProduct:
    """Measures of how sure a map is, a band each.

    Args:
        measures: Which.
        classes: Channels of scores; one behind them is the mean entropy of single looks. Where
            there is none, the looks were votes, and their shares alone tell the disagreement.
        exclusive: Whether the scores add up to 1 over the classes.
    """

    dtype = "uint8"
    nodata = 255.0

    def __init__(self, measures: Sequence[Measure], classes: int, *, exclusive: bool) -> None:
        self._measures, self._classes, self._exclusive = measures, classes, exclusive

    def profile(
        self, grid: Grid, tags: Mapping[str, str], options: Mapping[str, str]
    ) -> RasterProfile:
        """A band for each measure, described by its name."""
        return RasterProfile(
            grid=grid,
            count=len(self._measures),
            dtype=self.dtype,
            nodata=self.nodata,
            band_names=tuple(self._measures),
            tags=tags,
            scale=UNCERTAINTY_SCALE,
            overview_resampling="average",
            options=options,
        )

    def encode(self, scores: Tensor) -> Tensor:
        """Measures (measures, rows, width) in steps of `UNCERTAINTY_SCALE`."""
        found = torch.stack([self._measure(name, scores) for name in self._measures])
        most = round(1 / UNCERTAINTY_SCALE)
        return (found / UNCERTAINTY_SCALE).round_().clamp_(0, most).to(torch.uint8)

    def _measure(self, name: Measure, scores: Tensor) -> Tensor:
        classes = scores[: self._classes]
        if name == "margin":
            return margin(classes)
        total = entropy(classes, exclusive=self._exclusive)
        if name == "entropy" or len(scores) == self._classes:
            return total
        return (total - scores[self._classes]).clamp(min=0)
