"""The losses by name: what a table of `loss.terms` may say, and the loss that it builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from geoseg.nn.pixel_losses import (
    BinaryCrossEntropy,
    BoundaryCrossEntropy,
    CrossEntropy,
    Focal,
    Ohem,
)
from geoseg.nn.region_losses import Dice, GeneralisedDice, Jaccard, LovaszSoftmax, Tversky

Head = Literal["softmax", "sigmoid"]
"""What turns logits into probabilities: one softmax, or a sigmoid a class."""


@dataclass(frozen=True, kw_only=True)
class LossSetting:
    """What all losses of a training share."""

    class_weights: Tensor | None
    """(classes,) float32; None where all weigh the same."""

    head: Head
    """What the logits are of."""

    ignore: int
    """Target value that no loss sees."""

    @property
    def is_sigmoid(self) -> bool:
        """Whether each class has its own sigmoid."""
        return self.head == "sigmoid"


class Term(BaseModel):
    """One loss of the sum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    heads: ClassVar[tuple[Head, ...]] = ("softmax", "sigmoid")
    """For what probabilities the loss is made."""

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """What it is multiplied by."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss: a module of (logits, target) that gives a scalar.

        Raises:
            NotImplementedError: Here; each term has its own.
        """
        raise NotImplementedError


class CrossEntropyTerm(Term):
    """Cross-entropy of a softmax."""

    heads = ("softmax",)

    name: Literal["cross_entropy"] = "cross_entropy"
    """The loss."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each pixel's truth that is spread over all classes."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return CrossEntropy(
            setting.class_weights, setting.ignore, label_smoothing=self.label_smoothing
        )


class BinaryCrossEntropyTerm(Term):
    """Cross-entropy of a sigmoid a class."""

    heads = ("sigmoid",)

    name: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    """The loss."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return BinaryCrossEntropy(setting.class_weights, setting.ignore)


class DiceTerm(Term):
    """Soft Dice."""

    name: Literal["dice"] = "dice"
    """The loss."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return Dice(setting.ignore, sigmoid=setting.is_sigmoid)


class GeneralisedDiceTerm(Term):
    """Soft Dice of all classes in one ratio, weighted by their areas."""

    name: Literal["generalised_dice"] = "generalised_dice"
    """The loss."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return GeneralisedDice(setting.ignore, sigmoid=setting.is_sigmoid)


class FocalTerm(Term):
    """Cross-entropy in which easy pixels count less."""

    name: Literal["focal"] = "focal"
    """The loss."""

    gamma: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    """How much less; 0 is the cross-entropy."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return Focal(
            setting.class_weights, setting.ignore, gamma=self.gamma, sigmoid=setting.is_sigmoid
        )


class TverskyTerm(Term):
    """Dice with prices for what is wrong and what is missed."""

    name: Literal["tversky"] = "tversky"
    """The loss."""

    alpha: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    """Price of false positives."""

    beta: float = Field(default=0.7, ge=0, allow_inf_nan=False)
    """Price of false negatives."""

    @model_validator(mode="after")
    def _check_prices(self) -> TverskyTerm:
        if self.alpha == 0 and self.beta == 0:
            raise ValueError("alpha and beta are both 0")
        return self

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return Tversky(setting.ignore, alpha=self.alpha, beta=self.beta, sigmoid=setting.is_sigmoid)


class FocalTverskyTerm(Term):
    """Tversky's loss to the power 1 / gamma, class by class."""

    name: Literal["focal_tversky"] = "focal_tversky"
    """The loss."""

    alpha: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    """Price of false positives."""

    beta: float = Field(default=0.7, ge=0, allow_inf_nan=False)
    """Price of false negatives."""

    gamma: float = Field(default=4 / 3, gt=0, allow_inf_nan=False)
    """Above 1: classes that are nearly met count for more."""

    @model_validator(mode="after")
    def _check_prices(self) -> FocalTverskyTerm:
        if self.alpha == 0 and self.beta == 0:
            raise ValueError("alpha and beta are both 0")
        return self

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return Tversky(
            setting.ignore,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
            sigmoid=setting.is_sigmoid,
        )


class LovaszTerm(Term):
    """Lovász-softmax."""

    heads = ("softmax",)

    name: Literal["lovasz"] = "lovasz"
    """The loss."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return LovaszSoftmax(setting.ignore)


class JaccardTerm(Term):
    """Soft IoU."""

    name: Literal["jaccard"] = "jaccard"
    """The loss."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return Jaccard(setting.ignore, sigmoid=setting.is_sigmoid)


class OhemTerm(Term):
    """Cross-entropy of the hard pixels."""

    heads = ("softmax",)

    name: Literal["ohem"] = "ohem"
    """The loss."""

    threshold: float = Field(default=0.7, gt=0, le=1)
    """Probability of its class from which a pixel is easy."""

    min_share: float = Field(default=1 / 16, gt=0, le=1)
    """Share of the labelled pixels of a batch that is kept at least."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return Ohem(
            setting.class_weights,
            setting.ignore,
            threshold=self.threshold,
            min_share=self.min_share,
        )


class BoundaryCrossEntropyTerm(Term):
    """Cross-entropy in which pixels near another class weigh more."""

    heads = ("softmax",)

    name: Literal["boundary_cross_entropy"] = "boundary_cross_entropy"
    """The loss."""

    strength: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """What the weight grows by at a boundary."""

    sigma: float = Field(default=5.0, gt=0, le=50)
    """Pixels over which it dies away."""

    def build(self, setting: LossSetting) -> nn.Module:
        """The loss."""
        return BoundaryCrossEntropy(
            setting.class_weights, setting.ignore, strength=self.strength, sigma=self.sigma
        )


LossTerm = Annotated[
    CrossEntropyTerm
    | BinaryCrossEntropyTerm
    | DiceTerm
    | GeneralisedDiceTerm
    | FocalTerm
    | TverskyTerm
    | FocalTverskyTerm
    | LovaszTerm
    | JaccardTerm
    | OhemTerm
    | BoundaryCrossEntropyTerm,
    Field(discriminator="name"),
]
"""Any loss; `name` tells which."""
