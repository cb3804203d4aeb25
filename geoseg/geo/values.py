"""Counting which values a raster or an array holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError
from geoseg.geo.gdal import GDAL_ERRORS, open_dataset, reason

_LISTED = 12
"""How many unknown values an error lists before it only counts."""


def count_raster_values(path: Path | str) -> dict[int, int]:
    """Count the valid pixels of each value of a raster's first band, block by block.

    Returns:
        Values in ascending order with their pixels.

    Raises:
        LabelError: If the raster cannot be read, or holds fractions.
    """
    counts: Counter[int] = Counter()
    try:
        with open_dataset(str(path)) as dataset:
            if np.dtype(dataset.dtypes[0]).kind not in "ui":
                raise LabelError(path, f"holds {dataset.dtypes[0]}, not classes", "Round it first")
            for _, window in dataset.block_windows(1):
                valid = dataset.read_masks(1, window=window) > 0
                counts.update(count_values(dataset.read(1, window=window)[valid]))
    except GDAL_ERRORS as error:
        raise LabelError(path, f"cannot be read ({reason(error)})", "Restore the file") from error
    return dict(sorted(counts.items()))


def count_values(values: npt.NDArray[Any]) -> dict[int, int]:
    """Count how often each value of an integer array of any shape occurs."""
    if values.dtype in (np.uint8, np.uint16):
        counts = np.bincount(values.ravel())
        found = np.flatnonzero(counts)
        return dict(zip(found.tolist(), counts[found].tolist(), strict=True))
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def list_counts(counts: Mapping[Any, int], unit: str) -> str:
    """Write values with their counts, the most frequent first, for an error message."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    text = ", ".join(f"{value} ({count} {unit})" for value, count in ordered[:_LISTED])
    rest = len(ordered) - _LISTED
    return f"{text} and {rest} more" if rest > 0 else text
