"""The unfinished raster that a COG is made of: a plain tiled GeoTIFF that grows by windows.

Its table of blocks is written anew, in place, when it is closed; blocks are put behind its end.
So a process that is killed at any moment, even in the midst of closing, spoils at most the blocks
written since the file was last closed.
"""

from __future__ import annotations

import contextlib
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from geoseg.errors import WorkError
from geoseg.geo.gdal import GDAL_ERRORS, reason
from geoseg.geo.grid import Grid
from geoseg.geo.outputs import sync, sync_folder
from geoseg.geo.raster_profile import RasterProfile

BLOCK = 512
"""Side of the blocks in pixels, here and in the COG."""

DISK = "Check the free space and the health of the disk"

Written = tuple[Window, int]
"""A window, and the CRC-32 of its pixels (bands, height, width)."""


def create(path: Path, profile: RasterProfile) -> DatasetWriter:
    """Make the file and open it for writing."""
    grid = profile.grid
    with quiet():
        dataset = rasterio.open(
            path,
            "w+",
            driver="GTiff",
            height=grid.height,
            width=grid.width,
            count=profile.count,
            dtype=profile.dtype,
            nodata=profile.nodata,
            crs=grid.crs,
            transform=None if _is_plain(grid) else grid.transform,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            interleave="band",
            compress="deflate",
            zlevel=1,
            bigtiff="if_safer",
            sparse_ok=True,  # blocks without data cost nothing
            photometric="rgb" if profile.is_rgb else "minisblack",
        )
    try:
        _describe(dataset, profile)
    except BaseException:
        dataset.close()
        raise
    return dataset


def checkpoint(dataset: DatasetWriter, path: Path) -> DatasetWriter:
    """Bring all that was written to the disk, and open the file again to go on.

    GDAL tells nobody of a close that failed: read back what matters.
    """
    dataset.close()
    sync(path)
    side_file = Path(f"{path}.aux.xml")  # Where GDAL keeps a CRS that GeoTIFF has no keys for.
    if side_file.exists():
        sync(side_file)
    sync_folder(path.parent)
    return _reopen(path)


def resume(
    path: Path, profile: RasterProfile, written: Sequence[Written], output: Path
) -> DatasetWriter:
    """Open the file that a killed process left.

    Args:
        path: The unfinished file.
        profile: What it was begun with.
        written: What must be in it.
        output: Named in errors.

    Returns:
        The file, open for writing; what lies outside of `written` is unknown.

    Raises:
        WorkError: If the file is missing, damaged, or not the one that is meant.
    """
    if path.is_symlink() or not path.is_file():
        raise WorkError(output, "has no unfinished file to go on with")
    if any(not _lies_in(window, profile.grid) for window, _ in written):
        raise WorkError(output, "the record of its unfinished file tells of pixels outside of it")
    with explained(output):
        dataset = _reopen(path)
    try:
        with explained(output):
            _check_kind(dataset, profile, output)
            compare(dataset, written, output)
            _mend(dataset, written)
    except BaseException:
        dataset.close()
        raise
    return dataset


def compare(dataset: DatasetReader, written: Sequence[Written], output: Path) -> None:
    """Compare what is on disk with what was given.

    Raises:
        WorkError: If a window differs or cannot be read.
    """
    for window, expected in written:
        try:
            data = dataset.read(window=window)
        except GDAL_ERRORS as error:
            problem = f"does not read back as written ({reason(error)})"
            raise WorkError(output, problem, DISK) from error
        if checksum(data) != expected:
            raise WorkError(output, "does not read back as written", DISK)


def checksum(data: npt.NDArray[Any]) -> int:
    """CRC-32 of pixels (bands, height, width)."""
    return zlib.crc32(np.ascontiguousarray(data).data)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Plain images have no place on the ground, and need no warning of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextlib.contextmanager
def explained(output: Path) -> Iterator[None]:
    """Turn what GDAL and the file system raise into an error that names the output.

    Args:
        output: The file that the user asked for.

    Raises:
        WorkError: If GDAL or the file system fails in the block.
    """
    try:
        yield
    except GDAL_ERRORS as error:
        raise WorkError(output, f"could not be written ({reason(error)})", DISK) from error
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise WorkError(output, f"could not be written ({problem})", DISK) from error


def _reopen(path: Path) -> DatasetWriter:
    with quiet():
        return rasterio.open(path, "r+", driver="GTiff")


def _is_plain(grid: Grid) -> bool:
    """Whether the file tells no place, so that rows run down as in any image, not northwards."""
    return grid.crs is None and bool(grid.transform.is_identity)


def _describe(dataset: DatasetWriter, profile: RasterProfile) -> None:
    if profile.colormap is not None:
        dataset.write_colormap(1, dict(profile.colormap))
        dataset.colorinterp = [ColorInterp.palette]
    for band, name in enumerate(profile.band_names, start=1):
        dataset.set_band_description(band, name)
    if profile.scale is not None:
        dataset.scales = (profile.scale,) * profile.count
    dataset.update_tags(**profile.tags)


def _check_kind(dataset: DatasetReader, profile: RasterProfile, output: Path) -> None:
    """Refuse a file begun with another profile: the COG would not be the same to the byte."""
    grid = profile.grid
    fits = (
        dataset.shape == grid.shape
        and dataset.dtypes == (profile.dtype,) * profile.count
        and dataset.block_shapes == [(BLOCK, BLOCK)] * profile.count
        and (dataset.transform, dataset.crs) == (grid.transform, grid.crs)
        and _is_same_number(dataset.nodata, profile.nodata)
        and dataset.scales == (profile.scale or 1,) * profile.count
        and dataset.descriptions == (profile.band_names or (None,) * profile.count)
        and _has_colors(dataset, profile)
        and _words(profile.tags).items() <= _words(dataset.tags()).items()
    )
    if not fits:
        raise WorkError(output, "its unfinished file is of another raster")


def _is_same_number(one: float | None, other: float | None) -> bool:
    return one == other or (
        one is not None and other is not None and math.isnan(one) and math.isnan(other)
    )


def _has_colors(dataset: DatasetReader, profile: RasterProfile) -> bool:
    has_palette = bool(dataset.colorinterp[0] == ColorInterp.palette)
    if profile.colormap is None or not has_palette:
        return has_palette == (profile.colormap is not None)
    colors: dict[int, tuple[int, ...]] = dataset.colormap(1)
    return all(colors[value] == tuple(color) for value, color in profile.colormap.items())


def _words(tags: Mapping[str, str]) -> dict[str, list[str]]:
    """Tags without the white space that GeoTIFF may change."""
    return {key: str(text).split() for key, text in tags.items()}


def _lies_in(window: Window, grid: Grid) -> bool:
    sides = window.col_off, window.row_off, window.width, window.height
    return (
        all(side >= 0 for side in sides)
        and window.col_off + window.width <= grid.width
        and window.row_off + window.height <= grid.height
    )


def _mend(dataset: DatasetWriter, written: Sequence[Written]) -> None:
    """Empty the blocks that the killed process left unreadable.

    A window that covers a block in part needs to read the rest of it.
    """
    good = {place for window, _ in written for place in _places(window)}
    for place, window in dataset.block_windows(1):
        if place in good:
            continue
        try:
            dataset.read(window=window)
        except GDAL_ERRORS:
            shape = (dataset.count, window.height, window.width)
            dataset.write(np.full(shape, dataset.nodata or 0, dataset.dtypes[0]), window=window)


def _places(window: Window) -> Iterator[tuple[int, int]]:
    """Row and column of the blocks that a window touches."""
    for row in range(window.row_off // BLOCK, -(-(window.row_off + window.height) // BLOCK)):
        for col in range(window.col_off // BLOCK, -(-(window.col_off + window.width) // BLOCK)):
            yield row, col
