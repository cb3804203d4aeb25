"""Votes of several class rasters on every pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import ConfigError, LabelError, LegendError, SceneError
from geoseg.geo.classes import class_values, strips
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.geo.values import count_values

Rule = Literal["weighted", "majority", "unanimous"]

_MOST = 1 << 30
"""The weights, as whole numbers, must stay far below what 64 bits hold."""


class Ballot:
    """Decides which class each pixel gets.

    Args:
        legend: The classes.
        weights: Weight of each raster, above 0.
        rule: `weighted`: the class with the largest sum of weights wins, of equal ones that of
            more rasters. `majority`: the class of the most rasters wins, of equal ones that with
            the larger sum of weights. Where both are equal, the first raster's choice among them.
            `unanimous`: a class wins only where all that vote choose it, else the background.

    Raises:
        ConfigError: If weights are not numbers above 0, or too far apart to be added exactly.
        LegendError: If there must be a background, and is none.
    """

    def __init__(self, legend: Legend, weights: Sequence[float], rule: Rule = "weighted") -> None:
        self.legend = legend
        self.rule = rule
        whole = whole_weights(weights)
        by_weight, by_number = sum(whole) + 1, len(whole) + 1
        # The second criterion is added below the last digit of the first.
        factor = by_weight if rule == "majority" else by_number
        first = [1] * len(whole) if rule == "majority" else whole
        second = whole if rule == "majority" else [1] * len(whole)
        self._shares = [a * factor + b for a, b in zip(first, second, strict=True)]
        self._dtype = np.int32 if sum(self._shares) < np.iinfo(np.int32).max else np.int64
        if rule == "unanimous" and legend.background is None:
            raise LegendError("legend", "has no background to fall back to", "Give --rule majority")

    def decide(self, votes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Count the votes.

        Args:
            votes: (rasters, height, width) class values; `ignore` does not vote.

        Returns:
            Class values (height, width); `ignore` where no raster votes.
        """
        return self._agreed(votes) if self.rule == "unanimous" else self._elected(votes)

    def _elected(self, votes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        winner: npt.NDArray[Any] = votes[0].copy()
        best = np.zeros(winner.shape, self._dtype)
        for choice in votes:
            score = np.zeros(winner.shape, self._dtype)
            for other, share in zip(votes, self._shares, strict=True):
                score += (other == choice) * self._dtype(share)
            # Only a larger score displaces the choice of a raster before.
            better = (score > best) & (choice != self.legend.ignore)
            winner[better] = choice[better]
            best[better] = score[better]
        winner[best == 0] = self.legend.ignore
        return winner

    def _agreed(self, votes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        background = self.legend.background
        agreed = np.full(votes.shape[1:], self.legend.ignore, votes.dtype)
        differs = np.zeros(votes.shape[1:], bool)
        for choice in votes:
            counts = choice != self.legend.ignore
            differs |= counts & (agreed != self.legend.ignore) & (agreed != choice)
            agreed[counts] = choice[counts]
        agreed[differs] = background.value if background is not None else self.legend.ignore
        return agreed


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Weights as whole numbers of the same ratios, so that sums are exact and ties are seen.

    Decimals count as they are written: 0.1 and 0.2 are as much as 0.3.

    Raises:
        ConfigError: If one is not above 0, or they are too far apart.

    Examples:
        >>> whole_weights([0.5, 0.25, 1])
        [2, 1, 4]
    """
    wrong = [w for w in weights if not (math.isfinite(w) and w > 0)]
    if wrong:
        raise ConfigError("--weights", f"{wrong[0]:g} is not above 0", "Give numbers above 0")
    exact = [Fraction(repr(float(w))) for w in weights]
    scale = math.lcm(*(f.denominator for f in exact))
    whole = [int(f * scale) for f in exact]
    divisor = math.gcd(*whole)
    whole = [w // divisor for w in whole]
    if sum(whole) * (len(whole) + 1) > _MOST:
        raise ConfigError("--weights", "are too far apart", "Give fewer decimals")
    return whole


def check_alike(scenes: Sequence[Scene]) -> None:
    """Refuse class rasters that do not lie on one grid.

    Raises:
        SceneError: If sizes, CRSs or places differ.
    """
    first = scenes[0]
    for scene in scenes[1:]:
        if not scene.grid.matches(first.grid):
            raise SceneError(
                scene.path,
                f"lies on another grid than {first.path}: {_place(scene)} against {_place(first)}",
                "Bring them onto one grid: gdalwarp -r near -tap",
            )


def check_names(legend: Legend, others: Sequence[tuple[str, Legend]]) -> None:
    """Refuse class rasters that call a value otherwise.

    Args:
        legend: The classes of the result.
        others: Path and legend of the rasters that tell one.

    Raises:
        LegendError: If a value has another name.
    """
    names = dict(zip(legend.values, legend.names, strict=True))
    for path, other in others:
        for entry in other.classes:
            if names.get(entry.value, entry.name) != entry.name:
                raise LegendError(
                    path,
                    f'value {entry.value} is "{entry.name}", elsewhere "{names[entry.value]}"',
                    "Relabel it, or give the legend of all by --legend",
                )


def ballots(scenes: Sequence[Scene], ballot: Ballot) -> Iterator[tuple[Window, npt.NDArray[Any]]]:
    """Decide window by window.

    Args:
        scenes: Class rasters on one grid.
        ballot: How to decide.

    Yields:
        Whole rows from the top down, and their class values (height, width).

    Raises:
        LabelError: If a raster holds values that are not in the legend.
        SceneError: If a file is damaged.
    """
    legend = ballot.legend
    rows = max(window.height for window in strips(scenes[0])) // len(scenes) or 1
    height, width = scenes[0].grid.shape
    for top in range(0, height, rows):
        window = Window(0, top, width, min(rows, height - top))
        votes = np.stack([_votes(scene, window, legend) for scene in scenes])
        yield window, ballot.decide(votes)


def _votes(scene: Scene, window: Window, legend: Legend) -> npt.NDArray[Any]:
    raster = scene.read(window)
    found = count_values(raster.data[0][raster.valid])
    try:
        legend.check(found, scene.path)
    except LabelError:
        legend.check(_count_all(scene), scene.path)
        raise
    return class_values(raster.data[0], raster.valid, legend)


def _count_all(scene: Scene) -> dict[int, int]:
    counts: dict[int, int] = {}
    for window in strips(scene):
        raster = scene.read(window)
        for value, pixels in count_values(raster.data[0][raster.valid]).items():
            counts[value] = counts.get(value, 0) + pixels
    return counts


def _place(scene: Scene) -> str:
    grid = scene.grid
    crs = "no CRS" if grid.crs is None else ":".join(grid.crs.to_authority() or ("custom CRS",))
    left, top = grid.transform.c, grid.transform.f
    return f"{grid.height} x {grid.width} pixels, {crs}, corner {left:.10g} {top:.10g}"
