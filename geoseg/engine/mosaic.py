"""The rolling strip of weighted sums into which windows are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geoseg.engine.backends import Backend
from geoseg.engine.layout import Axis, Layout


class Mosaic:
    """Averages windows in the memory of one window height, whatever the height of the scene.

    Rows live in a ring: row `r` of the scene is row `r % height` of the sums. Windows come from
    top to bottom; once no later window touches a row it is taken out by `take`.

    Windows of one layout are added up by their weights, and the sums divided when rows are taken.
    Those of several layouts, which have their totals at other pixels, are added by their shares.

    Args:
        layouts: Where the windows lie and how their pixels count; all over the same core.
        counts: How many networks give windows in each layout.
        backend: Tells the channels of the scores, and where the sums are kept.
        row: First row that is taken, that of the first window or above.
    """

    def __init__(
        self, layouts: Sequence[Layout], counts: Sequence[int], backend: Backend, row: int
    ) -> None:
        device = backend.device
        self._layouts = layouts
        self._networks = sum(counts)
        self._height = max(layout.window for layout in layouts)
        self._left = min(layout.cols.begin for layout in layouts)
        width = max(layout.cols.end for layout in layouts) - self._left
        self._sums = torch.zeros(backend.classes, self._height, width, device=device)
        self._has_shares = len(layouts) > 1
        self._is_plain = layouts[0].is_plain and not self._has_shares
        self._weights: dict[tuple[int, int], Tensor] = {}
        self._shares: dict[bytes, Tensor] = {}
        totals = layouts[0].rows.totals, layouts[0].cols.totals
        self._row_totals, self._col_totals = (torch.from_numpy(t).to(device) for t in totals)
        self.row = row
        """First row that was not taken."""
        self._end = row  # behind the last row with scores

    def add(self, layout: int, row_index: int, col_index: int, scores: Tensor) -> None:
        """Add one window's scores.

        Args:
            layout: Which layout.
            row_index: Place of the window among the layout's row offsets.
            col_index: Place of the window among the layout's column offsets.
            scores: (classes, window, window), float.
        """
        size = self._layouts[layout].window
        row = self._layouts[layout].rows.offsets[row_index]
        col = self._layouts[layout].cols.offsets[col_index] - self._left
        self._end = max(self._end, row + size)
        weights = None if self._is_plain else self._window_weights(layout, row_index, col_index)
        before = min(size, self._height - row % self._height)  # rows before the ring's end
        for part in (slice(0, before), slice(before, size)):
            count = part.stop - part.start
            if count:
                start = (row + part.start) % self._height
                target = self._sums[:, start : start + count, col : col + size]
                if weights is None:
                    target.add_(scores[:, part])
                else:
                    target.addcmul_(scores[:, part], weights[part])

    def take(self, until: int) -> Tensor | None:
        """Take out the rows before `until`, which no later window may touch.

        Args:
            until: First row that stays.

        Returns:
            Averaged scores (classes, rows, width) of the layouts' core: its columns, and those of
            the rows that lie in it; None where there are none.
        """
        rows, cols = self._layouts[0].rows, self._layouts[0].cols
        first, last = max(self.row, rows.core[0]), min(until, rows.core[1])
        left, width = cols.core[0] - self._left, cols.core[1] - cols.core[0]
        taken = None
        if self.row >= self._end:  # a gap, where the sums are zero
            self.row, count = max(self.row, until), last - first
            zeros = self._sums.new_zeros(len(self._sums), 1, 1)
            return zeros.expand(-1, count, width) if count > 0 else None
        if last > first:
            taken = self._sums.new_empty((len(self._sums), last - first, width))
        while self.row < until:
            start = self.row % self._height
            count = min(until - self.row, self._height - start)
            sums = self._sums[:, start : start + count]
            part = slice(max(self.row, first), min(self.row + count, last))
            if taken is not None and part.stop > part.start:
                here = sums[:, part.start - self.row : part.stop - self.row, left : left + width]
                self._average(here, part, taken[:, part.start - first : part.stop - first])
            sums.zero_()
            self.row += count
        return taken

    def _average(self, sums: Tensor, rows: slice, out: Tensor) -> None:
        if self._has_shares:
            torch.div(sums, self._networks, out=out)
            return
        core = self._layouts[0].cols.core
        totals = self._row_totals[rows, None] * self._networks * self._col_totals[slice(*core)]
        torch.div(sums, totals, out=out)

    def _window_weights(self, layout: int, row_index: int, col_index: int) -> Tensor:
        """Weights (window, window); those of one layout are few, and kept."""
        rows, cols = self._layouts[layout].rows, self._layouts[layout].cols
        if self._has_shares:
            return self._share(rows, row_index)[:, None] * self._share(cols, col_index)
        key = rows.kinds[row_index], cols.kinds[col_index]
        if key not in self._weights:
            outer = rows.weight(row_index)[:, None] * cols.weight(col_index)
            self._weights[key] = torch.from_numpy(outer).to(self._sums.device)
        return self._weights[key]

    def _share(self, axis: Axis, index: int) -> Tensor:
        """What part (window,) of each row or column a window gives, on the device."""
        share = axis.share(index)
        key = share.tobytes()
        if key not in self._shares:
            self._shares[key] = torch.from_numpy(share).to(self._sums.device)
        return self._shares[key]
