"""Which pixels of a class raster a stratified random sample holds, drawn by lot.

Pixels of a class are drawn one after the other without replacement, each with a chance in
proportion to its area among those that are left. Where all pixels have one area, that is a simple
random sample of each class; on a grid in degrees, where they have not, a point is as likely on
every square metre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Drawn pixels, as they can be told before the raster is read again; arrays (n,)."""

    rows: Longs
    """Row of each pixel."""

    classes: Longs
    """Class index of each pixel."""

    ordinals: Longs
    """Which pixel of its class in its row it is, from the left, from 0."""


def allocate(areas: Floats, pixels: Longs, count: int, least: int) -> Longs:
    """Deal the points of a sample to the classes: in proportion to area, with a floor.

    The floor is for rare classes, whose user's accuracy would rest on a handful of points
    otherwise (Olofsson et al. 2014, section 3.1.2). A class never gets more points than pixels.

    Args:
        areas: (C,) area of each class.
        pixels: (C,) pixels of each class.
        count: Points in all.
        least: Points of a class that is there, at least.

    Returns:
        (C,) points of each class; their sum is `count`, or all pixels where these are fewer.

    Raises:
        ConfigError: If `count` does not suffice for the floors.
    """
    floors = np.minimum(pixels, least)
    if floors.sum() > count:
        raise ConfigError(
            "--count",
            f"{count} is less than {np.count_nonzero(pixels)} classes need, {floors.sum()} points "
            f"with {least} each",
            "Give more, or a lower --min-per-class",
        )
    points, free = np.zeros(len(areas), np.int64), pixels > 0
    shares = np.zeros(len(areas))
    while free.any():
        shares[free] = (count - points[~free].sum()) * areas[free] / areas[free].sum()
        low, high = free & (shares < floors), free & (shares > pixels)
        bound = low if low.any() else high
        if not bound.any():
            break
        points[bound] = np.where(low, floors, pixels)[bound]
        free &= ~bound
    points[free] = _rounded(shares[free])
    return points


def draw(counts: Longs, row_areas: Floats, points: Longs, seed: int) -> Picks:
    """Draw the pixels of every class.

    Args:
        counts: (height, C) pixels of each class in each row.
        row_areas: (height,) area of a pixel of each row.
        points: (C,) how many of each class.
        seed: Equal seeds draw equal pixels of equal rasters.

    Returns:
        The pixels of all classes in an order that is drawn, too, so that it tells no class.
    """
    parts = [
        _draw_class(counts[:, index], row_areas, int(number), np.random.default_rng([seed, index]))
        for index, number in enumerate(points)
    ]
    rows, ordinals = np.concatenate(parts, axis=1)
    classes = np.repeat(np.arange(len(points)), points)
    order = np.random.default_rng([seed, len(points)]).permutation(len(classes))
    return Picks(rows=rows[order], classes=classes[order], ordinals=ordinals[order])


def _rounded(shares: Floats) -> Longs:
    """Whole numbers of the same sum; the largest remainders are rounded up."""
    whole = np.floor(shares + 1e-9).astype(np.int64)
    missing = round(shares.sum()) - int(whole.sum())
    whole[np.argsort(whole - shares, kind="stable")[:missing]] += 1
    return whole


def _draw_class(counts: Longs, row_areas: Floats, number: int, rng: np.random.Generator) -> Longs:
    """Draw pixels of one class: (2, n) rows and ordinals."""
    total = int(counts.sum())
    if 2 * number <= total:
        return _draw_few(counts, row_areas, number, rng)
    rows = np.repeat(np.arange(len(counts)), counts)
    ordinals = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    # The smallest of exponential times with rates in proportion to area (Efraimidis and
    # Spirakis 2006, doi:10.1016/j.ipl.2005.11.003) are draws without replacement.
    times = rng.exponential(size=total) / row_areas[rows]
    chosen = np.argsort(times, kind="stable")[:number]
    return np.stack([rows[chosen], ordinals[chosen]])


def _draw_few(counts: Longs, row_areas: Floats, number: int, rng: np.random.Generator) -> Longs:
    """Draw again and again, and leave out what was drawn before."""
    reach = np.cumsum(counts * row_areas)
    drawn: dict[tuple[int, int], None] = {}
    while len(drawn) < number:
        places = rng.random(number - len(drawn)) * reach[-1]
        rows = np.minimum(np.searchsorted(reach, places, side="right"), len(counts) - 1)
        rows = rows[counts[rows] > 0]
        ordinals = rng.integers(0, counts[rows])
        drawn |= dict.fromkeys(zip(rows.tolist(), ordinals.tolist(), strict=True))
    return np.array(list(drawn), np.int64).reshape(-1, 2).T
