"""Scores of networks that saw a scene on another grid than its own, brought back to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.engine.pipeline import Group, ScoreRows, visible
from geoseg.engine.resample import RowResampler
from geoseg.engine.strips import Hide
from geoseg.engine.votes import count_votes
from geoseg.geo.raster import Scene

_ROWS_AT_ONCE = 256
"""About how many rows of the scene are resampled in one go."""


def predict_resized(
    scene: Scene, groups: Sequence[Group], *, hide: Hide = visible
) -> Iterator[ScoreRows]:
    """Predict a whole scene scaled to one square window, and scale the scores back.

    Args:
        scene: What to predict.
        groups: The networks. Those of one group are averaged; several groups have one vote each.
            Each sees the scene at the size of its window.
        hide: What of each strip is to be predicted.

    Yields:
        Finished rows of the scene's grid from top to bottom.
    """
    size = max(member.layout.window for group in groups for member in group)
    averages = [_mean_scores(scene, group, size) for group in groups]
    scores = averages[0] if len(averages) == 1 else count_votes(averages)
    step = max(_ROWS_AT_ONCE * size // scene.grid.height, 1)
    resampler = RowResampler((size, size), scene.grid.shape)
    wanted = scores[:, :, slice(*resampler.source_cols)]
    rows = ((first, wanted[:, first : first + step]) for first in range(0, size, step))
    yield from resample_rows(rows, resampler, scene, hide)


def _mean_scores(scene: Scene, group: Group, size: int) -> Tensor:
    """Average scores (classes, size, size) of the whole scene."""
    scores = []
    for member in group:
        side = member.layout.window
        whole = scene.read(shape=(side, side))
        bands = slice(None) if member.channels is None else list(member.channels)
        pixels = torch.from_numpy(whole.data[bands])[None]
        valid = None if whole.valid.all() else torch.from_numpy(whole.valid)[None]
        own = member.backend.scores(pixels, valid).clone()
        if side != size:
            own = torch.nn.functional.interpolate(own, (size, size), mode="bilinear")
        scores.append(own[0])
    return torch.stack(scores).mean(0)


def resample_rows(
    rows: Iterator[tuple[int, Tensor]],
    resampler: RowResampler,
    scene: Scene,
    hide: Hide,
    cols: tuple[int, int] | None = None,
) -> Iterator[ScoreRows]:
    """Bring rows of scores from a grid over the same ground to the scene's own grid.

    Args:
        rows: First row and scores (classes, rows, columns), from top to bottom.
        resampler: From their grid to that of the scene.
        scene: What is valid there.
        hide: What of each strip is to be predicted.
        cols: First and behind the last column wanted; all where None.

    Yields:
        Finished rows of the scene's grid.
    """
    left, right = cols or (0, scene.grid.width)
    for first, scores in rows:
        for target_first, resampled in resampler.feed(first, scores):
            window = Window(left, target_first, right - left, resampled.shape[1])
            yield target_first, resampled, hide(scene.read(window))
