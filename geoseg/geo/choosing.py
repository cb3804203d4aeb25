"""Which places to label next: those that stand for most of what is in doubt or unlike labels.

Taking the places of most doubt (Lewis and Gale 1994, https://arxiv.org/abs/cmp-lg/9407020) picks
the same difficulty again and again, shifts the shares of the classes, and passes over what a model
has never seen, of which it may be sure and wrong. So places are chosen as medoids: each place
should look like one that is labelled or chosen, those in doubt the more so. Such a choice covers
what is there, as core sets do (Sener and Savarese 2018, https://arxiv.org/abs/1708.00489), in
proportion to doubt, as with weighted k-means (Zhdanov 2019, https://arxiv.org/abs/1901.05954).
What is covered grows less with each place (it is submodular), so that taking the best one after the
other is near the best set there is (Nemhauser et al. 1978, doi:10.1007/BF01588971).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]

MOST_LABELLED = 0.1
"""Share of a place that may be labelled already."""

MOST = 4096
"""Places that are compared with each other; of more, so many are drawn by lot."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Places of equal size that may be labelled; n of them."""

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

    labelled: Floats
    """(n,) share of each that is labelled already; those above `MOST_LABELLED` are never chosen."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One chosen place, and why."""

    index: int
    """Among the candidates."""

    score: float
    """How much of all that is unlike labels, weighted by doubt, is so no longer: a share. Those of
    all choices add up to 1 at most."""

    doubt: float
    """Its mean uncertainty, in shares of the highest of all places."""

    strangeness: float
    """From 0 where a labelled or chosen place looks alike to 1 where none does."""


def choose(candidates: Candidates, count: int) -> list[Choice]:
    """Choose places one after the other, each with all before it in mind.

    Let d be the distance of the looks of a place from those of the labelled or chosen place that is
    most alike, after whitening (Mahalanobis 1936): uncorrelated over all places, of mean square 1.
    The place is chosen that makes the sum of w d^2 over all places least, where w is 1 + doubt /
    mean doubt: half of the weight lies on what the model is unsure of, the other half on all that
    is there. Rare classes get their share where they look like nothing else; what the map shows is
    not asked, as it shows none of a class that the model has never seen.

    Args:
        candidates: Where to choose from; of more than `MOST` so many are drawn, always the same.
        count: How many at most.

    Returns:
        Choices, best first; no two of them overlap. Fewer than `count` where there are no more.
    """
    fit: npt.NDArray[np.bool_] = (candidates.doubt > 0) & (candidates.labelled <= MOST_LABELLED)
    if not fit.any():
        return []
    known_places = _known_places(candidates.labelled)
    looks = _whitened(candidates.looks, fit | known_places)
    drawn = _lot(np.flatnonzero(fit))
    weights = 1 + candidates.doubt / candidates.doubt[fit].mean()
    cost = _Cost(looks[drawn], looks[known_places], weights[drawn])
    highest = float(candidates.doubt[fit].max())
    open_ = np.ones(len(drawn), np.bool_)
    chosen: list[Choice] = []
    while len(chosen) < count and open_.any():
        place, score = cost.best(open_)
        index = int(drawn[place])
        chosen.append(
            Choice(
                index=index,
                score=score,
                doubt=float(candidates.doubt[index]) / highest,
                strangeness=cost.strangeness(place),
            )
        )
        cost.take(place)
        open_ &= ~_overlaps(candidates, index)[drawn]
    return chosen


class _Cost:
    """What is unlike labels, and how much less of it a place would leave.

    Args:
        looks: (n, F) of the places to choose from.
        known: (m, F) of those that are labelled.
        weights: (n,) of the places.
    """

    def __init__(self, looks: Floats, known: Floats, weights: Floats) -> None:
        squares = (looks**2).sum(1)
        apart = squares[:, None] + squares - 2 * looks @ looks.T
        self._apart = np.maximum(apart, 0, out=apart).astype(np.float32)
        np.fill_diagonal(self._apart, 0)
        self._is_strange = not len(known)
        if self._is_strange:
            self._left = np.full(len(looks), float(self._apart.max()))
        else:
            self._left = cKDTree(known).query(looks)[0] ** 2
        self._weights = weights
        self._all = max(float(weights @ self._left), np.finfo(float).tiny)

    def best(self, open_: npt.NDArray[np.bool_]) -> tuple[int, float]:
        """The place that leaves least, and which share of all it takes away.

        Of places that take away as much, the one of the highest weight, and of these the first.
        """
        shares = np.full(len(open_), -1.0)
        for place in np.flatnonzero(open_):
            gain = self._weights @ np.maximum(self._left - self._apart[place], 0)
            shares[place] = gain / self._all
        order = np.lexsort((-self._weights, -np.round(shares, _DIGITS)))
        best = int(order[0])
        return best, float(shares[best])

    def strangeness(self, place: int) -> float:
        """How unlike all that is labelled or chosen a place is, from 0 to 1."""
        return 1.0 if self._is_strange else float(1 - np.exp(-np.sqrt(self._left[place])))

    def take(self, place: int) -> None:
        """Count a place as chosen."""
        self._left = np.minimum(self._left, self._apart[place])
        self._is_strange = False


_DIGITS = 9
"""Digits of shares that are told apart; further ones are rounding."""

_TOUCHING = 1e-6
"""Sides of a place by which two may overlap: no more than rounding makes of touching ones."""

_FLAT = 1e-9
"""Variance of standardized looks along an axis that is rounding, and not stretched."""


def _overlaps(candidates: Candidates, place: int) -> npt.NDArray[np.bool_]:
    """(n,) which places share ground with one."""
    within = np.abs(candidates.corners - candidates.corners[place])
    apart = np.abs(candidates.centres - candidates.centres[place])
    same = candidates.scene == candidates.scene[place]
    far = np.where(same[:, None], within, apart)
    return np.asarray((far < 1 - _TOUCHING).all(1), np.bool_)


def _known_places(labelled: Floats) -> npt.NDArray[np.bool_]:
    """(n,) which places lie on labels for the most part, or as far as any do."""
    highest = float(labelled.max(initial=0))
    return np.asarray(labelled > max(highest / 2, MOST_LABELLED), np.bool_)


def _lot(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """At most `MOST` of the places, in their order."""
    if len(places) <= MOST:
        return places
    drawn: npt.NDArray[np.int64] = np.random.default_rng(0).choice(places, MOST, replace=False)
    return np.sort(drawn)


def _whitened(looks: Floats, seen: npt.NDArray[np.bool_]) -> Floats:
    """Looks (n, axes) without correlation over those `seen`, of mean squared length 1."""
    spread = looks[seen].std(0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    centred = (looks - looks[seen].mean(0)) * scale
    values, axes = np.linalg.eigh(centred[seen].T @ centred[seen] / np.count_nonzero(seen))
    kept = values > _FLAT
    stretch = np.divide(1, np.sqrt(np.maximum(values, 0)), out=np.zeros_like(values), where=kept)
    return np.asarray(centred @ axes * stretch / np.sqrt(max(kept.sum(), 1)), np.float64)
