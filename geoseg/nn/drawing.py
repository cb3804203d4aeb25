"""How often each pair is drawn in an epoch: uniform, balanced by class, rare classes, hard pairs.

All draws are systematic: of what is to come n times on average, with n a fraction, an epoch has
the next whole number below or above n, and chance decides which. That gives the averages of
independent draws with far less noise about them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

SamplingName = Literal["uniform", "balanced", "rare", "hard"]
Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

ANYWHERE = -1
"""Focus of a sample whose place on its pair no class decides."""


class Group(NamedTuple):
    """Pairs that together get a share of the draws: one of several tile sets."""

    pairs: Numbers
    """Their numbers."""

    share: float
    """What they get, in proportion to the shares of the other groups."""


class Draws(NamedTuple):
    """What an epoch shows, in its order."""

    pairs: Numbers
    """Numbers of the pairs (draws,)."""

    focus: Numbers
    """Class (draws,), in legend order, around one of whose pixels each sample lies; or
    `ANYWHERE`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """How often each pair comes."""

    pairs: int
    """Number of pairs."""

    sampling: SamplingName = "uniform"
    """`uniform`: all alike. `balanced`: a class, all alike, then a pair in proportion to its
    pixels of that class. `rare`: by `repeat_factors`. `hard`: in part by the last loss."""

    class_pixels: Numbers | None = None
    """Labelled pixels of each class (pairs, classes); wanted for `balanced` and `rare`."""

    weights: Reals | None = None
    """How often each pair comes (pairs,), beside what `sampling` does; None is all alike."""

    groups: tuple[Group, ...] = ()
    """Shares of the draws of groups of pairs; none leave all in one."""

    rare_below: float = 0.1
    """Share of the pairs below which a class is `rare`."""

    hard_share: float = 0.5
    """Share of the draws of `hard` that goes by the loss; the others are uniform."""

    @classmethod
    def uniform(cls, pairs: int) -> Drawing:
        """All pairs equally often."""
        return cls(pairs=pairs)

    @property
    def natural_count(self) -> int:
        """Draws of an epoch where nobody says: the pairs, those with rare classes repeated."""
        if self.sampling != "rare":
            return self.pairs
        return max(1, round(float(repeat_factors(self._class_pixels, self.rare_below).sum())))

    def draw(
        self, count: int, rng: np.random.Generator, losses: npt.NDArray[np.float32] | None = None
    ) -> Draws:
        """Draw the pairs of an epoch.

        Args:
            count: How many.
            rng: The source of chance.
            losses: Last loss of each pair (pairs,), NaN where it was never seen; for `hard`.
        """
        if not self.groups:
            return self._draw(np.arange(self.pairs), count, rng, losses)
        shares = np.array([group.share for group in self.groups])
        counts = np.bincount(systematic(shares, count, rng), minlength=len(shares))
        parts = [
            self._draw(group.pairs, int(n), rng, losses)
            for group, n in zip(self.groups, counts, strict=True)
        ]
        return _mixed(parts, rng)

    def _draw(
        self,
        pairs: Numbers,
        count: int,
        rng: np.random.Generator,
        losses: npt.NDArray[np.float32] | None,
    ) -> Draws:
        """Draw from some of the pairs."""
        if count == 0:
            return _anywhere(np.empty(0, np.int64))
        weights = self._factors[pairs]
        if self.sampling == "balanced":
            return self._draw_balanced(pairs, count, rng)
        if self.sampling == "hard" and losses is not None:
            chosen = self._draw_hard(weights, losses[pairs], count, rng)
            return _anywhere(pairs[rng.permutation(chosen)])
        if (weights == weights[0]).all():
            rounds = -(-count // len(pairs))
            order = np.concatenate([rng.permutation(len(pairs)) for _ in range(rounds)])
            return _anywhere(pairs[order[:count]])
        return _anywhere(pairs[rng.permutation(systematic(weights, count, rng))])

    def _draw_balanced(self, pairs: Numbers, count: int, rng: np.random.Generator) -> Draws:
        pixels = self._class_pixels[pairs] * self._factors[pairs, None]
        present = np.flatnonzero(pixels.sum(axis=0) > 0)
        counts = np.bincount(systematic(np.ones(len(present)), count, rng), minlength=len(present))
        parts = [
            Draws(pairs[systematic(pixels[:, index], int(n), rng)], np.full(n, index))
            for index, n in zip(present.tolist(), counts, strict=True)
        ]
        return _mixed(parts, rng)

    def _draw_hard(
        self,
        weights: Reals,
        losses: npt.NDArray[np.float32],
        count: int,
        rng: np.random.Generator,
    ) -> Numbers:
        """What was never seen once each, then a part by the loss and the rest by the weights."""
        unseen = rng.permutation(np.flatnonzero(np.isnan(losses) & (weights > 0)))[:count]
        by_loss = weights * np.nan_to_num(losses.astype(np.float64))
        left = count - len(unseen)
        shares = np.array([self.hard_share if by_loss.any() else 0.0, 1 - self.hard_share])
        if not shares.any():  # only hard ones are wanted, but nothing has a loss yet
            shares[1] = 1.0
        hard, rest = np.bincount(systematic(shares, left, rng), minlength=2)
        return np.concatenate(
            [unseen, systematic(by_loss, int(hard), rng), systematic(weights, int(rest), rng)]
        )

    @cached_property
    def _factors(self) -> Reals:
        """How often each pair comes, up to a factor, where nothing else is asked of it."""
        weights = np.ones(self.pairs) if self.weights is None else self.weights
        if self.sampling == "rare":
            weights = weights * repeat_factors(self._class_pixels, self.rare_below)
        return weights

    @property
    def _class_pixels(self) -> Numbers:
        if self.class_pixels is None:
            raise ValueError(f"{self.sampling} draws want the pixels of each class")
        return self.class_pixels


def repeat_factors(class_pixels: Numbers, below: float) -> Reals:
    """How often pairs come so that rare classes are seen: repeat-factor sampling of LVIS.

    A pair comes as often as its rarest class asks for (arXiv 1908.03195).

    Args:
        class_pixels: Labelled pixels of each class (pairs, classes).
        below: Share of the pairs (0 to 1) from which on a class is not rare.

    Returns:
        Factors (pairs,), 1 or more; 0 for pairs without a label.
    """
    repeats = class_repeats(class_pixels, below)
    factors: Reals = np.where(class_pixels > 0, repeats, 0.0).max(axis=1)
    return factors


def class_repeats(class_pixels: Numbers, below: float) -> Reals:
    """How often each class asks to come: max(1, sqrt(below / f)), f the share that shows it.

    Args:
        class_pixels: Labelled pixels of each class (pairs, classes).
        below: Share of the pairs (0 to 1) from which on a class is not rare.

    Returns:
        Factors (classes,), 1 or more; 1 for classes that are nowhere.
    """
    shares = (class_pixels > 0).mean(axis=0)
    repeats: Reals = np.sqrt(below / np.where(shares > 0, shares, np.inf)).clip(min=1.0)
    return repeats


def tell_repeats(drawing: Drawing, names: Sequence[str]) -> None:
    """Log which classes are rare; warn where none is, so that nothing is repeated.

    Args:
        drawing: Any; only one by rare classes is told.
        names: Of the classes, in legend order.
    """
    if drawing.sampling != "rare" or drawing.class_pixels is None:
        return
    repeats = class_repeats(drawing.class_pixels, drawing.rare_below)
    rare = [
        f"{name} {factor:.2g}" for name, factor in zip(names, repeats, strict=True) if factor > 1
    ]
    if rare:
        logger.info("what shows a rare class comes so many times: %s", ", ".join(rare))
    else:
        logger.warning(
            "no class is in less than %.3g %% of what there is to draw: data.sampling = rare draws "
            "like uniform; raise data.rare_below",
            100 * drawing.rare_below,
        )


def systematic(weights: Reals, count: int, rng: np.random.Generator) -> Numbers:
    """Draw in proportion to weights, each as often as its average, rounded down or up.

    Args:
        weights: 0 or more each (n,), not all 0 unless `count` is.
        count: How many.
        rng: The source of chance; it also says whom rounding favours.

    Returns:
        Numbers (count,) from 0 to n - 1, not in an order of chance.
    """
    if count == 0:
        return np.empty(0, np.int64)
    order = rng.permutation(np.flatnonzero(weights > 0))
    ends = np.cumsum(weights[order])
    points = (np.arange(count) + rng.random()) * (ends[-1] / count)
    chosen = np.searchsorted(ends, points, side="right").clip(max=len(order) - 1)
    return np.asarray(order[chosen], np.int64)


def _anywhere(pairs: Numbers) -> Draws:
    return Draws(pairs, np.full(len(pairs), ANYWHERE))


def _mixed(parts: Sequence[Draws], rng: np.random.Generator) -> Draws:
    """Parts in an order of chance."""
    order = rng.permutation(sum(len(part.pairs) for part in parts))
    return Draws(*(np.concatenate(columns)[order] for columns in zip(*parts, strict=True)))
