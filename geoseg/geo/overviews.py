"""Smaller copies of a class raster, each half as large as the one before, by majority.

GDAL makes them too, but takes three times as long, and where no blocks exist ten times: it
sets 256 counts to zero for each pixel. It uses those that lie beside a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from geoseg.geo.cog_options import upper_keys
from geoseg.geo.partial import BLOCK, Written, checksum, quiet
from geoseg.geo.raster_profile import RasterProfile

_ROWS, _COLS = 2 * BLOCK, 4 * BLOCK
"""Of a raster, read at once: whole blocks of it and of its half."""

_LEAST = 128
"""The last overview is no lower or narrower: GDAL leaves such out that it has not made itself. Of a
raster too narrow for any, GDAL makes them."""

_OPTIONS = {"OVERVIEWS", "OVERVIEW_COUNT", "OVERVIEW_RESAMPLING"}
"""With these, GDAL decides."""


def halved(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[Any]:
    """The most frequent of every two by two values, as GDAL finds it.

    Args:
        values: (height, width) integers.
        nodata: Counts for nothing, unless all four are so.

    Returns:
        Values (height / 2, width / 2), rounded up, where GDAL rounds down and takes cells that are
        a little larger than two by two: who stretches an overview over the raster's extent sees
        its far edge less than one of its pixels off. Of equally frequent ones that which is first
        complete in the order of reading.
    """
    none = values.dtype.type(nodata)
    height, width = values.shape
    if height % 2 or width % 2:
        values = np.pad(values, ((0, height % 2), (0, width % 2)), constant_values=none)
    a, b, c, d = (np.ascontiguousarray(values[i::2, j::2]) for i in (0, 1) for j in (0, 1))
    found = a.copy()
    for other in (b, c, d):
        np.copyto(found, other, where=found == none)
    # The later one of a pair completes it; earlier pairs are found afterwards, and stay.
    np.copyto(found, d, where=((d == a) | (d == b) | (d == c)) & (d != none))
    np.copyto(found, c, where=((c == a) | (c == b)) & (c != none))
    np.copyto(found, a, where=(a == b) & (a != none))
    return found


@contextlib.contextmanager
def overviews_beside(path: Path, profile: RasterProfile) -> Iterator[list[list[Written]]]:
    """Lay overviews beside a raster for as long as the block runs, where they are made here.

    Args:
        path: A plain GeoTIFF of that profile.
        profile: Tells the values, and the options of the COG.

    Yields:
        The windows of each overview with their checksums; no overviews where GDAL makes them.
    """
    shapes = _shapes(profile)
    files = [Path(f"{path}{'.ovr' * level}") for level in range(len(shapes))]
    try:
        levels = [
            _halve(source, target, shape, profile)
            for source, target, shape in zip(files, files[1:], shapes, strict=False)
        ]
        # GDAL may have been told not to look beside files: then it makes them.
        yield levels if levels and _count(path) == len(levels) else []
    finally:
        for file in files[1:]:
            file.unlink(missing_ok=True)


def _count(path: Path) -> int:
    """Overviews that GDAL sees."""
    with rasterio.open(path, driver="GTiff") as dataset:
        return len(dataset.overviews(1))


def _shapes(profile: RasterProfile) -> list[tuple[int, int]]:
    """Height and width of the raster, and of all overviews that are made here."""
    options, shapes = upper_keys(profile.options), [profile.grid.shape]
    is_mine = profile.overview_resampling == "mode" and profile.count == 1
    if not is_mine or profile.nodata is None or _OPTIONS & options.keys():
        return shapes
    while max(shapes[-1]) > int(options.get("BLOCKSIZE", BLOCK)) and min(shapes[-1]) >= 2 * _LEAST:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def _halve(
    source: Path, target: Path, shape: tuple[int, int], profile: RasterProfile
) -> list[Written]:
    """Write the half of a raster (height, width); what its windows hold."""
    nodata = profile.nodata
    assert nodata is not None

    height, width = shape
    written: list[Written] = []
    with (
        quiet(),
        rasterio.open(source, driver="GTiff") as fine,
        _create(target, shape, profile) as half,
    ):
        for row in range(0, height, _ROWS):
            for col in range(0, width, _COLS):
                window = Window(col, row, min(_COLS, width - col), min(_ROWS, height - row))
                values = fine.read(1, window=window)
                if (values == nodata).all():
                    continue
                values = halved(values, nodata)
                there = Window(col // 2, row // 2, *values.shape[::-1])
                half.write(values, 1, window=there)
                written.append((there, checksum(values)))
    return written


def _create(target: Path, shape: tuple[int, int], profile: RasterProfile) -> DatasetWriter:
    """The half of a raster (height, width), open for writing."""
    return rasterio.open(
        target,
        "w",
        driver="GTiff",
        height=-(-shape[0] // 2),
        width=-(-shape[1] // 2),
        count=1,
        dtype=profile.dtype,
        nodata=profile.nodata,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        compress="deflate",
        zlevel=1,
        bigtiff="if_safer",
        sparse_ok=True,
    )
