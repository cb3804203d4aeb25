"""Windows of a grid: integer pixel rectangles, laid out regularly or drawn at random."""

from __future__ import annotations

import numpy as np
from rasterio.windows import Window

from geoseg.errors import ConfigError


def check_window(size: int, stride: int, option: str = "--window") -> None:
    """Refuse a window size or stride that leaves nothing, or gaps, to see.

    Args:
        size: Side of the windows in pixels.
        stride: Pixels from one window to the next.
        option: What the user calls the size.

    Raises:
        ConfigError: If the size is under 1, or the stride is under 1 or above the size.
    """
    if size < 1:
        raise ConfigError(option, f"{size} is below 1 pixel", "Give 1 or more")
    if not 1 <= stride <= size:
        raise ConfigError(
            "--stride", f"{stride} is not within 1 to the window's {size}", "Give a smaller stride"
        )


def offsets(length: int, size: int, stride: int) -> list[int]:
    """Where windows start on one axis: 0, s, 2s, ..., the last pulled back to the edge.

    Args:
        length: Pixels of the axis, 1 or more.
        size: Pixels of a window. An axis shorter than it has one window, at 0.
        stride: Pixels from one window to the next.

    Returns:
        Strictly ascending offsets whose windows cover the axis.

    Raises:
        ConfigError: If `size` or `stride` make no sense.

    Examples:
        >>> offsets(10, 4, 3)
        [0, 3, 6]
        >>> offsets(11, 4, 3)
        [0, 3, 6, 7]
        >>> offsets(2, 4, 3)
        [0]
    """
    check_window(size, stride)
    last = max(length - size, 0)
    regular = list(range(0, last + 1, stride))
    return regular if regular[-1] == last else [*regular, last]


def sliding_windows(shape: tuple[int, int], size: int, stride: int) -> list[Window]:
    """All windows of a regular layout, row by row from the upper left.

    Args:
        shape: Height and width of the grid.
        size: Side of a window in pixels; axes shorter than it give shorter windows.
        stride: Pixels from one window to the next, on both axes.

    Raises:
        ConfigError: If `size` or `stride` make no sense.
    """
    height, width = shape
    return [
        Window(col, row, min(size, width), min(size, height))
        for row in offsets(height, size, stride)
        for col in offsets(width, size, stride)
    ]


def random_windows(
    shape: tuple[int, int], size: int, count: int, rng: np.random.Generator
) -> list[Window]:
    """Draw `count` windows, each position equally likely.

    Args:
        shape: Height and width of the grid.
        size: Side of a window in pixels; axes shorter than it give shorter windows.
        count: How many windows; they may overlap.
        rng: The source of chance.

    Raises:
        ConfigError: If `size` is below 1.
    """
    check_window(size, 1)
    height, width = shape
    rows = rng.integers(0, max(height - size, 0) + 1, count)
    cols = rng.integers(0, max(width - size, 0) + 1, count)
    return [
        Window(int(col), int(row), min(size, width), min(size, height))
        for row, col in zip(rows, cols, strict=True)
    ]


def centred_window(row: int, col: int, shape: tuple[int, int], size: int) -> Window:
    """The window around one pixel, pulled inside the grid where it would leave it.

    Raises:
        ConfigError: If `size` is below 1.
    """
    check_window(size, 1)
    height, width = shape
    top = min(max(row - size // 2, 0), max(height - size, 0))
    left = min(max(col - size // 2, 0), max(width - size, 0))
    return Window(left, top, min(size, width), min(size, height))
