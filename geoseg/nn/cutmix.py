"""Boxes taken from other samples of the batch (CutMix, arXiv 1905.04899), for dense labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.chance import Chance, send
from geoseg.nn.geometric import Samples


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """A box of each sample, and whose pixels come into it; all (n,) int64 on the CPU."""

    partner: Tensor
    """Number of another sample of the batch."""

    top: Tensor
    """First row."""

    bottom: Tensor
    """Row after the last; not above `top` where nothing is taken."""

    left: Tensor
    """First column."""

    right: Tensor
    """Column after the last."""

    @classmethod
    def draw(cls, config: AugmentConfig, chance: Chance, shape: tuple[int, int]) -> Boxes:
        """Draw boxes in samples of a height and width.

        With s from Beta(alpha, alpha) a box has the sample's sides times sqrt(1 - s) and its
        middle anywhere; what reaches over the border is cut off.
        """
        left_over = torch.from_numpy(
            betaincinv(config.cutmix_alpha, config.cutmix_alpha, chance.share("cutmix").numpy())
        )
        happens = chance.happens("cutmix?", config.cutmix)
        half_side = (1 - left_over).sqrt() / 2 * happens
        # Each takes from the next of a random ring, so never from itself.
        ring = chance.share("cutmix_partner").argsort()
        partner = torch.empty_like(ring)
        partner[ring] = ring.roll(1)
        spans = []
        for name, side in zip(("cutmix_row", "cutmix_col"), shape, strict=True):
            middle, half = chance.share(name) * side, half_side * side
            spans += [(middle - half).round(), (middle + half).round()]
        top, bottom, left, right = (edge.long() for edge in spans)
        return cls(partner=partner, top=top, bottom=bottom, left=left, right=right)


def mix(samples: Samples, boxes: Boxes) -> Samples:
    """Put the pixels of each sample's partner into its box: image, mask and valid together."""
    if len(samples.mask) < 2 or not (boxes.bottom > boxes.top).any():
        return samples
    device = samples.mask.device
    height, width = samples.mask.shape[-2:]
    rows = torch.arange(height, device=device)[None, :, None]
    cols = torch.arange(width, device=device)[None, None]
    top, bottom, left, right = (
        send(edge, device)[:, None, None]
        for edge in (boxes.top, boxes.bottom, boxes.left, boxes.right)
    )
    taken = (rows >= top) & (rows < bottom) & (cols >= left) & (cols < right)  # (n, h, w)
    other = samples.select(send(boxes.partner, device))
    return Samples(
        image=torch.where(taken[:, None], other.image, samples.image),
        mask=torch.where(taken, other.mask, samples.mask),
        valid=torch.where(taken, other.valid, samples.valid),
    )
