"""What training minimises: a weighted sum of losses over the labelled pixels of a batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from geoseg.errors import ConfigError
from geoseg.nn.class_weights import WeightMethod, class_weights
from geoseg.nn.loss_terms import CrossEntropyTerm, DiceTerm, Head, LossSetting, LossTerm

logger = logging.getLogger(__name__)


class LossConfig(BaseModel):
    """What training minimises."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: tuple[LossTerm, ...] = Field(default=(CrossEntropyTerm(), DiceTerm()), min_length=1)
    """The losses that are summed, each by its `name`, with its `weight` and its own keys."""

    class_weights: Literal["none", WeightMethod] | tuple[float, ...] = "none"
    """Weights of the pixels of each class in the losses that are means over pixels: given, in
    legend order, each 0 or more; or computed from the labelled pixels of the training part."""

    effective_beta: float | None = Field(default=None, gt=0, lt=1)
    """beta of `effective_number`; 1 - 1 / (median of the classes' pixels) where not given."""

    activation: Literal["auto", "softmax", "sigmoid"] = "auto"
    """What turns logits into probabilities, here and in prediction; auto: a sigmoid a class
    where a term is binary_cross_entropy, else a softmax."""

    aux_weight: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Weight of each auxiliary output of classes; those of the papers where not given."""

    @property
    def head(self) -> Head:
        """What the network is trained to be: a softmax or a sigmoid a class."""
        if self.activation != "auto":
            return self.activation
        has_binary = any(term.name == "binary_cross_entropy" for term in self.terms)
        return "sigmoid" if has_binary else "softmax"

    @model_validator(mode="after")
    def _check_heads(self) -> LossConfig:
        wrong = [term.name for term in self.terms if self.head not in term.heads]
        if wrong:
            other = "softmax" if self.head == "sigmoid" else "sigmoid"
            raise ValueError(
                f"the activation is {self.head}, {', '.join(wrong)} is of a {other} alone"
            )
        return self


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


def build_loss(
    config: LossConfig,
    *,
    classes: int,
    ignore: int = 255,
    class_pixels: Sequence[int] | None = None,
) -> WeightedSum:
    """Build the loss that a configuration describes.

    Args:
        config: Terms and class weights.
        classes: Channels of the logits.
        ignore: Target value that no loss sees.
        class_pixels: Labelled pixels of each class, where weights are computed from them.

    Returns:
        A module of (logits, target) that gives a scalar.

    Raises:
        ConfigError: If a term stands twice, or the class weights are not one per class or cannot
            be computed.
    """
    names = [term.name for term in config.terms]
    if len(set(names)) < len(names):
        raise ConfigError("loss.terms", "names a loss twice", "Add up their weights")
    weights = resolve_class_weights(config, classes=classes, class_pixels=class_pixels)
    setting = LossSetting(
        class_weights=None if weights is None else torch.tensor(weights, dtype=torch.float32),
        head=config.head,
        ignore=ignore,
    )
    return WeightedSum({term.name: (term.build(setting), term.weight) for term in config.terms})


def resolve_class_weights(
    config: LossConfig, *, classes: int, class_pixels: Sequence[int] | None = None
) -> tuple[float, ...] | None:
    """The weight of each class, as given or as computed.

    Args:
        config: Tells weights or how to compute them.
        classes: How many there are.
        class_pixels: Labelled pixels of each class in what is trained on.

    Returns:
        One per class, in legend order; None where all weigh the same.

    Raises:
        ConfigError: If they are not one per class, negative, all 0, or cannot be computed.
    """
    key = "loss.class_weights"
    if config.class_weights == "none":
        return None
    if not isinstance(config.class_weights, str):
        _check_weights(config.class_weights, classes)
        return config.class_weights
    if class_pixels is None or not any(class_pixels):
        problem = f"{config.class_weights!r} needs labelled pixels to count, there are none"
        raise ConfigError(key, problem, "Give a list of weights")
    return class_weights(class_pixels, config.class_weights, beta=config.effective_beta)


def tell_class_weights(
    weights: Sequence[float], names: Sequence[str], class_pixels: Sequence[int]
) -> None:
    """Log the weight of each class, and warn of those that have none as none of them was counted.

    Args:
        weights: One per class.
        names: Of the classes.
        class_pixels: Labelled pixels of each in what is trained on; of scenes, in a part of it,
            so that a class without one may yet come.
    """
    pairs = list(zip(names, weights, strict=True))
    logger.info("class weights: %s", ", ".join(f"{name} {weight:.4g}" for name, weight in pairs))
    absent = [
        name
        for (name, weight), count in zip(pairs, class_pixels, strict=True)
        if weight == 0 and count == 0
    ]
    if absent:
        logger.warning(
            "of weight 0, as no pixel of them was counted: %s; where they do come, give a list of "
            "loss.class_weights, or they are not learnt",
            ", ".join(absent),
        )


def _check_weights(weights: Sequence[float], classes: int) -> None:
    if len(weights) != classes:
        raise ConfigError(
            "loss.class_weights",
            f"has {len(weights)} weights for {classes} classes",
            "Give one per class, in the order of the legend",
        )
    values = torch.tensor(weights)
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()) or not values.any():
        raise ConfigError("loss.class_weights", "must be 0 or more, not all 0", "Mend them")
