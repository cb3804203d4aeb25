"""The loss of all that a network gives in training: its logits and its auxiliary outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Auxiliary

_REACH = 2
"""Pixels from a boundary of classes that still belong to it, on either side: bands of four, the
width that the authors of PIDNet dilate theirs to."""

_SURE = 0.8
"""Probability of a boundary above which PIDNet learns classes once more (arXiv 2206.02066)."""


class TrainingLoss(nn.Module):
    """The loss of the logits, plus that of each auxiliary output times its weight.

    Auxiliary outputs teach the inner levels of a network directly (PSPNet, arXiv 1612.01105,
    section 3.3); they are computed in training only. An output of boundaries is compared with
    the boundaries of the target, and adds the loss of the logits over the pixels that it is
    sure of (PIDNet, arXiv 2206.02066).

    Args:
        loss: Of logits and target.
        auxiliary: What the network gives beside its logits, in order.
        ignore: Target value that no loss sees.
    """

    def __init__(
        self, loss: nn.Module, auxiliary: tuple[Auxiliary, ...], *, ignore: int = 255
    ) -> None:
        super().__init__()
        self.loss = loss
        self.auxiliary = auxiliary
        self.ignore = ignore

    def forward(self, outputs: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            outputs: Logits (n, classes, h, w); or a tuple of them and of each auxiliary output,
                of the same height and width.
            target: (n, h, w) channel indices or the ignore index, of any integer type.

        Returns:
            A scalar, float32.
        """
        if isinstance(outputs, Tensor):
            total: Tensor = self.loss(outputs, target)
            return total
        target = target.long()
        logits, *others = outputs
        total = self.loss(logits, target)
        for head, output in zip(self.auxiliary, others, strict=True):
            if head.boundary:
                at_boundaries = sure_target(output, target, self.ignore)
                total = total + self.loss(logits, at_boundaries)
                total = total + head.weight * boundary_loss(output, target, self.ignore)
            else:
                total = total + head.weight * self.loss(output, target)
        return total


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
    labelled = target != ignore
    classes = target.float()  # exact, as there are fewer than 2**24
    side = 2 * reach + 1

    def highest(values: Tensor) -> Tensor:
        seen = values.where(labelled, -math.inf)
        return functional.max_pool2d(seen[:, None], side, stride=1, padding=reach)[:, 0]

    # Around each labelled pixel there is one at least: itself.
    return (highest(classes) != -highest(-classes)) & labelled


def boundary_loss(output: Tensor, target: Tensor, ignore: int) -> Tensor:
    """Binary cross-entropy of boundaries, in which the few on one weigh as much as the rest.

    Pixels on a boundary weigh the share of those off it and the other way round; the mean is
    over labelled pixels. Without a boundary, or with nothing else, it is 0.

    Args:
        output: (n, 1, h, w) logits of the boundary.
        target: (n, h, w) channel indices or `ignore`, of any integer type.
        ignore: Target value that no loss sees.

    Returns:
        A scalar, float32.
    """
    labelled = target != ignore
    truth = boundary_target(target, ignore)
    count = labelled.sum().clamp(min=1)
    share = truth.sum() / count
    weight = torch.where(truth, 1 - share, share) * labelled
    loss = functional.binary_cross_entropy_with_logits(
        output[:, 0].float(), truth.float(), weight, reduction="sum"
    )
    return loss / count


def sure_target(output: Tensor, target: Tensor, ignore: int) -> Tensor:
    """Ignore each pixel of a target but those that an output calls a boundary.

    Args:
        output: (n, 1, h, w) logits of the boundary.
        target: (n, h, w) channel indices or `ignore`, of any integer type.
        ignore: Target value that no loss sees.

    Returns:
        (n, h, w) of the type of `target`.
    """
    return target.where(output[:, 0].float().sigmoid() > _SURE, ignore)
