"""Test-time augmentation: windows seen mirrored and turned, and their scores turned back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from geoseg.engine.backends import Backend

Augmentation = Literal["none", "flip", "d4"]
"""`flip` adds the left-right mirror image, as the tests of PSPNet do
(https://arxiv.org/abs/1612.01105); `d4` takes all eight turns and mirror images of a square,
among which a scene seen from above has no upright one."""

Symmetry = tuple[int, bool]
"""Quarter turns, and whether the window is mirrored left to right before them."""

SYMMETRIES: dict[Augmentation, tuple[Symmetry, ...]] = {
    "none": ((0, False),),
    "flip": ((0, False), (0, True)),
    "d4": tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}


class SymmetricBackend:
    """Averages the scores of a network over symmetries of its windows.

    Args:
        backend: Runs the network.
        augmentation: Which symmetries.
    """

    def __init__(self, backend: Backend, augmentation: Augmentation) -> None:
        self._backend = backend
        self._symmetries = SYMMETRIES[augmentation]
        self.classes, self.device = backend.classes, backend.device

    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network once for each symmetry; see `Backend.scores`."""
        total: Tensor | None = None
        for symmetry in self._symmetries:
            seen = None if valid is None else apply(valid, symmetry)
            scores = undo(self._backend.scores(apply(pixels, symmetry), seen), symmetry)
            # The next call may overwrite what this one gave.
            total = scores.clone() if total is None else total.add_(scores)
        assert total is not None
        return total.div_(len(self._symmetries))


def apply(windows: Tensor, symmetry: Symmetry) -> Tensor:
    """Mirror and turn windows (..., side, side)."""
    turns, mirrored = symmetry
    if mirrored:
        windows = windows.flip(-1)
    return torch.rot90(windows, turns, (-2, -1)) if turns else windows


def undo(windows: Tensor, symmetry: Symmetry) -> Tensor:
    """Turn and mirror windows (..., side, side) back."""
    turns, mirrored = symmetry
    if turns:
        windows = torch.rot90(windows, -turns, (-2, -1))
    return windows.flip(-1) if mirrored else windows
