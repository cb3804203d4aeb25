"""Which places to label next: unsure, of rare classes, far from each other and from labels.

Uncertainty sampling in the sense of Lewis and Gale 1994 (https://arxiv.org/abs/cmp-lg/9407020),
tempered by two rules against its known failing, to pick the same difficulty again and again:
classes count by how rare they are among what is labelled and chosen, and ground near to that
counts for less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Places of equal size that may be labelled; n of them, of C classes."""

    scene: npt.NDArray[np.int64]
    """(n,) number of the scene that each lies in."""

    corners: Floats
    """(n, 2) row and column of their upper left pixels in that scene, in sides of a place."""

    centres: Floats
    """(n, 2) x and y of their middles on a plane that all scenes share, in sides of a place."""

    doubt: Floats
    """(n,) mean uncertainty of each, 0 to 1; 0 rules a place out."""

    classes: Floats
    """(n, C) ground of each class that the map shows there, in any unit."""

    labelled: npt.NDArray[np.bool_]
    """(n,) whether there are labels already; these are never chosen."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One chosen place, and why."""

    index: int
    """Among the candidates."""

    score: float
    """The product of the three below."""

    doubt: float
    """Its mean uncertainty."""

    rarity: float
    """Mean weight of the classes that the map shows there; 1 where they are as common as all."""

    novelty: float
    """From 0 beside labels or chosen places to 1 far from all."""


def choose(
    candidates: Candidates, count: int, known: npt.NDArray[np.float64], *, reach: float = 1.0
) -> list[Choice]:
    """Choose places one after the other, each with all before it in mind.

    Score of a place: its doubt, times the mean over its pixels of the weight of the class that
    the map shows there (the inverse root of the class's share of what is labelled and chosen,
    scaled to a mean of 1), times 1 - exp(-distance / reach) to the nearest label or chosen place.

    Args:
        candidates: Where to choose from.
        count: How many at most.
        known: (C,) ground of each class that is labelled already.
        reach: Sides of a place within which another is of little news.

    Returns:
        Choices, best first; no two of them overlap. Fewer than `count` where there are no more.
    """
    shares = _shares(candidates.classes)
    have = known.astype(np.float64).copy()
    distance = _distances(candidates)
    open_: npt.NDArray[np.bool_] = (candidates.doubt > 0) & ~candidates.labelled
    chosen: list[Choice] = []
    while len(chosen) < count and open_.any():
        rarity = shares @ _weights(have)
        novelty = 1 - np.exp(-distance / reach)
        score = np.where(open_, candidates.doubt * rarity * novelty, -1.0)
        best = int(score.argmax())
        chosen.append(
            Choice(
                index=best,
                score=float(score[best]),
                doubt=float(candidates.doubt[best]),
                rarity=float(rarity[best]),
                novelty=float(novelty[best]),
            )
        )
        apart = np.abs(candidates.centres - candidates.centres[best])
        open_ = open_ & ~_overlaps(candidates, best, apart)
        distance = np.minimum(distance, np.hypot(*apart.T))
        have += candidates.classes[best]
    return chosen


_TOUCHING = 1e-6
"""Sides of a place by which two may overlap: no more than rounding makes of touching ones."""

_SMOOTHING = 0.01
"""Share that each class is taken to have beside its own, so that none weighs without bound."""


def _overlaps(candidates: Candidates, place: int, apart: Floats) -> npt.NDArray[np.bool_]:
    """(n,) which places share ground with one; `apart` tells how far their middles are."""
    within = np.abs(candidates.corners - candidates.corners[place])
    same = candidates.scene == candidates.scene[place]
    far = np.where(same[:, None], within, apart)
    return np.asarray((far < 1 - _TOUCHING).all(1), np.bool_)


def _shares(classes: Floats) -> Floats:
    totals = classes.sum(1, keepdims=True)
    shares: Floats = np.divide(classes, totals, out=np.zeros_like(classes), where=totals > 0)
    return shares


def _weights(have: Floats) -> Floats:
    """(C,) weight of each class, 1 on average over the pixels there are."""
    total = have.sum()
    shares = have / total if total > 0 else np.full(len(have), 1 / len(have))
    weights = 1 / np.sqrt(shares + _SMOOTHING)
    return np.asarray(weights / (shares @ weights), np.float64)


def _distances(candidates: Candidates) -> Floats:
    """(n,) to the nearest labelled place, in sides of a place; infinite where there is none."""
    labelled = candidates.centres[candidates.labelled]
    if not len(labelled):
        return np.full(len(candidates.centres), np.inf)
    found, _ = cKDTree(labelled).query(candidates.centres)
    return np.asarray(found, np.float64)
