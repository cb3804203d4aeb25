"""Where a raster holds data: nodata values, NaN, alpha and mask bands under one rule.

As in GDAL's dataset mask a pixel is valid while any band is, and a mask band, where there is one,
decides instead of the nodata value. Unlike there NaN and infinite values are never data, and a
nodata value and an alpha band hide both.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

Validity = Literal["all", "values", "mask"]

_NODATA_ULPS = 4
"""Floating-point nodata values are often written with fewer digits than they have."""


def has_data(data: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[np.bool_]:
    """Which values are data: neither `nodata` nor NaN nor infinite.

    Args:
        data: Values of any shape and dtype.
        nodata: Value that means no data; one that the dtype cannot hold hides nothing.

    Returns:
        True where there is data, in the shape of `data`.
    """
    if data.dtype.kind == "f":
        known: npt.NDArray[np.bool_] = np.isfinite(data)
        if nodata is None or not math.isfinite(nodata):
            return known
        return known & _differs(data, nodata)
    if nodata is None or not _holds(data.dtype, nodata):
        return np.ones(data.shape, dtype=np.bool_)
    return np.asarray(data != data.dtype.type(nodata))


def valid_pixels(data: npt.NDArray[Any], nodata: tuple[float | None, ...]) -> npt.NDArray[np.bool_]:
    """Where any band has data.

    Args:
        data: Values (bands, height, width).
        nodata: The bands' nodata values.

    Returns:
        True where there is data (height, width).
    """
    if data.dtype.kind != "f" and any(value is None for value in nodata):
        return np.ones(data.shape[1:], dtype=np.bool_)
    valid = has_data(data[0], nodata[0])
    for band, value in zip(data[1:], nodata[1:], strict=True):
        valid |= has_data(band, value)
    return valid


def validity_of(dataset: DatasetReader, bands: tuple[int, ...]) -> Validity:
    """Where the validity of a file's bands comes from, beside NaN."""
    if alpha_band(dataset) is not None or has_mask(dataset):
        return "mask"
    if any(dataset.nodatavals[band - 1] is not None for band in bands):
        return "values"
    return "all"


def nodata_of(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[float | None, ...]:
    """The nodata values of a file's bands; none where a mask band decides instead of them."""
    if has_mask(dataset):
        return (None,) * len(bands)
    return tuple(dataset.nodatavals[band - 1] for band in bands)


def has_mask(dataset: DatasetReader) -> bool:
    """Whether there is a mask for all bands, inside the file or beside it."""
    flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def alpha_band(dataset: DatasetReader | WarpedVRT) -> int | None:
    """Number of the alpha band, known by its colour interpretation."""
    for band, color in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if color == ColorInterp.alpha:
            return int(band)
    return None


def read_mask(
    dataset: DatasetReader | WarpedVRT, window: Window, shape: tuple[int, int] | None
) -> npt.NDArray[np.bool_]:
    """Read the alpha or mask band: True where it shows the pixel at all."""
    alpha = alpha_band(dataset)
    if alpha is None:
        mask = dataset.read_masks(1, window=window, out_shape=shape)
    else:
        mask = dataset.read(alpha, window=window, out_shape=shape)
    return np.asarray(mask > 0)


def _differs(data: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    info = np.finfo(data.dtype)
    margin = abs(nodata) * float(info.eps) * _NODATA_ULPS
    low, high = max(nodata - margin, float(info.min)), min(nodata + margin, float(info.max))
    if margin == 0 or low > high:  # Zero, or a value that the dtype cannot hold.
        return np.asarray(data != nodata) if margin == 0 else np.ones(data.shape, dtype=np.bool_)
    return np.asarray((data < data.dtype.type(low)) | (data > data.dtype.type(high)))


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    limits = np.iinfo(dtype)
    return bool(float(value).is_integer() and limits.min <= value <= limits.max)
