"""The class with the highest score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def highest(scores: Tensor, channels: Sequence[int], values: Sequence[int]) -> Tensor:
    """What stands for the channel with the highest score of each pixel.

    The channels are compared one after the other, which is ten times faster on processors than
    `torch.argmax` over the channel axis.

    Args:
        scores: (classes, rows, width).
        channels: Which of them to look at; of equals the first wins.
        values: What stands for each of these channels.

    Returns:
        (rows, width) uint8, or int32 where a value is above 255.
    """
    dtype = torch.uint8 if max(values) <= 255 else torch.int32
    best = scores[channels[0]]
    found = torch.full(best.shape, values[0], dtype=dtype, device=scores.device)
    for channel, value in zip(channels[1:], values[1:], strict=True):
        found.masked_fill_(scores[channel] > best, value)
        best = torch.maximum(best, scores[channel])
    return found
