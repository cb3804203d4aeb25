"""Where the classes of a target meet, computed on its device."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_REACH = 2
"""Pixels from a boundary of classes that still belong to it, on either side: bands of four, the
width that the authors of PIDNet dilate theirs to."""


def boundary_target(target: Tensor, ignore: int, *, reach: int = _REACH) -> Tensor:
    """Find the pixels near which the class changes.

    A pixel is one where the labelled pixels at most `reach` rows and columns away are of two
    classes or more. What is ignored is no class: its rim is no boundary.

    Args:
        target: (n, h, w) channel indices or `ignore`, of any integer type.
        ignore: Target value that no loss sees.
        reach: In pixels.

    Returns:
        (n, h, w) of the same device, bool; false where ignored.
    """
    return _differs(_pooled(_extremes(target, ignore), reach)) & (target != ignore)


def boundary_distance(target: Tensor, ignore: int, *, reach: int) -> Tensor:
    """Count the pixels from each labelled pixel to the nearest one of another class.

    The distance is the larger of rows and columns; pixels that are ignored are of no class.

    Args:
        target: (n, h, w) channel indices or `ignore`, of any integer type.
        ignore: Target value that no loss sees.
        reach: Pixels up to which is counted.

    Returns:
        (n, h, w) of the same device, int64, 1 to `reach`; `reach` + 1 where the nearest is further
        away, and where ignored.
    """
    extremes = _extremes(target, ignore)
    within = torch.zeros_like(target, dtype=torch.int64)
    for _ in range(reach):
        # Maxima of maxima: the r-th has seen the square of r pixels to every side.
        extremes = _pooled(extremes, 1)
        within += _differs(extremes)
    return (reach + 1 - within).where(target != ignore, reach + 1)


def _extremes(target: Tensor, ignore: int) -> Tensor:
    """Highest class and lowest class times -1 of each pixel alone (n, 2, h, w)."""
    classes = target.float()  # exact, as there are fewer than 2**24
    both = torch.stack([classes, -classes], dim=1)
    return both.where((target != ignore)[:, None], -math.inf)


def _pooled(extremes: Tensor, reach: int) -> Tensor:
    return functional.max_pool2d(extremes, 2 * reach + 1, stride=1, padding=reach)


def _differs(extremes: Tensor) -> Tensor:
    """Whether there are two classes; where there is none, both are -inf: no difference."""
    highest, lowest = extremes.unbind(dim=1)
    return (highest > -lowest) & torch.isfinite(highest)
