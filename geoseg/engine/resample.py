"""Scores from the grid they were predicted on to the scene's own grid, row by row."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class RowResampler:
    """Interpolates rows bilinearly between two grids that cover the same ground.

    Pixel centres are matched as in `torch.nn.functional.interpolate(align_corners=False)`, but
    rows come and go as they are finished, and the memory is that of a few of them.

    Args:
        source: Height and width of the grid of the scores.
        target: Height and width of the grid wanted.
    """

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        self._source_height = source[0]
        self._rows = _neighbours(source[0], target[0])
        self._cols = _neighbours(source[1], target[1])
        self._kept: Tensor | None = None
        self._kept_first = 0
        self._done = 0

    def feed(self, first: int, scores: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Take the next rows and give those that can be made of all rows so far.

        Args:
            first: Place of the first row; the one after the last row fed before.
            scores: (classes, rows, source width).

        Yields:
            First row and scores (classes, rows, target width) on the target grid.
        """
        if self._kept is not None:
            scores, first = torch.cat([self._kept, scores], 1), self._kept_first
        end = first + scores.shape[1]
        low, high, share = self._rows
        ready = int((high < end).sum())  # ascending: the first `ready` rows have both neighbours
        if ready > self._done:
            rows = slice(self._done, ready)
            weight = share[rows, None].to(scores)
            upper, lower = scores[:, low[rows] - first], scores[:, high[rows] - first]
            yield self._done, self._across(torch.lerp(upper, lower, weight))
            self._done = ready
        next_row = min(int(low[ready]), end) if ready < len(low) else end
        self._kept, self._kept_first = scores[:, next_row - first :].clone(), next_row

    def _across(self, scores: Tensor) -> Tensor:
        low, high, share = self._cols
        return torch.lerp(scores[:, :, low], scores[:, :, high], share.to(scores))


def _neighbours(source: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each target pixel the two source pixels around its centre, and the second's share."""
    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    centres = centres.clamp(0, source - 1)
    low = centres.floor().to(torch.long)
    high = (low + 1).clamp(max=source - 1)
    return low, high, (centres - low).to(torch.float32)
