"""The confusion matrix of an epoch, kept on the device; scores come from it once at the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geoseg.geo.confusion import scores


class ConfusionMatrix(nn.Module):
    """Counts pixels of each pair of reference and predicted class, batch by batch.

    A module, so that it moves to the device with the network it judges. Matrices of several
    processes add up: reduce `matrix` by sum before asking for scores.

    Args:
        classes: Number of classes.
        ignore: Reference value that is not counted.
    """

    matrix: Tensor
    """(classes, classes) int64 pixel counts; rows are the reference."""

    def __init__(self, classes: int, ignore: int = 255) -> None:
        super().__init__()
        self.classes = classes
        self.ignore = ignore
        empty = torch.zeros(classes, classes, dtype=torch.int64)
        self.register_buffer("matrix", empty, persistent=False)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: (n, h, w) channel indices, or (n, classes, h, w) logits.
            target: (n, h, w) channel indices or `ignore`, of any integer type.
        """
        if prediction.ndim == target.ndim + 1:
            prediction = prediction.argmax(dim=1)  # (n, h, w)
        target = target.long()
        pairs = torch.where(
            target == self.ignore,
            self.classes**2,  # one bin more for what is not counted
            target * self.classes + prediction.long(),
        )
        counts = torch.bincount(pairs.flatten(), minlength=self.classes**2 + 1)
        self.matrix += counts[:-1].reshape(self.classes, self.classes)

    def reset(self) -> None:
        """Forget all that was counted."""
        self.matrix.zero_()

    def scores(self, names: tuple[str, ...] = ()) -> dict[str, Any]:
        """Every score of a report, over all that was counted.

        Args:
            names: Of the classes.

        Returns:
            The dict of `geoseg.geo.confusion.scores`; what is not defined is NaN.
        """
        return scores(self.matrix.cpu().numpy(), names)
