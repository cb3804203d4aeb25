"""Arrays of numpy (`.npy`) as rasters in plain pixels, read window by window.

A .npy file is a short header and then plain numbers, which GDAL reads where they lie by a VRT of
raw bands: no array is ever loaded whole. Which axis holds the bands nobody can tell from three
lengths, so it is asked for, never guessed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import numpy as np
from numpy.lib import format as npy_format

from geoseg.errors import SceneError

NpyAxes = Literal["bhw", "hwb"]
"""What the three axes of an array are: bands, height, width, or height, width, bands."""

_NAMES = {
    "bool": "Byte", "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16",
    "uint32": "UInt32", "int32": "Int32", "uint64": "UInt64", "int64": "Int64",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip
"""Types of numpy as GDAL calls them."""

_MOST_BANDS = 4096
"""More are an axis that was taken for another."""


def is_npy(path: str) -> bool:
    """Whether a file is taken for an array of numpy: by its suffix."""
    return path.lower().endswith(".npy")


def npy_shape(path: str) -> tuple[tuple[int, ...], str]:
    """Lengths of the axes of an array, and its type, as its header tells them.

    Raises:
        SceneError: If it is no array of numpy.
    """
    shape, _, dtype, _ = _read_header(path)
    return shape, dtype.name


def npy_as_vrt(path: str, axes: NpyAxes | None) -> str:
    """A VRT of raw bands over an array.

    Args:
        path: A local file; (height, width) or three axes.
        axes: What three axes are; two are height and width in any case.

    Returns:
        XML for GDAL.

    Raises:
        SceneError: If it is no array of numbers, is cut short, or has other axes than told.
    """
    shape, fortran, dtype, offset = _read_header(path)
    name = _NAMES.get(dtype.name)
    if name is None:
        raise SceneError(path, f"holds {dtype}", "Save it as uint8, uint16 or float32")
    ends = np.cumprod((1, *shape) if fortran else (1, *shape[::-1]), dtype=object)
    if os.path.getsize(path) < offset + int(ends[-1]) * dtype.itemsize:
        raise SceneError(path, "is cut short", "Restore the file")
    steps = [int(end) * dtype.itemsize for end in ends[:-1]]
    if not fortran:
        steps.reverse()
    order = _order(path, shape, axes)
    lengths, strides = dict(zip(order, shape, strict=True)), dict(zip(order, steps, strict=True))
    big = dtype.byteorder == ">"
    bands = "".join(
        f'<VRTRasterBand dataType="{name}" band="{band + 1}" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="0">{escape(str(Path(path).resolve()))}</SourceFilename>'
        f"<ImageOffset>{offset + band * strides.get('b', 0)}</ImageOffset>"
        f"<PixelOffset>{strides['w']}</PixelOffset><LineOffset>{strides['h']}</LineOffset>"
        f"<ByteOrder>{'MSB' if big else 'LSB'}</ByteOrder></VRTRasterBand>"
        for band in range(lengths.get("b", 1))
    )
    size = f'rasterXSize="{lengths["w"]}" rasterYSize="{lengths["h"]}"'
    return f"<VRTDataset {size}>{bands}</VRTDataset>"


def _read_header(path: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, whether the first axis runs fastest, type, and where the numbers begin."""
    try:
        with Path(path).open("rb") as file:
            version = npy_format.read_magic(file)
            read = {
                (1, 0): npy_format.read_array_header_1_0,
                (2, 0): npy_format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read(file)
            return shape, fortran, dtype, file.tell()
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SceneError(path, "is no array of numpy", "Write it by numpy.save") from error


def _order(path: str, shape: tuple[int, ...], axes: NpyAxes | None) -> str:
    """What each axis is: a letter of b, h, w each."""
    if 0 in shape:
        raise SceneError(path, f"is empty: {shape}", "Save an array that holds something")
    if len(shape) == 2:
        return "hw"
    if len(shape) != 3:
        cure = "Save (height, width), (bands, height, width) or (height, width, bands)"
        raise SceneError(path, f"has {len(shape)} axes: {shape}", cure)
    if axes is None:
        raise SceneError(
            path,
            f"has three axes, {shape}, and does not tell which holds the bands",
            "Give --npy-axes bhw or --npy-axes hwb",
        )
    if shape[axes.index("b")] > _MOST_BANDS:
        found = f"{shape} as {axes} is {shape[axes.index('b')]} bands"
        raise SceneError(path, found, "Give the other --npy-axes")
    return axes
