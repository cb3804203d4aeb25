"""How a scene is cut into chunks for the workers of a cluster, by a model of what a cut costs.

This is arithmetic alone. A cut runs through windows: those that touch both sides are predicted
twice, `window / stride - 1` rows (or columns) of them where the cut lies at a multiple of the
stride. So chunks are large. But the last chunk that ends is waited for, a lost worker loses what it
was at, and a result lies in memory as a whole. So chunks are small as well: of all ways to cut a
scene the one is taken whose work, shared by the workers, and end take the least time together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geoseg.engine.panels import bands

CHUNK_BYTES = 32 << 20
"""The most bytes of a chunk's result, over all rasters, before compression; a row of blocks of the
narrowest panel may have more."""

TAIL = 0.05
"""Share of a chunk's time for which some workers wait at the end, as chunks and workers are not
alike. (Two workers of one machine ended within half a percent of each other.)"""

CHUNK_WINDOWS = 0.5
"""What a chunk costs beside its windows, in windows: a task, opening the file, the first strip."""

_FEW_ROUNDS = 4
"""Up to so many chunks for each worker only whole rounds count."""

_ALIGNED = 2
"""Edges lie at multiples of the stride too where chunks are at least so many steps of both long."""

Span = tuple[int, int]
"""First, and behind the last."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What the cost of a cut depends on."""

    window: int
    """Side of a window, pixels of the outputs."""

    stride: int
    """Pixels from one window to the next."""

    bytes_per_pixel: int
    """Of all rasters together."""

    block: int
    """Side of the outputs' blocks, at which chunks begin."""

    workers: int
    """That work at the same time."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """A way to cut a scene."""

    rows: tuple[Span, ...]
    """From the top down."""

    cols: tuple[Span, ...]
    """From left to right."""

    windows: int
    """That are predicted, those that touch several chunks once for each."""

    overhead: float
    """Windows beyond those of the uncut scene, as a share of these."""

    @property
    def count(self) -> int:
        """Number of chunks."""
        return len(self.rows) * len(self.cols)


def chunk_rows(shape: tuple[int, int], cutting: Cutting, cols: int | None = None) -> int:
    """Rows of the chunks of a scene (of the highest of them).

    Args:
        shape: Height and width of the scene, pixels.
        cutting: What a cut costs.
        cols: Chunks side by side; None for as many as are best.

    Returns:
        Pixels.
    """
    return max(bottom - top for top, bottom in cut_chunks(shape, cutting, cols).rows)


def cut_chunks(shape: tuple[int, int], cutting: Cutting, cols: int | None = None) -> Chunks:
    """Cut a scene into the chunks that are predicted soonest.

    Args:
        shape: Height and width of the scene, pixels.
        cutting: What a cut costs.
        cols: Chunks side by side; None for as many as are best, one where that is no worse.

    Returns:
        The chunks; their edges lie at multiples of the blocks' side, and of the stride where there
        is a choice.
    """
    height, width = shape
    whole = sum(_touching([(0, height)], height, cutting))
    whole *= sum(_touching([(0, width)], width, cutting))
    best, least = None, math.inf
    for across in _counts(width, cutting) if cols is None else [cols]:
        col_spans = _cut(width, across, cutting)
        col_windows = _touching(col_spans, width, cutting)
        for down in _counts(height, cutting):
            row_spans = _cut(height, down, cutting)
            size = _longest(row_spans) * _longest(col_spans) * cutting.bytes_per_pixel
            if size > CHUNK_BYTES and _longest(row_spans) > cutting.block:
                continue
            row_windows = _touching(row_spans, height, cutting)
            windows = sum(row_windows) * sum(col_windows)
            largest = max(row_windows) * max(col_windows)
            seconds = _seconds(windows, largest, len(row_spans) * len(col_spans), cutting.workers)
            # A row of blocks with too much in it is cut across, whatever else that costs.
            seconds *= max(size / CHUNK_BYTES, 1.0)
            if seconds < least:
                overhead = windows / whole - 1
                least = seconds
                best = Chunks(tuple(row_spans), tuple(col_spans), windows, overhead)
    assert best is not None
    return best


def _seconds(windows: int, largest: int, chunks: int, workers: int) -> float:
    """What some chunks take, in windows: the work that is shared, and the wait at the end."""
    each = largest + CHUNK_WINDOWS
    if chunks <= _FEW_ROUNDS * workers:  # five chunks take two workers as long as six
        return each * (-(-chunks // workers) + TAIL)
    return (windows + chunks * CHUNK_WINDOWS) / workers + each * TAIL


def _counts(length: int, cutting: Cutting) -> list[int]:
    """Numbers of parts that are worth a try: all small ones, then each a quarter more."""
    blocks = -(-length // cutting.block)
    found, count = [1], 1
    while count < blocks:
        count = min(max(count + 1, count * 5 // 4), blocks)
        found.append(count)
    return found


def _cut(length: int, count: int, cutting: Cutting) -> list[Span]:
    """Cut an axis at multiples of the blocks' side, and of the stride where parts are long."""
    both = math.lcm(cutting.block, cutting.stride)
    return bands(length, count, both if both * _ALIGNED * count <= length else cutting.block)


def _longest(spans: Sequence[Span]) -> int:
    return max(stop - start for start, stop in spans)


def _touching(spans: Sequence[Span], length: int, cutting: Cutting) -> list[int]:
    """Windows along an axis that touch each span; see `geoseg.geo.windows.offsets`."""
    window, stride = cutting.window, cutting.stride
    regular, rest = divmod(max(length - window, 0), stride)
    found = []
    for start, stop in spans:
        first = max((start - window) // stride + 1, 0)
        last = min((stop - 1) // stride, regular)
        is_touched = rest > 0 and length - window < stop
        found.append(last - first + 1 + is_touched)
    return found
