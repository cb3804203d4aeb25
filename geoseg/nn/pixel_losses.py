"""Losses that are a mean over pixels: each pixel by itself, weighted by its class.

segmentation-models-pytorch has most of them, but its means run over ignored pixels as well
(`SoftBCEWithLogitsLoss`, `SoftCrossEntropyLoss`), its focal loss of several classes is one sigmoid
a class, and none of them weighs pixels by class and divides by these weights (seen in 0.6). Here
they are built on torch's own cross-entropies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.boundaries import boundary_distance

_LEAST = 1e-7
"""Of 1 - p: powers below 1 have an infinite slope at 0."""

_REACH = 3.0
"""Standard deviations from a boundary where its weight has died away."""


class PixelLoss(nn.Module):
    """The weighted mean over labelled pixels of a loss of each pixel.

    sum(w[target] * loss) / sum(w[target]) over the pixels that are labelled, with w = 1 where no
    class weights are given; 0 where nothing is labelled, or only classes of weight 0.

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
        labelled = target != self.ignore
        classes = target.where(labelled, 0)
        weight = labelled.float()
        if isinstance(self.class_weights, Tensor):
            weight = weight * self.class_weights[classes]
        losses = self.losses(logits.float(), classes)
        weight = self.weigh(weight, losses.detach(), target)
        amount = weight.sum()
        return (losses * weight).sum() / amount.where(amount > 0, 1)

    def losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The loss of each pixel.

        Args:
            logits: (n, classes, h, w) float32.
            classes: (n, h, w) channel indices, int64; any of them where a pixel is ignored.

        Returns:
            (n, h, w) float32.

        Raises:
            NotImplementedError: Here; each loss has its own.
        """
        raise NotImplementedError

    def weigh(self, weight: Tensor, losses: Tensor, target: Tensor) -> Tensor:
        """Change the weights of pixels (n, h, w) by their losses and places; as they are here."""
        del losses, target
        return weight


class CrossEntropy(PixelLoss):
    """-sum over classes c of q_c log p_c, with p = softmax(logits).

    q is 1 at the pixel's class. With label smoothing e it is 1 - e there plus e / classes
    everywhere (arXiv 1512.00567, section 7).

    Args:
        class_weights: (classes,) or None.
        ignore: Target value that no loss sees.
        label_smoothing: e, 0 to 1.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        ignore: int = 255,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(class_weights, ignore)
        self.label_smoothing = label_smoothing

    def losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The cross-entropy (n, h, w) of each pixel."""
        # Torch's own class weights would weigh the smoothed part by other classes than the pixel's.
        return functional.cross_entropy(
            logits, classes, reduction="none", label_smoothing=self.label_smoothing
        )


class BinaryCrossEntropy(PixelLoss):
    """The mean over classes of the cross-entropies of one sigmoid each against the rest."""

    def losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The mean binary cross-entropy (n, h, w) of each pixel."""
        return _binary(logits, classes).mean(dim=1)


class Focal(PixelLoss):
    """(1 - p)^gamma times -log p, with p the probability of the pixel's class.

    Easy pixels, of p near 1, count less the higher gamma is; gamma 0 is the cross-entropy. The
    class weights are the paper's alpha. (arXiv 1708.02002, equation 5.) Of sigmoids it is the
    mean over the classes, each against the rest; of a softmax p is that of the class alone.

    Args:
        class_weights: (classes,) or None.
        ignore: Target value that no loss sees.
        gamma: 0 or more; the paper's 2.
        sigmoid: Whether logits are of a sigmoid a class instead of a softmax.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        ignore: int = 255,
        *,
        gamma: float = 2.0,
        sigmoid: bool = False,
    ) -> None:
        super().__init__(class_weights, ignore)
        self.gamma = gamma
        self.sigmoid = sigmoid

    def losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The focal loss (n, h, w) of each pixel."""
        if self.sigmoid:
            return self._focused(_binary(logits, classes)).mean(dim=1)
        return self._focused(functional.cross_entropy(logits, classes, reduction="none"))

    def _focused(self, surprise: Tensor) -> Tensor:
        """From -log p."""
        missed = -torch.expm1(-surprise)  # 1 - p, also where p is nearly 1
        return missed.clamp(min=_LEAST).pow(self.gamma) * surprise


class Ohem(PixelLoss):
    """Cross-entropy of the hard pixels of a batch: online hard example mining.

    Hard are the pixels whose class has a probability below a threshold; or the hardest ones, where
    these are fewer than a share of all. Examples that the network does badly on are searched for
    in each batch after arXiv 1604.03540; threshold and least number are what segmentation made
    of it (BiSeNet, arXiv 1808.00897; HRNet). Pixels whose class has the weight 0 are never hard.

    Args:
        class_weights: (classes,) or None.
        ignore: Target value that no loss sees.
        threshold: Probability from which a pixel is easy, 0 to 1.
        min_share: Share of the labelled pixels of a batch that is kept at least.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        ignore: int = 255,
        *,
        threshold: float = 0.7,
        min_share: float = 1 / 16,
    ) -> None:
        super().__init__(class_weights, ignore)
        self.enough = -math.log(threshold)
        self.min_share = min_share

    def losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The cross-entropy (n, h, w) of each pixel."""
        return functional.cross_entropy(logits, classes, reduction="none")

    def weigh(self, weight: Tensor, losses: Tensor, target: Tensor) -> Tensor:
        """Set the weights of easy pixels to 0."""
        del target
        counts = weight > 0
        ranked = losses.where(counts, -1).flatten().sort(descending=True).values
        # How many are kept stays a tensor: a number would halt the device.
        last = (counts.sum() * self.min_share).ceil().long().clamp(min=1) - 1
        hardest = losses >= ranked.gather(0, last[None])
        return weight * ((losses > self.enough) | hardest)


class BoundaryCrossEntropy(PixelLoss):
    """Cross-entropy in which pixels weigh more the nearer they are to another class.

    The weight is w[target] * (1 + strength * exp(-d^2 / (2 sigma^2))), d the pixels to the
    nearest one of another class. It is U-Net's (arXiv 1505.04597, equation 2, there with
    strength 10, sigma 5 and the distances to two cells) with one distance, as classes have no
    instances. d is the larger of rows and columns, is counted up to three sigma, and is over
    labelled pixels: the rim of what is ignored is no boundary.

    Args:
        class_weights: (classes,) or None.
        ignore: Target value that no loss sees.
        strength: What the weight grows by at a boundary, 0 or more.
        sigma: Pixels, above 0.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        ignore: int = 255,
        *,
        strength: float = 10.0,
        sigma: float = 5.0,
    ) -> None:
        super().__init__(class_weights, ignore)
        self.strength = strength
        self.sigma = sigma

    def losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The cross-entropy (n, h, w) of each pixel."""
        return functional.cross_entropy(logits, classes, reduction="none")

    def weigh(self, weight: Tensor, losses: Tensor, target: Tensor) -> Tensor:
        """Raise the weights near boundaries."""
        del losses
        reach = math.ceil(_REACH * self.sigma)
        distance = boundary_distance(target, self.ignore, reach=reach)
        nearness = torch.exp(-0.5 * (distance / self.sigma) ** 2).where(distance <= reach, 0)
        return weight * (1 + self.strength * nearness)


def _binary(logits: Tensor, classes: Tensor) -> Tensor:
    """Binary cross-entropy (n, classes, h, w) of each channel."""
    channels = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = (classes[:, None] == channels).float()
    return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
