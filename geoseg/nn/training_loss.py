"""The loss of all that a network gives in training: its logits and its auxiliary outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Auxiliary
from geoseg.nn.boundaries import boundary_target

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
        aux_weight: Instead of the weights of auxiliary logits, which are those of the papers. An
            output of boundaries keeps its own, as its loss is another one.
    """

    def __init__(
        self,
        loss: nn.Module,
        auxiliary: tuple[Auxiliary, ...],
        *,
        ignore: int = 255,
        aux_weight: float | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.auxiliary = auxiliary
        self.ignore = ignore
        self.aux_weight = aux_weight

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
                weight = head.weight if self.aux_weight is None else self.aux_weight
                total = total + weight * self.loss(output, target)
        return total


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
