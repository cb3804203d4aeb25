"""The rolling strip of weighted sums into which windows are averaged."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from geoseg.engine.layout import Layout


class Mosaic:
    """Averages windows in the memory of one window height, whatever the height of the scene.

    Rows live in a ring: row `r` of the scene is row `r % window` of the accumulator. Windows come
    in row-major order; once no later window touches a row it is taken out by `flush`.

    Args:
        layout: Where the windows lie and how their pixels count.
        classes: Channels of the scores.
        device: Where the sums are kept.
    """

    def __init__(self, layout: Layout, classes: int, device: torch.device) -> None:
        self._layout = layout
        self._sums = torch.zeros(classes, layout.window, layout.cols.padded, device=device)
        self._is_plain = bool((layout.rows.weights == 1).all() and (layout.cols.weights == 1).all())
        self._weights: dict[tuple[int, int], Tensor] = {}
        self._row_totals = torch.from_numpy(layout.rows.totals).to(device)
        self._col_totals = torch.from_numpy(layout.cols.totals).to(device)
        self._flushed = 0

    def add(self, row_index: int, col_index: int, scores: Tensor) -> None:
        """Add one window's scores.

        Args:
            row_index: Place of the window among the layout's row offsets.
            col_index: Place of the window among the layout's column offsets.
            scores: (classes, window, window), float.
        """
        size = self._layout.window
        row = self._layout.rows.offsets[row_index]
        col = self._layout.cols.offsets[col_index]
        weights = None if self._is_plain else self._window_weights(row_index, col_index)
        split = size - row % size  # rows of the window before the ring's end
        for part in (slice(0, split), slice(split, size)):
            count = part.stop - part.start
            if count:
                start = (row + part.start) % size
                target = self._sums[:, start : start + count, col : col + size]
                if weights is None:
                    target.add_(scores[:, part])
                else:
                    target.addcmul_(scores[:, part], weights[part])

    def _window_weights(self, row_index: int, col_index: int) -> Tensor:
        """Weights (window, window): all windows but those at the scene's border share theirs."""
        rows, cols = self._layout.rows, self._layout.cols
        row_index, col_index = rows.representative(row_index), cols.representative(col_index)
        key = row_index, col_index
        if key not in self._weights:
            outer = torch.from_numpy(rows.weights[row_index][:, None] * cols.weights[col_index])
            self._weights[key] = outer.to(self._sums.device)
        return self._weights[key]

    def flush(self, until: int) -> Iterator[tuple[int, Tensor]]:
        """Take out the rows before `until`, which no later window may touch.

        Args:
            until: First row that stays; rows beyond the scene are dropped.

        Yields:
            First row and averaged scores (classes, rows, width).
        """
        size, width = self._layout.window, self._layout.cols.length
        last = min(until, self._layout.rows.padded)
        while self._flushed < last:
            start = self._flushed % size
            count = min(last - self._flushed, size - start)
            sums = self._sums[:, start : start + count]
            kept = min(count, self._layout.rows.length - self._flushed)
            if kept > 0:
                rows = self._row_totals[self._flushed : self._flushed + kept, None]
                yield self._flushed, sums[:, :kept, :width] / (rows * self._col_totals[:width])
            sums.zero_()
            self._flushed += count
