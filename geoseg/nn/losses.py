"""Losses over the labelled pixels of a batch, and their weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import ConfigError

LossName = Literal["cross_entropy", "dice"]


class LossTerm(BaseModel):
    """One loss of the sum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: LossName
    """A key of `LOSSES`."""

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """What it is multiplied by."""


class LossConfig(BaseModel):
    """What training minimises."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: tuple[LossTerm, ...] = Field(
        default=(LossTerm(name="cross_entropy"), LossTerm(name="dice")), min_length=1
    )
    """The losses that are summed."""

    class_weights: Literal["none"] | tuple[float, ...] = "none"
    """Weight of each class in the cross-entropy, in legend order, each 0 or more."""


class CrossEntropy(nn.Module):
    """Mean over labelled pixels of -log softmax(logits)[target].

    With class weights w the mean is weighted: sum(w[target] * loss) / sum(w[target]).

    Args:
        class_weights: (classes,) or None.
        ignore: Target value that no loss sees.
    """

    def __init__(self, class_weights: Tensor | None = None, ignore: int = 255) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.ignore = ignore

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (n, classes, h, w), floating.
            target: (n, h, w) channel indices or `ignore`, of any integer type.

        Returns:
            A scalar, float32.
        """
        target = target.long()
        weights = self.class_weights if isinstance(self.class_weights, Tensor) else None
        total = functional.cross_entropy(
            logits.float(), target, weights, ignore_index=self.ignore, reduction="sum"
        )
        labelled = target != self.ignore
        if weights is None:
            return total / labelled.sum().clamp(min=1)
        amount = (weights[target.where(labelled, 0)] * labelled).sum()
        return total / amount.where(amount > 0, 1)


class Dice(nn.Module):
    """Soft Dice of softmax probabilities p against one-hot targets t, over the whole batch.

    1 - mean over classes c of 2 sum(p_c t_c) / (sum(p_c) + sum(t_c)), sums over labelled
    pixels. Classes without a pixel in the batch's target take no part: their term would be 1
    whatever the network says, and hold no gradient worth following. (V-Net, arXiv 1606.04797,
    with this sum in the denominator.)

    Args:
        ignore: Target value that no loss sees.
    """

    def __init__(self, ignore: int = 255) -> None:
        super().__init__()
        self.ignore = ignore

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (n, classes, h, w), floating.
            target: (n, h, w) channel indices or `ignore`, of any integer type.

        Returns:
            A scalar, float32, 0 to 1.
        """
        target = target.long()
        labelled = (target != self.ignore)[:, None]  # (n, 1, h, w)
        channels = torch.arange(logits.shape[1], device=target.device)[:, None, None]
        truth = target[:, None] == channels  # (n, classes, h, w); false where ignored
        probability = logits.float().softmax(dim=1).where(labelled, 0)
        pixels = truth.sum(dim=(0, 2, 3)).float()  # (classes,)
        common = (probability * truth).sum(dim=(0, 2, 3))
        present = pixels > 0
        total = (probability.sum(dim=(0, 2, 3)) + pixels).where(present, 1)
        lacking = (1 - 2 * common / total).where(present, 0)
        return lacking.sum() / present.sum().clamp(min=1)


class WeightedSum(nn.Module):
    """The sum of several losses, each times its weight.

    Args:
        terms: Name to loss and weight.
    """

    def __init__(self, terms: dict[str, tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict({name: loss for name, (loss, _) in terms.items()})
        self.weights = {name: weight for name, (_, weight) in terms.items()}

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (n, classes, h, w), floating.
            target: (n, h, w) channel indices or the ignore index, of any integer type.

        Returns:
            A scalar, float32; 0 with gradient 0 where no pixel is labelled.
        """
        return torch.stack(list(self.parts(logits, target).values())).sum()

    def parts(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Each term by name, times its weight, for the log."""
        return {
            name: self.weights[name] * loss(logits, target) for name, loss in self.losses.items()
        }


def _cross_entropy(class_weights: Tensor | None, ignore: int) -> nn.Module:
    return CrossEntropy(class_weights, ignore)


def _dice(_: Tensor | None, ignore: int) -> nn.Module:
    return Dice(ignore)


LOSSES: dict[LossName, Callable[[Tensor | None, int], nn.Module]] = {
    "cross_entropy": _cross_entropy,
    "dice": _dice,
}
"""Every loss by name; the builders take the class weights and the ignore index."""


def build_loss(config: LossConfig, *, classes: int, ignore: int = 255) -> WeightedSum:
    """Build the loss that a configuration describes.

    Args:
        config: Terms and class weights.
        classes: Channels of the logits.
        ignore: Target value that no loss sees.

    Returns:
        A module of (logits, target) that gives a scalar.

    Raises:
        ConfigError: If a term stands twice, or the class weights are not one per class.
    """
    names = [term.name for term in config.terms]
    if len(set(names)) < len(names):
        raise ConfigError("loss.terms", "names a loss twice", "Add up their weights")
    weights = _class_weights(config, classes)
    return WeightedSum(
        {term.name: (LOSSES[term.name](weights, ignore), term.weight) for term in config.terms}
    )


def _class_weights(config: LossConfig, classes: int) -> Tensor | None:
    if config.class_weights == "none":
        return None
    weights = torch.tensor(config.class_weights, dtype=torch.float32)
    if len(weights) != classes:
        raise ConfigError(
            "loss.class_weights",
            f"has {len(weights)} weights for {classes} classes",
            "Give one per class, in the order of the legend",
        )
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()) or not weights.any():
        raise ConfigError("loss.class_weights", "must be 0 or more, not all 0", "Mend them")
    return weights
