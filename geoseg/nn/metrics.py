"""Confusion matrices of an epoch, kept on the device; scores come from them once at the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geoseg.geo.confusion import scores
from geoseg.nn.distributed import sum_over_processes


class ConfusionMatrix(nn.Module):
    """Counts pixels of each pair of reference and predicted class, batch by batch.

    A module, so that it moves to the device with the network it judges. Images may be of
    several groups, such as scenes; each has a matrix, and the sum of all is that of the whole.

    Args:
        classes: Number of classes.
        ignore: Reference value that is not counted.
        groups: Number of groups.
    """

    matrices: Tensor
    """(groups, classes, classes) int64 pixel counts; rows are the reference."""

    pixels: Tensor
    """(groups,) int64, the pixels that were seen, with or without a reference."""

    def __init__(self, classes: int, ignore: int = 255, groups: int = 1) -> None:
        super().__init__()
        self.classes = classes
        self.ignore = ignore
        empty = torch.zeros(groups, classes, classes, dtype=torch.int64)
        self.register_buffer("matrices", empty, persistent=False)
        self.register_buffer("pixels", torch.zeros(groups, dtype=torch.int64), persistent=False)

    @property
    def matrix(self) -> Tensor:
        """(classes, classes) int64 pixel counts of all groups; rows are the reference."""
        return self.matrices.sum(dim=0)

    @torch.no_grad()
    def update(
        self,
        prediction: Tensor,
        target: Tensor,
        groups: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            prediction: (n, h, w) channel indices, or (n, classes, h, w) logits.
            target: (n, h, w) channel indices or `ignore`, of any integer type.
            groups: (n,) int64, the group of each image; the first of all where not given.
            valid: (n, h, w) bool, the pixels that are seen; all where not given.
        """
        if prediction.ndim == target.ndim + 1:
            prediction = prediction.argmax(dim=1)  # (n, h, w)
        count, bins = len(target), self.classes**2
        target = target.long()
        if groups is None:
            groups = torch.zeros(count, dtype=torch.int64, device=target.device)
        # One matrix an image in one go, whatever the number of groups.
        first = torch.arange(count, device=target.device)[:, None, None] * bins
        pairs = first + target * self.classes + prediction.long()
        pairs = torch.where(target == self.ignore, count * bins, pairs)  # a bin for what is ignored
        counts = torch.bincount(pairs.flatten(), minlength=count * bins + 1)[:-1]
        self.matrices.index_add_(0, groups, counts.reshape(count, self.classes, self.classes))
        seen = torch.ones_like(target) if valid is None else valid.long()
        self.pixels.index_add_(0, groups, seen.sum(dim=(1, 2)))

    def reset(self) -> None:
        """Forget all that was counted."""
        self.matrices.zero_()
        self.pixels.zero_()

    def reduce(self) -> None:
        """Add up what several processes counted; then each of them has the sum."""
        for counts in (self.matrices, self.pixels):
            counts.copy_(sum_over_processes(counts))

    def scores(self, names: tuple[str, ...] = ()) -> dict[str, Any]:
        """Every score of a report, over all that was counted.

        Args:
            names: Of the classes.

        Returns:
            The dict of `geoseg.geo.confusion.scores`; what is not defined is NaN.
        """
        return scores(self.matrix.cpu().numpy(), names)
