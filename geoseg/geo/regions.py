"""Regions of a class raster: 4-connected pixels of one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Every pixel's region, and what each region is."""

    labels: npt.NDArray[np.int32]
    """(height, width) the region of each pixel, from 1, in the order of their first pixels."""

    values: npt.NDArray[Any]
    """(regions + 1,) the value of each region's pixels; place 0 is unused."""

    pixels: npt.NDArray[np.int64]
    """(regions + 1,) pixels of each region; place 0 is unused."""

    areas: npt.NDArray[np.float64]
    """(regions + 1,) true area of each region in square metres; place 0 is unused."""


def label_regions(values: npt.NDArray[Any], row_areas: npt.NDArray[np.float64]) -> Regions:
    """Number the 4-connected regions of equal value, all values at once.

    Runs of equal pixels in a row are the nodes of a graph, runs that touch in neighbouring
    rows its edges; its connected components are the regions.

    Args:
        values: (height, width) integers.
        row_areas: (height,) area of one pixel of each row, as `Grid.row_areas` tells it.

    Returns:
        The regions.
    """
    height, width = values.shape
    begins = np.ones(values.shape, bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=begins[:, 1:])
    runs = np.cumsum(begins, dtype=np.int32).reshape(values.shape)
    runs -= 1
    firsts = np.flatnonzero(begins)
    count, component = connected_components(_touching_runs(values, begins, runs), directed=False)
    lengths = np.diff(firsts, append=height * width)
    region_values = np.zeros(count + 1, values.dtype)
    region_values[component + 1] = values.ravel()[firsts]
    return Regions(
        labels=_relabel(runs, component.astype(np.int32) + 1),
        values=region_values,
        pixels=np.bincount(component + 1, lengths, count + 1).astype(np.int64),
        areas=_areas(component + 1, lengths, row_areas[firsts // width], count + 1),
    )


def _touching_runs(
    values: npt.NDArray[Any], begins: npt.NDArray[np.bool_], runs: npt.NDArray[np.int32]
) -> csr_array:
    """The graph of runs: each with the runs of equal value that it touches in the row below."""
    touching = values[1:] == values[:-1]
    touching &= begins[1:] | begins[:-1]
    upper, lower = runs[:-1][touching], runs[1:][touching]
    count = int(runs[-1, -1]) + 1
    # `upper` ascends, so the pairs are sorted already as the sparse format wants them.
    indptr = np.concatenate([[0], np.cumsum(np.bincount(upper, minlength=count))])
    ones = np.ones(len(lower), np.int8)
    return csr_array((ones, lower, indptr.astype(np.int32)), shape=(count, count))


def _relabel(runs: npt.NDArray[np.int32], table: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Replace each number by its entry in `table`, in place, a few rows at a time."""
    for row in range(0, len(runs), 256):
        block = runs[row : row + 256]
        block[:] = table[block]
    return runs


def _areas(
    regions: npt.NDArray[Any],
    lengths: npt.NDArray[np.int64],
    pixel_areas: npt.NDArray[np.float64],
    count: int,
) -> npt.NDArray[np.float64]:
    """Sum the areas of runs; where all pixels are alike, exactly their number times one area."""
    if np.ptp(pixel_areas) == 0:
        areas = np.bincount(regions, lengths, count) * pixel_areas[0]
        return np.asarray(areas, np.float64)
    return np.asarray(np.bincount(regions, lengths * pixel_areas, count), np.float64)
