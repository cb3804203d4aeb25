"""Losses of regions: how well the area of each class is met, over the labelled pixels of a batch.

They look at the classes that the batch's target shows, most as a mean. A class without a pixel
would have the same loss whatever the network says, and hold no gradient worth following.
segmentation-models-pytorch counts such classes with a loss of 0, so that the others' weigh less in
batches that show few; its Lovász loss halts the device at each class, and gives no scalar where
nothing is labelled (seen in 0.6). Where all classes are there, they agree with these.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST = 1e-7
"""Of what a region lacks: powers below 1 have an infinite slope at 0."""


class RegionLoss(nn.Module):
    """A loss of the areas of the classes, by their probabilities p and one-hot targets t.

    Args:
        ignore: Target value that no loss sees.
        sigmoid: Whether logits are of a sigmoid a class instead of a softmax.
    """

    def __init__(self, ignore: int = 255, *, sigmoid: bool = False) -> None:
        super().__init__()
        self.ignore = ignore
        self.sigmoid = sigmoid

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (n, classes, h, w), floating.
            target: (n, h, w) channel indices or `ignore`, of any integer type.

        Returns:
            A scalar, float32; 0 where nothing is labelled.
        """
        target = target.long()
        labelled = (target != self.ignore)[:, None]  # (n, 1, h, w)
        channels = torch.arange(logits.shape[1], device=target.device)[:, None, None]
        truth = target[:, None] == channels  # (n, classes, h, w); false where ignored
        logits = logits.float()
        probability = logits.sigmoid() if self.sigmoid else logits.softmax(dim=1)
        probability = probability.where(labelled, 0)
        return self.compare(
            (probability * truth).sum(dim=(0, 2, 3)),
            probability.sum(dim=(0, 2, 3)),
            truth.sum(dim=(0, 2, 3)).float(),
        )

    def compare(self, common: Tensor, predicted: Tensor, pixels: Tensor) -> Tensor:
        """The loss, from sums over labelled pixels.

        Args:
            common: (classes,) of p t.
            predicted: (classes,) of p.
            pixels: (classes,) of t.

        Raises:
            NotImplementedError: Here; each loss has its own.
        """
        raise NotImplementedError


class Tversky(RegionLoss):
    """1 - common / (common + alpha * wrong + beta * missed), the mean over classes.

    common is the sum of p t, wrong (false positives) that of p (1 - t), missed (false negatives)
    that of (1 - p) t. (arXiv 1706.05721; best there with alpha 0.3 and beta 0.7.)
    Each class's loss is raised to the power 1 / gamma: with gamma above 1 classes that are nearly
    met push on. (Focal Tversky, arXiv 1810.07842, which sums over the classes.)

    Args:
        ignore: Target value that no loss sees.
        alpha: Price of false positives, 0 or more.
        beta: Price of false negatives, 0 or more.
        gamma: Above 0; 1 is the plain Tversky loss, 4/3 the focal one's.
        sigmoid: Whether logits are of a sigmoid a class instead of a softmax.
    """

    def __init__(
        self,
        ignore: int = 255,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        sigmoid: bool = False,
    ) -> None:
        super().__init__(ignore, sigmoid=sigmoid)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def compare(self, common: Tensor, predicted: Tensor, pixels: Tensor) -> Tensor:
        """The mean over the classes that have pixels."""
        present = pixels > 0
        whole = common + self.alpha * (predicted - common) + self.beta * (pixels - common)
        lacking = 1 - common / whole.where(present & (whole > 0), 1)
        if self.gamma != 1:
            lacking = lacking.clamp(min=_LEAST).pow(1 / self.gamma)
        return lacking.where(present, 0).sum() / present.sum().clamp(min=1)


class Dice(Tversky):
    """1 - 2 sum(p t) / (sum(p) + sum(t)), the mean over classes (V-Net, arXiv 1606.04797).

    The denominator has sums where V-Net has sums of squares; so it is Tversky's loss with alpha
    and beta 0.5.
    """

    def __init__(self, ignore: int = 255, *, sigmoid: bool = False) -> None:
        super().__init__(ignore, alpha=0.5, beta=0.5, sigmoid=sigmoid)


class Jaccard(Tversky):
    """1 - sum(p t) / (sum(p) + sum(t) - sum(p t)), the mean over classes: 1 - soft IoU.

    It is Tversky's loss with alpha and beta 1. (Rahman and Wang 2016, doi
    10.1007/978-3-319-50835-1_22.)
    """

    def __init__(self, ignore: int = 255, *, sigmoid: bool = False) -> None:
        super().__init__(ignore, alpha=1.0, beta=1.0, sigmoid=sigmoid)


class GeneralisedDice(RegionLoss):
    """1 - 2 sum_c w_c sum(p t) / sum_c w_c (sum(p) + sum(t)), with w_c = 1 / sum(t)^2.

    Small classes count as much as large ones (arXiv 1707.03237, section 2). Classes without a
    pixel in the batch, whose weight would be infinite, take no part.
    """

    def compare(self, common: Tensor, predicted: Tensor, pixels: Tensor) -> Tensor:
        """One ratio of all classes that have pixels."""
        present = pixels > 0
        weights = pixels.where(present, 1).pow(-2).where(present, 0)
        weights = weights / weights.amax().where(present.any(), 1)  # of any size, the ratio stays
        whole = (weights * (predicted + pixels)).sum()
        lacking = 1 - 2 * (weights * common).sum() / whole.where(whole > 0, 1)
        return lacking.where(whole > 0, 0)


class LovaszSoftmax(nn.Module):
    """The Lovász extension of 1 - IoU at the errors of softmax probabilities.

    For each class, errors m = |t - p| are sorted from the highest down, and multiplied with what
    each adds to the Jaccard loss of the pixels up to it; the loss is the mean over the classes
    that the target shows. (arXiv 1705.08790, algorithm 1, over the whole batch.)

    With I pixels of the class that are still met and U in the union after a pixel, a pixel of the
    class adds 1 / U and another one I / (U (U - 1)): the differences of neighbours in algorithm 1,
    without what float32 loses in them.

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
            A scalar, float32; 0 where nothing is labelled.
        """
        classes = logits.shape[1]
        target = target.long().flatten()  # (pixels,)
        probability = logits.float().softmax(dim=1).movedim(1, 0).reshape(classes, -1)
        truth = target == torch.arange(classes, device=target.device)[:, None]
        errors = (truth.float() - probability).abs()
        # Below all others, so that they are sorted last, and cut to 0 with no gradient.
        errors = errors.where(target != self.ignore, -1)
        ranked, order = errors.sort(dim=1, descending=True)
        gains = _jaccard_gains(truth.gather(1, order))
        losses = (ranked.clamp(min=0) * gains).sum(dim=1)
        present = truth.any(dim=1)
        return losses.where(present, 0).sum() / present.sum().clamp(min=1)


def _jaccard_gains(truth: Tensor) -> Tensor:
    """What each pixel (classes, pixels), taken for wrong in this order, adds to 1 - IoU."""
    pixels = truth.sum(dim=1, keepdim=True)
    wrong_of_class = truth.cumsum(dim=1)  # integers: exact, and the same at every run
    wrong_of_others = (~truth).cumsum(dim=1)
    met = (pixels - wrong_of_class).float()
    union = (pixels + wrong_of_others).float()
    return torch.where(truth, 1 / union.clamp(min=1), met / (union * (union - 1)).clamp(min=1))
