"""Which places to label next: unsure or unlike what is known, of rare classes, far from labels.

Uncertainty sampling (Lewis and Gale 1994, https://arxiv.org/abs/cmp-lg/9407020) alone has two
failings. It passes over what a model has never seen, of which it may be sure and wrong: so places
also count by how far their looks are from all that is labelled or chosen, as core sets do (Sener
and Savarese 2018, https://arxiv.org/abs/1708.00489). And it picks the same difficulty again and
again: so classes count by how rare they are in what is labelled and chosen, and ground near to
that counts for less.
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

    looks: Floats
    """(n, F) what each looks like, such as means and deviations of bands; any units."""

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
    """Mean of doubt and strangeness, times rarity, times novelty."""

    doubt: float
    """Its mean uncertainty, in shares of the highest of all places."""

    strangeness: float
    """From 0 where a labelled or chosen place looks alike to 1 where none does."""

    rarity: float
    """Mean weight of the classes that the map shows there; 1 where they are as common as all."""

    novelty: float
    """From 0 beside labels or chosen places to 1 far from all."""


def choose(
    candidates: Candidates, count: int, known: npt.NDArray[np.float64], *, reach: float = 1.0
) -> list[Choice]:
    """Choose places one after the other, each with all before it in mind.

    Score of a place: the mean of its doubt and its strangeness, times the mean over its pixels of
    the weight of the class that the map shows there (the inverse root of the class's share of
    what is labelled and chosen, scaled to a mean of 1), times 1 - exp(-distance / reach) to the
    nearest label or chosen place. Strangeness is 1 - exp(-d), where d is the root of the mean
    squared difference from the most alike labelled or chosen place, over all looks, each in
    standard deviations of all places.

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
    distance = _distances(candidates.centres, candidates.labelled)
    looks = _standard(candidates.looks)
    unlike = _distances(looks, candidates.labelled)
    doubt = candidates.doubt / max(candidates.doubt.max(initial=0), np.finfo(float).tiny)
    open_: npt.NDArray[np.bool_] = (candidates.doubt > 0) & ~candidates.labelled
    chosen: list[Choice] = []
    while len(chosen) < count and open_.any():
        rarity = shares @ _weights(have)
        novelty, strangeness = 1 - np.exp(-distance / reach), 1 - np.exp(-unlike)
        score = np.where(open_, (doubt + strangeness) / 2 * rarity * novelty, -1.0)
        best = int(score.argmax())
        chosen.append(
            Choice(
                index=best,
                score=float(score[best]),
                doubt=float(doubt[best]),
                strangeness=float(strangeness[best]),
                rarity=float(rarity[best]),
                novelty=float(novelty[best]),
            )
        )
        apart = np.abs(candidates.centres - candidates.centres[best])
        open_ = open_ & ~_overlaps(candidates, best, apart)
        distance = np.minimum(distance, np.hypot(*apart.T))
        unlike = np.minimum(unlike, np.linalg.norm(looks - looks[best], axis=1))
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


def _standard(looks: Floats) -> Floats:
    """Looks in standard deviations, scaled such that distances are root mean squares."""
    spread = looks.std(0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    return np.asarray((looks - looks.mean(0)) * scale / np.sqrt(max(looks.shape[1], 1)), np.float64)


def _distances(positions: Floats, labelled: npt.NDArray[np.bool_]) -> Floats:
    """(n,) from each place to the nearest labelled one; infinite where there is none."""
    if not labelled.any():
        return np.full(len(positions), np.inf)
    found, _ = cKDTree(positions[labelled]).query(positions)
    return np.asarray(found, np.float64)
