"""Runs of pixels that belong to one region of each of two maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.geo.compiled import compiled

Longs = npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Pixels side by side with one region and class in each of two maps; arrays (runs,)."""

    regions: tuple[Longs, Longs]
    """Numbers of the regions, in the first and in the second map."""

    classes: tuple[Longs, Longs]
    """Their class indices."""

    rows: Longs
    """Row of each run in its block."""

    pixels: Longs
    """Length of each run."""


def find_runs(
    regions: tuple[Longs, Longs], classes: tuple[npt.NDArray[Any], npt.NDArray[Any]]
) -> Runs:
    """Cut the rows of a block where either map comes to another region.

    Args:
        regions: Two of (height, width) numbers of regions.
        classes: Two of (height, width) class indices.
    """
    begins = _begins(*regions)
    places = np.flatnonzero(begins)
    first, second = (each.ravel()[places] for each in regions)
    one, two = (each.ravel()[places].astype(np.int64) for each in classes)
    return Runs(
        regions=(first, second),
        classes=(one, two),
        rows=places // begins.shape[1],
        pixels=np.diff(places, append=begins.size),
    )


@compiled
def _begins(first: Longs, second: Longs) -> npt.NDArray[np.bool_]:
    """Where a run begins: at the left edge, and where a number differs from its left one."""
    height, width = first.shape
    begins = np.ones((height, width), np.bool_)
    for row in range(height):
        for col in range(1, width):
            begins[row, col] = (
                first[row, col] != first[row, col - 1] or second[row, col] != second[row, col - 1]
            )
    return begins
