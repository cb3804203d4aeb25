"""Majority votes over the scores of several networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geoseg.engine.argmax import highest

_TIE_BREAK = 1e-4
"""How much of the mean score is added to the shares of votes: it decides between equals only."""


def count_votes(scores: Sequence[Tensor]) -> Tensor:
    """The share of networks that hold each class for the most likely one.

    Where classes have as many votes, the one with the higher mean score is put before; for that
    a ten thousandth of the result is the mean score.

    Args:
        scores: (classes, rows, width) of each network.

    Returns:
        (classes, rows, width); adds up to 1 where the scores do.
    """
    classes = range(scores[0].shape[0])
    mean = torch.stack(list(scores)).mean(0)
    shares = mean.mul(_TIE_BREAK)
    for each in scores:
        best = highest(each, classes, classes)
        for channel in classes:
            shares[channel].add_(best == channel, alpha=(1 - _TIE_BREAK) / len(scores))
    return shares
