"""Rasters written window by window into a cloud optimised GeoTIFF that is whole or absent.

GDAL reports neither a disk that fills up while it closes a file nor a file that was never closed
(it opens and reads zeros). So the file is made beside its target, read back against checksums
that were kept while writing, and only then renamed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from geoseg.errors import OutputError, WorkError
from geoseg.geo import partial
from geoseg.geo.cog_options import check_options, is_lossy, try_options, upper_keys
from geoseg.geo.gdal import GDAL_ERRORS
from geoseg.geo.lasting import lasting_path
from geoseg.geo.output_lock import only_writer, writing
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.overviews import overviews_beside
from geoseg.geo.partial import BLOCK, Written, compare, explained, quiet
from geoseg.geo.raster_profile import RasterProfile
from geoseg.geo.temporary import remove_temporary, temporary_path

__all__ = [
    "BLOCK",
    "RasterProfile",
    "RasterWriter",
    "Written",
    "partial_path",
    "publish_together",
    "sidecar_path",
    "write_raster",
]

_LEAST_COMPRESSION = 10
"""Free space is refused below a tenth of the uncompressed size: maps shrink at least so far."""

_STALE_SUFFIXES = (".aux.xml", ".msk", ".ovr")
"""Side files that GDAL would take for those of a new file of the same name."""


class RasterWriter:
    """Writes a raster by windows; use it in a `with` block, whose clean end publishes the file.

    One thread at a time may use it.

    Args:
        path: The GeoTIFF to make.
        profile: What is to be written.
        overwrite: Whether an existing file may be replaced.
        lasting: Whether the unfinished file gets a name under which a later process finds it, to
            go on by `resumed`. An older one is replaced. Only one process at a time has it.
        written: What a lasting file holds already; see `resumed`.

    Raises:
        OutputError: If the file must not or cannot be written there, or (`lasting`) another
            process is writing it.
        ConfigError: If a creation option is unknown, or would change class values.
        WorkError: If the file system fails.
    """

    def __init__(
        self,
        path: str | Path,
        profile: RasterProfile,
        *,
        overwrite: bool = False,
        lasting: bool = False,
        written: Sequence[Written] | None = None,
    ) -> None:
        self.path = check_output(path, overwrite=overwrite)
        self.profile = profile
        self.sidecars: dict[str, str] = {}
        """Texts to publish with the file, by suffix: `.aux.xml` is put behind the whole name,
        others, such as `.qml`, take the place of its suffix."""
        self.keep = written is not None
        """Whether a lasting unfinished file stays when the work fails."""
        self._overwrite = overwrite
        _check_options(profile)
        self._is_lossy = is_lossy(profile.options)
        self._checksums: list[Written] = list(written or ())
        self._overviews: list[list[Written]] = []
        self._safe = len(self._checksums)
        self._lasts = lasting
        with contextlib.ExitStack() as lock:
            lock.enter_context(only_writer(self.path) if lasting else writing(self.path))
            self._temporary = partial_path(self.path) if lasting else temporary_path(self.path)
            self._lock = lock.pop_all()
        with self._clean_on_error():
            self._dataset = self._begin() if written is None else self._go_on()

    @classmethod
    def resumed(
        cls,
        path: str | Path,
        profile: RasterProfile,
        written: Sequence[Written],
        *,
        overwrite: bool = False,
    ) -> Self:
        """Go on with the unfinished file that a lasting writer left, killed or not.

        Args:
            path: As it was given then.
            profile: As it was given then.
            written: All windows and checksums that `checkpoint` told; other windows that may have
                been written are to be written again.
            overwrite: Whether an existing file may be replaced.

        Returns:
            A lasting writer, with `keep` set.

        Raises:
            OutputError: If the file must not be written there, or another process is writing it.
            WorkError: If the unfinished file is missing, or does not hold what it should: begin
                anew.
        """
        return cls(path, profile, overwrite=overwrite, lasting=True, written=written)

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
        with explained(self.path):
            self._dataset.write(data, window=window)
        self._checksums.append((window, partial.checksum(data)))

    def read(self, window: Window) -> npt.NDArray[Any]:
        """Read pixels (bands, height, width) that were written.

        Raises:
            WorkError: If they cannot be read.
        """
        with explained(self.path):
            data: npt.NDArray[Any] = self._dataset.read(window=window)
        return data

    def checkpoint(self) -> list[Written]:
        """Bring everything written so far to the disk, where it outlives the process.

        Returns:
            The windows written since the last checkpoint with their checksums, for `resumed`.

        Raises:
            WorkError: If the file system fails; earlier checkpoints stay good. Nothing more can
                be written then.
        """
        with explained(self.path):
            self._dataset = partial.checkpoint(self._dataset, self._temporary)
        fresh = self._checksums[self._safe :]
        compare(self._dataset, fresh, self.path)
        self._safe = len(self._checksums)
        return fresh

    def commit(self) -> None:
        """Make the COG, read it back, and give it its name, together with its side files.

        Raises:
            WorkError: If what is on disk is not what was written.
            OutputError: If another program made the file meanwhile.
        """
        with self.committing():
            pass  # nothing else is to be waited for

    @contextlib.contextmanager
    def committing(self) -> Iterator[Path]:
        """As `commit`, but names are given when the block ends, and only if it ends well.

        Yields:
            The finished file under its temporary name.
        """
        try:
            with contextlib.ExitStack() as sidecars:
                with explained(self.path):
                    self._dataset.close()
                # Names are given at the ends of the blocks: the raster's first.
                with publish(self.path, overwrite=self._overwrite) as finished:
                    with explained(self.path):
                        self._copy(finished)
                        self._verify(finished)
                    texts = _with_crs(self.sidecars, sidecar_path(finished, ".aux.xml"))
                    for suffix, text in texts.items():
                        side = sidecars.enter_context(publish(sidecar_path(self.path, suffix)))
                        side.write_text(text, encoding="utf-8")
                    yield finished
                self._remove_stale_side_files(set(texts))
        except BaseException:
            self._leave(keep=self.keep)
            raise
        self._leave(keep=False)

    def abort(self) -> None:
        """Leave nothing behind but, where `keep` is set, a lasting unfinished file."""
        try:
            with contextlib.suppress(*GDAL_ERRORS):  # What matters was closed before.
                self._dataset.close()
        finally:
            self._leave(keep=self.keep)

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

    def _begin(self) -> DatasetWriter:
        remove_temporary(self._temporary)
        _check_free_space(self.path, self.profile)
        return partial.create(self._temporary, self.profile)

    def _go_on(self) -> DatasetWriter:
        _check_free_space(self.path, self.profile, self._temporary)
        return partial.resume(self._temporary, self.profile, self._checksums, self.path)

    def _leave(self, *, keep: bool) -> None:
        """Remove the unfinished file, if it is not to be kept, and let others have the output."""
        with self._lock:
            if not (keep and self._lasts):
                remove_temporary(self._temporary)

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
        with quiet(), overviews_beside(self._temporary, profile) as self._overviews:
            options |= {"OVERVIEWS": "FORCE_USE_EXISTING"} if self._overviews else {}
            try:
                rasterio.shutil.copy(self._temporary, finished, driver="COG", **options)
            except SystemError as error:  # A file as large as may be, of which GDAL says nothing.
                raise WorkError(self.path, "could not be written", partial.DISK) from error

    def _verify(self, finished: Path) -> None:
        """Compare what is on disk with what was given."""
        grid = self.profile.grid
        with quiet(), rasterio.open(finished, driver="GTiff") as dataset:
            if dataset.transform != grid.transform or dataset.crs != grid.crs:
                raise WorkError(self.path, "a GeoTIFF cannot hold this CRS or transform exactly")
            levels = len(dataset.overviews(1))
            if not self._is_lossy:
                compare(dataset, self._checksums, self.path)
        for level in range(levels):
            with rasterio.open(finished, driver="GTiff", overview_level=level) as overview:
                for _, window in overview.block_windows(1):
                    overview.read(window=window)
                if self._overviews:
                    compare(overview, self._overviews[level], self.path)
        if self._is_lossy:
            with quiet(), rasterio.open(self._temporary, driver="GTiff") as dataset:
                compare(dataset, self._checksums, self.path)

    def _remove_stale_side_files(self, fresh: set[str]) -> None:
        for suffix in _STALE_SUFFIXES:
            stale = Path(f"{self.path}{suffix}")
            if suffix not in fresh and os.path.lexists(stale):  # Its name may be too long to be.
                stale.unlink(missing_ok=True)
        style = sidecar_path(self.path, ".qml")
        if ".qml" not in fresh and _holds_classes(style):
            style.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _clean_on_error(self) -> Iterator[None]:
        try:
            with explained(self.path):
                yield
        except BaseException:
            self._leave(keep=self.keep)
            raise


@contextlib.contextmanager
def publish_together(writers: Sequence[RasterWriter], count: int | None = None) -> Iterator[None]:
    """Commit several rasters when the block ends: no one has its name before all are checked.

    Args:
        writers: The rasters; more may come during the block.
        count: How many of the first are committed, None for all; the rest is left to others.

    Raises:
        WorkError: If what is on disk is not what was written.
        OutputError: If another program made a file meanwhile.
    """
    try:
        yield
    except BaseException:
        for writer in writers[:count]:
            writer.abort()
        raise
    with contextlib.ExitStack() as stack:
        for writer in writers[:count]:
            stack.enter_context(writer.committing())


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


def partial_path(path: Path) -> Path:
    """Where a lasting writer keeps the unfinished file of an output."""
    return lasting_path(path, ".tif")


def _holds_classes(style: Path) -> bool:
    """Whether a style of QGIS is that of a class raster: it would paint others in its colours."""
    try:
        return b'<rasterrenderer type="paletted"' in style.read_bytes()
    except OSError:  # There is none, or it is not ours to read.
        return False


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


def _check_free_space(path: Path, profile: RasterProfile, begun: Path | None = None) -> None:
    pixels = profile.grid.height * profile.grid.width * profile.count
    least = pixels * np.dtype(profile.dtype).itemsize // _LEAST_COMPRESSION
    if begun is not None and begun.exists():
        least -= begun.stat().st_size
    free = shutil.disk_usage(path.parent).free
    if free < least:
        raise OutputError(
            path,
            f"needs {least / 2**20:.0f} MiB or more, {free / 2**20:.0f} MiB are free",
            "Make room, or write elsewhere",
        )
