"""The loss of all that a network gives in training: its logits and its auxiliary outputs."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.nn.architecture import Auxiliary


class TrainingLoss(nn.Module):
    """The loss of the logits, plus that of each auxiliary output times its weight.

    Auxiliary outputs teach the inner levels of a network directly (PSPNet, arXiv 1612.01105,
    section 3.3); they are computed in training only.

    Args:
        loss: Of logits and target.
        auxiliary: What the network gives beside its logits, in order.
    """

    def __init__(self, loss: nn.Module, auxiliary: tuple[Auxiliary, ...]) -> None:
        super().__init__()
        self.loss = loss
        self.auxiliary = auxiliary

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
        logits, *others = outputs
        total = self.loss(logits, target)
        for head, output in zip(self.auxiliary, others, strict=True):
            total = total + head.weight * self.loss(output, target)
        return total
