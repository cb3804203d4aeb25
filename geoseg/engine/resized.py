"""Scores of networks that saw a scene on another grid than its own, brought back to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.engine.batches import no_room
from geoseg.engine.options import PredictOptions
from geoseg.engine.pipeline import Group, Member, ScoreRows, visible
from geoseg.engine.resample import RowResampler, Span
from geoseg.engine.strips import Hide
from geoseg.engine.timings import Timings
from geoseg.engine.votes import count_votes
from geoseg.errors import WorkError
from geoseg.geo.raster import Scene
from geoseg.nn.card import ModelCard


def is_seen_whole(options: PredictOptions, cards: Sequence[ModelCard]) -> bool:
    """Whether a scene is scaled to one window where no mode is asked for.

    So it is where all models have learnt whole images, and no option tells of sliding windows.

    Args:
        options: How scenes are predicted.
        cards: Of the models.
    """
    sliding = (options.window, options.stride, options.overlap, options.max_memory)
    slides = any(each is not None for each in sliding) or options.model_resolution
    return all(card.mode == "resize" for card in cards) and not slides and options.scales == (1.0,)


def predict_resized(
    scene: Scene,
    groups: Sequence[Group],
    *,
    rows: Span | None = None,
    hide: Hide = visible,
    timings: Timings | None = None,
) -> Iterator[ScoreRows]:
    """Predict a whole scene scaled to one square window, and scale the scores back.

    Args:
        scene: What to predict.
        groups: The networks. Those of one group are averaged; several groups have one vote each.
            Each sees the scene at the size of its window.
        rows: Rows of the scene that are wanted; all where None.
        hide: What of the scene is to be predicted.
        timings: Told how long each stage takes.

    Yields:
        Finished rows of the scene's grid from top to bottom.

    Raises:
        SceneError: If the scene cannot be read.
        WorkError: If a network gives what is no number, or finds no memory for one window.
    """
    timings = timings or Timings()
    size = max(member.layout.window for group in groups for member in group)
    averages = [_mean_scores(scene, group, size, hide, timings) for group in groups]
    scores = averages[0] if len(averages) == 1 else count_votes(averages)
    valid = _seen(scene, size, hide)[1]
    resampler = RowResampler((size, size), scene.grid.shape, rows)
    top, left = resampler.source_rows[0], resampler.source_cols[0]
    part = np.s_[top : resampler.source_rows[1], left : resampler.source_cols[1]]
    source = [(top, scores[:, *part], valid[part])]
    yield from resample_rows(iter(source), resampler, scene, hide, timings)


def _mean_scores(scene: Scene, group: Group, size: int, hide: Hide, timings: Timings) -> Tensor:
    """Average scores (classes, size, size) of the whole scene."""
    scores = [_scores(scene, member, hide, timings) for member in group]
    same = [
        torch.nn.functional.interpolate(each[None], (size, size), mode="bilinear")[0]
        for each in scores
    ]
    mean = torch.stack(same).mean(0)
    if not bool(torch.isfinite(mean).all()):
        cure = "Try --precision fp32, or check the model"
        raise WorkError(scene.path, "the network gave NaN or infinity", cure)
    return mean


def _scores(scene: Scene, member: Member, hide: Hide, timings: Timings) -> Tensor:
    with timings.measure("wait for rows"):
        data, valid = _seen(scene, member.layout.window, hide)
    bands = slice(None) if member.channels is None else list(member.channels)
    pixels = torch.from_numpy(np.ascontiguousarray(data[bands]))[None]
    mask = None if valid.all() else torch.from_numpy(valid)[None]
    try:
        with timings.measure("forward"):
            return member.backend.scores(pixels, mask)[0].clone()
    except torch.OutOfMemoryError as error:
        raise no_room(scene.path, member.backend.device) from error


def _seen(
    scene: Scene, side: int, hide: Hide
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """The whole scene scaled to a square, and what of it is to be predicted."""
    whole = scene.read(shape=(side, side))
    return whole.data, hide(whole)


def resample_rows(
    rows: Iterator[ScoreRows],
    resampler: RowResampler,
    scene: Scene,
    hide: Hide,
    timings: Timings,
    cols: Span | None = None,
) -> Iterator[ScoreRows]:
    """Bring rows of scores from a grid over the same ground to the scene's own grid.

    Scores where nothing is valid count for nothing; a pixel all of whose neighbours are so is not
    valid itself.

    Args:
        rows: First row, scores (classes, rows, columns) and where they are valid, from top to
            bottom.
        resampler: From their grid to that of the scene.
        scene: What is valid there.
        hide: What of the scene is to be predicted.
        timings: Told how long the scene is read once more.
        cols: First and behind the last column wanted; all where None.

    Yields:
        Finished rows of the scene's grid.
    """
    left, right = cols or (0, scene.grid.width)
    for first, scores, seen in rows:
        weight = torch.from_numpy(np.ascontiguousarray(seen)).to(scores)[None]
        weighted = torch.cat([torch.where(weight > 0, scores, 0), weight])
        for target_first, resampled in resampler.feed(first, weighted):
            window = Window(left, target_first, right - left, resampled.shape[1])
            with timings.measure("wait for rows"):
                valid = hide(scene.read(window))
            valid = valid & (resampled[-1] > 0).cpu().numpy()
            yield target_first, resampled[:-1] / resampled[-1:].clamp(min=_LEAST), valid


_LEAST = 1e-6
"""Of a weight; below it nothing valid is near."""
