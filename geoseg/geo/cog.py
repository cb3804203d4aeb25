"""Rasters written window by window into a cloud optimised GeoTIFF that is whole or absent.

GDAL reports neither a disk that fills up while it closes a file nor a file that was never closed
(it opens and reads zeros). So the file is made beside its target, read back against checksums
that were kept while writing, and only then renamed.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from geoseg.errors import OutputError, WorkError
from geoseg.geo.cog_options import check_options, is_lossy, try_options, upper_keys
from geoseg.geo.gdal import GDAL_ERRORS, reason
from geoseg.geo.grid import Grid
from geoseg.geo.outputs import check_output, publish, remove_temporary, temporary_path

BLOCK = 512
"""Side of the output's blocks in pixels."""

_LEAST_COMPRESSION = 10
"""Free space is refused below a tenth of the uncompressed size: maps shrink at least so far."""

_STALE_SUFFIXES = (".aux.xml", ".msk", ".ovr")
"""Side files that GDAL would take for those of a new file of the same name."""

Color = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class RasterProfile:
    """All that is decided about a raster before its first pixel is written."""

    grid: Grid
    """The pixels."""

    count: int = 1
    """Bands."""

    dtype: str = "uint8"
    """Of all bands."""

    nodata: float | None = None
    """Value that means no data."""

    colormap: Mapping[int, Color] | None = None
    """Colours (red, green, blue, alpha) by value, for one band of uint8."""

    band_names: tuple[str, ...] = ()
    """One description a band, or none."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the default domain (other domains are lost in a COG)."""

    scale: float | None = None
    """Multiplied to stored values it gives physical ones."""

    overview_resampling: Literal["mode", "average", "nearest"] = "mode"
    """How smaller copies are made; never a mean of class values."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Creation options of GDAL's COG driver that override geoseg's."""


class RasterWriter:
    """Writes a raster by windows; use it in a `with` block, whose clean end publishes the file.

    Args:
        path: The GeoTIFF to make.
        profile: What is to be written.
        overwrite: Whether an existing file may be replaced.

    Raises:
        OutputError: If the file must not or cannot be written there.
        ConfigError: If a creation option is unknown, or would change class values.
        WorkError: If the file system fails.
    """

    def __init__(
        self, path: str | Path, profile: RasterProfile, *, overwrite: bool = False
    ) -> None:
        self.path = check_output(path, overwrite=overwrite)
        self.profile = profile
        self.sidecars: dict[str, str] = {}
        """Texts to publish with the file, by suffix: `.aux.xml` is put behind the whole name,
        others, such as `.qml`, take the place of its suffix."""
        self._overwrite = overwrite
        _check_options(profile)
        self._is_lossy = is_lossy(profile.options)
        _check_free_space(self.path, profile)
        self._checksums: list[tuple[Window, int]] = []
        self._temporary = temporary_path(self.path)
        with self._clean_on_error():
            self._dataset = _create(self._temporary, profile)

    def write(self, data: npt.NDArray[Any], window: Window) -> None:
        """Write the pixels (bands, height, width) of a window; windows must not overlap.

        Raises:
            WorkError: If the file system fails.
            ValueError: If shape or dtype are not those of the window and the profile.
        """
        expected = (self.profile.count, int(window.height), int(window.width))
        if data.shape != expected or data.dtype != self.profile.dtype:
            raise ValueError(
                f"{data.shape} {data.dtype} given, {expected} {self.profile.dtype} expected"
            )
        with _explained(self.path):
            self._dataset.write(data, window=window)
        self._checksums.append((window, zlib.crc32(np.ascontiguousarray(data).data)))

    def commit(self) -> None:
        """Make the COG, read it back, and give it its name, together with its side files.

        Raises:
            WorkError: If what is on disk is not what was written.
            OutputError: If another program made the file meanwhile.
        """
        try:
            with contextlib.ExitStack() as sidecars:
                with _explained(self.path):
                    self._dataset.close()
                # Names are given at the ends of the blocks: the raster's first.
                with publish(self.path, overwrite=self._overwrite) as finished:
                    with _explained(self.path):
                        self._copy(finished)
                        self._verify(finished)
                    texts = _with_crs(self.sidecars, sidecar_path(finished, ".aux.xml"))
                    for suffix, text in texts.items():
                        side = sidecars.enter_context(publish(sidecar_path(self.path, suffix)))
                        side.write_text(text, encoding="utf-8")
                self._remove_stale_side_files(set(texts))
        finally:
            remove_temporary(self._temporary)

    def abort(self) -> None:
        """Leave nothing behind."""
        try:
            with contextlib.suppress(*GDAL_ERRORS):  # The file is thrown away in any case.
                self._dataset.close()
        finally:
            remove_temporary(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def _copy(self, finished: Path) -> None:
        """Copy the plain tiled file into a COG with overviews and statistics."""
        profile = self.profile
        is_continuous = profile.overview_resampling == "average"
        options = {
            "COMPRESS": "DEFLATE",
            "PREDICTOR": "YES" if is_continuous else "NO",
            "BLOCKSIZE": str(BLOCK),
            "OVERVIEW_RESAMPLING": profile.overview_resampling.upper(),
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": "ALL_CPUS",
            "STATISTICS": "YES",
            **upper_keys(profile.options),
        }
        with _quiet():
            rasterio.shutil.copy(self._temporary, finished, driver="COG", **options)

    def _verify(self, finished: Path) -> None:
        """Compare what is on disk with what was given."""
        grid = self.profile.grid
        with _quiet(), rasterio.open(finished, driver="GTiff") as dataset:
            if dataset.transform != grid.transform or dataset.crs != grid.crs:
                raise WorkError(self.path, "a GeoTIFF cannot hold this CRS or transform exactly")
            levels = len(dataset.overviews(1))
            if not self._is_lossy:
                self._compare(dataset)
        for level in range(levels):
            with rasterio.open(finished, driver="GTiff", overview_level=level) as overview:
                for _, window in overview.block_windows(1):
                    overview.read(window=window)
        if self._is_lossy:
            with _quiet(), rasterio.open(self._temporary, driver="GTiff") as dataset:
                self._compare(dataset)

    def _compare(self, dataset: DatasetReader) -> None:
        for window, checksum in self._checksums:
            data = np.ascontiguousarray(dataset.read(window=window))
            if zlib.crc32(data.data) != checksum:
                raise WorkError(self.path, "does not read back as written", _DISK)

    def _remove_stale_side_files(self, fresh: set[str]) -> None:
        for suffix in _STALE_SUFFIXES:
            if suffix not in fresh:
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _clean_on_error(self) -> Iterator[None]:
        try:
            with _explained(self.path):
                yield
        except BaseException:
            remove_temporary(self._temporary)
            raise


_DISK = "Check the free space and the health of the disk"


def write_raster(
    path: str | Path,
    data: npt.NDArray[Any],
    profile: RasterProfile,
    *,
    overwrite: bool = False,
) -> None:
    """Write a whole raster (bands, height, width) that is in memory.

    Raises:
        OutputError: If the file must not or cannot be written there.
        WorkError: If the file system fails.
    """
    with RasterWriter(path, profile, overwrite=overwrite) as writer:
        writer.write(data, profile.grid.window)


def sidecar_path(path: Path, suffix: str) -> Path:
    """Where GDAL (`.aux.xml`) and QGIS (`.qml`) look for what belongs to a raster."""
    return Path(f"{path}{suffix}") if suffix == ".aux.xml" else path.with_suffix(suffix)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Plain images have no place on the ground, and need no warning of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what GDAL raises into an error that names the output."""
    try:
        yield
    except GDAL_ERRORS as error:
        raise WorkError(path, f"could not be written ({reason(error)})", _DISK) from error


def _create(path: Path, profile: RasterProfile) -> DatasetWriter:
    grid = profile.grid
    with _quiet():
        dataset = rasterio.open(
            path,
            "w",
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
            photometric="minisblack",
        )
    try:
        _describe(dataset, profile)
    except BaseException:
        dataset.close()
        raise
    return dataset


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


def _with_crs(sidecars: Mapping[str, str], made: Path) -> dict[str, str]:
    """Side files, together with what GDAL itself put beside the raster.

    A CRS that GeoTIFF has no keys for is kept there: it must not be lost.
    """
    if not made.exists():
        return dict(sidecars)
    root = ElementTree.fromstring(sidecars.get(".aux.xml", "<PAMDataset/>"))
    known = {element.tag for element in root}
    for element in reversed(list(ElementTree.parse(made).getroot())):
        if element.tag not in known:
            root.insert(0, element)
    return {**sidecars, ".aux.xml": ElementTree.tostring(root, encoding="unicode")}


def _check_options(profile: RasterProfile) -> None:
    if profile.options:
        check_options(profile.options, holds_classes=profile.overview_resampling == "mode")
        try_options(profile.options, dtype=profile.dtype, count=profile.count)


def _check_free_space(path: Path, profile: RasterProfile) -> None:
    pixels = profile.grid.height * profile.grid.width * profile.count
    least = pixels * np.dtype(profile.dtype).itemsize // _LEAST_COMPRESSION
    free = shutil.disk_usage(path.parent).free
    if free < least:
        raise OutputError(
            path,
            f"needs {least / 2**20:.0f} MiB or more, {free / 2**20:.0f} MiB are free",
            "Make room, or write elsewhere",
        )
