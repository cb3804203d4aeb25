"""Scores brought from one grid to another over the same ground, row by row."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Span = tuple[int, int]
"""First, and behind the last."""


ROWS_AT_ONCE = 256
"""Rows of the target that are made in one go at the most."""


class RowResampler:
    """Interpolates rows bilinearly between two grids that cover the same ground.

    Pixel centres are matched as in `torch.nn.functional.interpolate(align_corners=False)`, but
    rows come and go as they are finished, and the memory is that of a few of them.

    Args:
        source: Height and width of the grid of the scores.
        target: Height and width of the grid wanted.
        rows: Rows of the target that are wanted; all where None.
        cols: Columns of the target that are wanted; all where None.
    """

    def __init__(
        self,
        source: tuple[int, int],
        target: tuple[int, int],
        rows: Span | None = None,
        cols: Span | None = None,
    ) -> None:
        self._rows = _neighbours(source[0], target[0], rows or (0, target[0]))
        self._cols = _neighbours(source[1], target[1], cols or (0, target[1]))
        self.source_rows = _span(self._rows)
        """Rows of the source that are to be fed."""
        self.source_cols = _span(self._cols)
        """Their columns."""
        self._first = 0 if rows is None else rows[0]
        self._kept: Tensor | None = None
        self._kept_first = 0
        self._done = 0

    def feed(self, first: int, scores: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Take the next rows and give those that can be made of all rows so far.

        Args:
            first: Place of the first row; the one after the last row fed before.
            scores: (classes, rows, columns), the columns being `source_cols`.

        Yields:
            First row and scores (classes, rows, columns) on the target grid.
        """
        if self._kept is not None:
            scores, first = torch.cat([self._kept, scores], 1), self._kept_first
        end = first + scores.shape[1]
        low, high, share = self._rows
        ready = int((high < end).sum())  # ascending: the first `ready` rows have both neighbours
        while self._done < ready:
            rows = slice(self._done, min(self._done + ROWS_AT_ONCE, ready))
            weight = share[rows, None].to(scores)
            upper, lower = scores[:, low[rows] - first], scores[:, high[rows] - first]
            yield self._first + rows.start, self._across(torch.lerp(upper, lower, weight))
            self._done = rows.stop
        next_row = min(int(low[ready]), end) if ready < len(low) else end
        self._kept, self._kept_first = scores[:, next_row - first :].clone(), next_row

    def _across(self, scores: Tensor) -> Tensor:
        low, high, share = self._cols
        left = self.source_cols[0]
        return torch.lerp(scores[:, :, low - left], scores[:, :, high - left], share.to(scores))


def _neighbours(source: int, target: int, wanted: Span) -> tuple[Tensor, Tensor, Tensor]:
    """For each target pixel the two source pixels around its centre, and the second's share."""
    centres = (torch.arange(*wanted, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    centres = centres.clamp(0, source - 1)
    low = centres.floor().to(torch.long)
    high = (low + 1).clamp(max=source - 1)
    return low, high, (centres - low).to(torch.float32)


def _span(neighbours: tuple[Tensor, Tensor, Tensor]) -> Span:
    low, high, _ = neighbours
    return int(low[0]), int(high[-1]) + 1


def source_row(row: int, source: int, target: int) -> int:
    """The first row of the source that a row of the target is made of."""
    return int(_neighbours(source, target, (row, row + 1))[0][0])
