"""Opening rasters through GDAL: by named drivers only, one handle per thread and process.

A rasterio dataset that several threads share, or that was opened before a fork, returns wrong
pixels without an error (measured: 6-7 % of windows). So datasets are opened where they are read,
kept for that thread of that process, and never passed on.
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from geoseg.errors import SceneError
from geoseg.geo.npy import NpyAxes, is_npy, npy_as_vrt
from geoseg.geo.remote import is_remote, read_patiently, set_remote_defaults
from geoseg.geo.side_files import CURE, check_side_files
from geoseg.geo.vrt import check_vrt

DRIVERS = ["GTiff", "COG", "PNG", "JPEG", "JP2OpenJPEG", "HFA", "ENVI", "AAIGrid", "BMP", "GPKG"]
"""Drivers that may look at a local file, the first alone at a remote one; a VRT is taken for one
by its suffix only."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError, UnicodeDecodeError)
"""What GDAL's refusals arrive as: some of them leave rasterio unwrapped, and of some it cannot
read the text, where that quotes what is in the file."""

# rasterio silences this one for itself while it burns polygons, but `catch_warnings` is not safe
# across threads: what one thread restores, another misses. Plain images are told by errors here.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

MAX_SIDE = 1 << 23
"""Rows and columns of a raster: the equator in pixels of 5 m."""

_MAX_BLOCK = 512 << 20
"""Bytes of a block; a few packed ones may declare a block as large as the scene."""

_MAX_HANDLES = 32
"""Open datasets kept per thread."""

_PNG_MARK, _PNG_TAIL = b"\x89PNG\r\n\x1a\n", 1 << 16


_STAMP_BYTES = 6
"""Of a number that JSON holds exactly."""


class _Handles(threading.local):
    """This thread's open datasets, the least recently used first."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.datasets: OrderedDict[Hashable, DatasetReader | WarpedVRT] = OrderedDict()


_handles = _Handles()


def open_dataset(
    path: str,
    *,
    trust_vrt: bool = False,
    allow_remote: bool = False,
    npy_axes: NpyAxes | None = None,
) -> DatasetReader:
    """Open a raster by a named driver.

    Args:
        path: A file, a URL, or a `/vsi...` path; a local `.npy` is an array of numpy.
        trust_vrt: Whether a VRT may reach out of its folder.
        allow_remote: Whether a VRT may name URLs.
        npy_axes: What the three axes of an array of numpy are.

    Returns:
        A new dataset, for the calling thread alone.

    Raises:
        SceneError: If there is no such file, or it is no raster that geoseg reads.
    """
    drivers = DRIVERS
    if is_remote(path) or trust_vrt or allow_remote:
        set_remote_defaults()
    if not is_remote(path):
        _check_file(path)
        if not trust_vrt:
            check_side_files(Path(path))
    name, extra = path, {}
    if is_npy(path) and not is_remote(path):
        # Raw bands may lie anywhere only in this VRT, which is ours.
        name, extra = npy_as_vrt(path, npy_axes), {"GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL"}
        drivers = ["VRT"]
    elif path.lower().endswith(".vrt"):
        drivers = ["VRT"]
        if not trust_vrt:
            _check_vrt(path, allow_remote=allow_remote)
    try:
        with warnings.catch_warnings(), rasterio.Env(**extra):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            if is_remote(path):
                return _open_remote(path, drivers[0])
            # rasterio.open takes one driver only; the class behind it takes a list.
            dataset = DatasetReader(name, driver=drivers)
            _check_sides(path, dataset)
            if not trust_vrt:
                _check_overviews(path, dataset)
            # GDAL looks for masks when first asked, and outside of an Env it would print on stderr
            # what it finds odd in a damaged file.
            _ = dataset.mask_flag_enums, dataset.colorinterp
            return dataset
    except GDAL_ERRORS as error:
        raise SceneError(
            path, f"is not a raster that can be read ({reason(error)})", "Check the file"
        ) from error


def _open_remote(path: str, driver: str) -> DatasetReader:
    def look() -> DatasetReader:
        dataset = rasterio.open(path, driver=driver)
        # What GDAL tells while it looks for masks is caught here only, as of local files.
        _ = dataset.mask_flag_enums
        return dataset

    return read_patiently(look, lambda: None, GDAL_ERRORS)


def keep_handle(key: Hashable, dataset: DatasetReader | WarpedVRT) -> DatasetReader | WarpedVRT:
    """Keep an open dataset for this thread; the one unused for longest may be closed."""
    handles = _own_handles()
    handles[key] = dataset
    while len(handles) > _MAX_HANDLES:
        handles.popitem(last=False)[1].close()
    return dataset


def kept_handle(key: Hashable) -> DatasetReader | WarpedVRT | None:
    """The dataset that this thread of this process keeps under `key`."""
    handles = _own_handles()
    dataset = handles.get(key)
    if dataset is not None:
        handles.move_to_end(key)
    return dataset


def drop_handle(key: Hashable) -> None:
    """Close the dataset that this thread keeps under `key`, if any."""
    dataset = _own_handles().pop(key, None)
    if dataset is not None:
        dataset.close()


def file_stamp(path: str) -> tuple[int, int]:
    """Size and time of change of a file, to tell a replaced one; zeros for a remote one.

    Raises:
        SceneError: If the file is no longer there.
    """
    if is_remote(path):
        return 0, 0
    try:
        status = Path(path).stat()
    except OSError as error:
        raise SceneError(path, "is no longer there", "Check the path") from error
    return status.st_size, status.st_mtime_ns


def sources_stamp(dataset: DatasetReader) -> tuple[int, int]:
    """Of the files that a VRT shows: newest time of change, and a number to tell replaced ones.

    Args:
        dataset: Any; zeros where it is no VRT of files of this machine.
    """
    if dataset.driver != "VRT":
        return 0, 0
    newest, names, told = 0, _files(dataset), hashlib.sha256()
    seen = set(names)
    for name in names:  # which grows by the files of VRTs among them
        status = os.stat(name)
        newest = max(newest, status.st_mtime_ns)
        told.update(repr((Path(name).name, status.st_size, status.st_mtime_ns)).encode())
        if name.lower().endswith(".vrt") and name != dataset.name:
            with suppress(*GDAL_ERRORS), warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with DatasetReader(name, driver=["VRT"]) as inner:
                    found = [each for each in _files(inner) if each not in seen]
                names += found
                seen.update(found)
    return newest, int.from_bytes(told.digest()[:_STAMP_BYTES])


def _files(dataset: DatasetReader) -> list[str]:
    """Those of this machine, but for statistics and overviews that programs put beside them."""
    return [
        name
        for name in dataset.files
        if not is_remote(name) and not name.endswith((".aux.xml", ".ovr")) and os.path.isfile(name)
    ]


def limit_block_cache(size: int) -> None:
    """Bound GDAL's cache of decoded blocks, which else takes 5 % of the machine's memory.

    Args:
        size: Bytes, for the whole process, until it is set anew.
    """
    # Not by rasterio.Env, which puts the old size back at its end. An int is taken as bytes here,
    # unlike in GDAL's own environment variable.
    set_gdal_config("GDAL_CACHEMAX", size)


def reason(error: BaseException) -> str:
    """What GDAL itself said: rasterio's own text often only points at the previous error."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _own_handles() -> OrderedDict[Hashable, DatasetReader | WarpedVRT]:
    if _handles.pid != os.getpid():
        # After a fork the parent's handles share file offsets with it: forget, never close.
        _forgotten.append(_handles.datasets)
        _handles.pid, _handles.datasets = os.getpid(), OrderedDict()
    return _handles.datasets


_forgotten: list[object] = []
"""Keeps a parent's datasets from being closed in a forked child."""


def _check_vrt(path: str, *, allow_remote: bool) -> None:
    if is_remote(path):
        raise SceneError(path, "is a remote VRT", "Give --trust-vrt if you know its source")
    check_vrt(Path(path), allow_remote=allow_remote)


def _check_file(path: str) -> None:
    if not os.path.exists(path):
        raise SceneError(path, "does not exist", "Check the path")
    if os.path.isdir(path):
        raise SceneError(path, "is a folder", "Name the files in it")
    if not os.path.isfile(path):
        raise SceneError(path, "is a device or pipe", "Write it to a file first")
    if os.path.getsize(path) == 0:
        raise SceneError(path, "is empty", "Restore the file")
    if not os.access(path, os.R_OK):
        raise SceneError(path, "may not be read", "Check its permissions")
    if _is_cut_png(path):
        raise SceneError(path, "is cut short", "Restore the file")


def _check_sides(path: str, dataset: DatasetReader) -> None:
    """Refuse what no camera took: what is kept for each row and column would fill the memory."""
    height, width = dataset.height, dataset.width
    if max(height, width) > MAX_SIDE:
        dataset.close()
        problem = f"is {height} x {width} pixels, {MAX_SIDE} a side are read"
        raise SceneError(path, problem, "Check the file")
    if (size := _block_bytes(dataset)) > _MAX_BLOCK:
        dataset.close()
        problem = f"has blocks of {size} bytes, each of which is read as a whole"
        raise SceneError(path, problem, "Tile it: gdal_translate -co TILED=YES INPUT OUTPUT.tif")
    # GDAL looks for each missing number of a text anew, which takes hours; each has two bytes.
    if dataset.driver == "AAIGrid" and 2 * height * width - 1 > os.path.getsize(path):
        dataset.close()
        raise SceneError(path, "is cut short", "Restore the file")


def _block_bytes(dataset: DatasetReader) -> int:
    """Memory that the largest block takes, with all the bands that are stored with it."""
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    bands = zip(dataset.block_shapes, dataset.dtypes, strict=True)
    sizes = (height * width * _bytes_of(dtype) for (height, width), dtype in bands)
    return int(together * max(sizes, default=0))


def _bytes_of(dtype: str) -> int:
    """Of a number of that type, one of which numpy does not know."""
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize


def _check_overviews(path: str, dataset: DatasetReader) -> None:
    """Refuse a file that names its overviews: GDAL would open them wherever they are."""
    if dataset.tags(ns="OVERVIEWS"):
        dataset.close()
        raise SceneError(path, "names a file of overviews", CURE)


def _is_cut_png(path: str) -> bool:
    """Whether a PNG lacks its end: GDAL reads such a one as noise, without an error."""
    with Path(path).open("rb") as file:
        if file.read(len(_PNG_MARK)) != _PNG_MARK:
            return False
        file.seek(max(os.path.getsize(path) - _PNG_TAIL, 0))
        return b"IEND" not in file.read()
