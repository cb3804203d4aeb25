"""Max unpooling: values go back to the pixels that max pooling took them from."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional


def max_unpool2d(
    values: Tensor, indices: Tensor, size: tuple[int, int], *, overlapping: bool = False
) -> Tensor:
    """Undo a max pooling of stride 2; pixels that no window chose become 0.

    Gives what `torch.nn.functional.max_unpool2d` gives on one thread, by comparisons instead of a
    scatter: OpenVINO cannot read torch's, and where windows overlap and chose the same pixel the
    outcome is the same on every device (the last window wins).

    Args:
        values: (n, channels, h, w), one per window, floating.
        indices: (n, channels, h, w), int64: the chosen pixel of each window as
            `functional.max_pool2d(..., return_indices=True)` gives it, row * width + column.
        size: Height and width of what was pooled.
        overlapping: False where the pooling had windows of 2x2 without padding, True where it
            had 3x3 with a padding of 1.

    Returns:
        (n, channels, *size), of the type of `values`.
    """
    height, width = size
    rows, columns = values.shape[-2:]
    first = 2 * width * torch.arange(rows, device=values.device)[:, None]
    first = first + 2 * torch.arange(columns, device=values.device)
    shared = int(overlapping)  # a 3x3 window begins one pixel before its block
    planes = [
        _plane(
            values, indices, first + row * width + column, (1 + row * shared, 1 + column * shared)
        )
        for row, column in product((0, 1), repeat=2)
    ]
    # (n, channels, 4, h, w): the four pixels of each block of 2x2
    whole = functional.pixel_shuffle(torch.stack(planes, dim=2).flatten(1, 2), 2)
    if (height, width) == (2 * rows, 2 * columns):
        return whole
    # An odd line at the end: left out by 2x2 windows, padded by 3x3 windows.
    return functional.pad(whole, (0, width - 2 * columns, 0, height - 2 * rows))


def _plane(values: Tensor, indices: Tensor, pixels: Tensor, windows: tuple[int, int]) -> Tensor:
    """The pixels at one place of each block of 2x2.

    Args:
        values: (n, channels, h, w), of the windows.
        indices: (n, channels, h, w), what the windows chose.
        pixels: (h, w), index of the pixel of each block.
        windows: How many, down and to the right from the block's own, may have chosen it.

    Returns:
        (n, channels, h, w).
    """
    plane = values.new_zeros(())
    for below, right in product(*map(range, windows)):
        chosen = _shift(indices, below, right, fill=-1) == pixels
        plane = torch.where(chosen, _shift(values, below, right, fill=0), plane)
    return plane


def _shift(windows: Tensor, below: int, right: int, *, fill: int) -> Tensor:
    """What the window `below` rows down and `right` columns to the right has."""
    if below == right == 0:
        return windows
    return functional.pad(windows[..., below:, right:], (0, right, 0, below), value=fill)
