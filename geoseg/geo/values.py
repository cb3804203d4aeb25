"""Counting which values a raster or an array holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg.errors import LabelError
from geoseg.geo.gdal import GDAL_ERRORS, open_dataset, reason

_PIXELS = 1 << 22
"""Pixels read at a time, unless a row of blocks has more."""

_TABLE = 65535
"""Up to this value counts are kept in a table; beyond it values are sorted."""

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
            for window in _windows(dataset):
                valid = dataset.read_masks(1, window=window) > 0
                counts.update(count_values(dataset.read(1, window=window), valid))
    except GDAL_ERRORS as error:
        raise LabelError(path, f"cannot be read ({reason(error)})", "Restore the file") from error
    return dict(sorted(counts.items()))


def _windows(dataset: DatasetReader) -> Iterator[Window]:
    """The blocks of a raster; where they are small, whole rows of them, which is fewer calls."""
    height, _ = dataset.block_shapes[0]
    rows = _PIXELS // dataset.width // height * height
    if rows == 0:
        yield from (window for _, window in dataset.block_windows(1))
        return
    for row in range(0, dataset.height, rows):
        yield Window(0, row, dataset.width, min(rows, dataset.height - row))


def count_values(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None
) -> dict[int, int]:
    """Count how often each value of an integer array occurs.

    Args:
        values: Integers of any shape.
        valid: Where to count, in the same shape; None for everywhere.

    Returns:
        Values in ascending order with their counts.
    """
    if valid is not None and not valid.any():
        return {}
    if values.dtype == np.uint8:
        counts = np.array(_histogram(values, valid))
    else:
        values = values.ravel() if valid is None else values[valid]
        if values.size == 0 or values.min() < 0 or values.max() > _TABLE:
            found, counts = np.unique(values, return_counts=True)
            return dict(zip(found.tolist(), counts.tolist(), strict=True))
        counts = np.bincount(values)
    found = np.flatnonzero(counts)
    return dict(zip(found.tolist(), counts[found].tolist(), strict=True))


def _histogram(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None) -> list[int]:
    """Counts of all bytes: Pillow reads them as they are, NumPy makes wide integers of them."""
    if values.size == 0:
        return [0]
    mask = None if valid is None else Image.fromarray(valid.reshape(1, -1).view(np.uint8))
    return Image.fromarray(values.reshape(1, -1)).histogram(mask)


def look_up(table: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Replace values by what a table has for them.

    Bytes are translated by Python, three times as fast as NumPy, which makes wide integers of them.

    Args:
        table: (256 or more,) what stands for each value.
        values: Unsigned integers of any shape, each a place in the table.

    Returns:
        Entries of the table, in the shape of `values`; they may be written to.
    """
    if values.dtype != np.uint8 or table.itemsize != 1:
        return table.take(values)
    entries = bytearray(values.tobytes()).translate(table[:256].tobytes())
    return np.ndarray(values.shape, table.dtype, buffer=entries)


def list_counts(counts: Mapping[Any, int], unit: str) -> str:
    """Write values with their counts, the most frequent first, for an error message."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    text = ", ".join(f"{value} ({count} {unit})" for value, count in ordered[:_LISTED])
    rest = len(ordered) - _LISTED
    return f"{text} and {rest} more" if rest > 0 else text
