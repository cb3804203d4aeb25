"""Rasters written window by window into a PNG, and the writer that a suffix stands for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import rasterio
import rasterio.shutil

from geoseg.errors import OutputError
from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.outputs import check_output
from geoseg.geo.partial import compare, quiet

_DRIVERS = {".tif": "GeoTIFF", ".tiff": "GeoTIFF", ".png": "PNG"}

_LEVEL = "6"
"""Of zlib; higher ones take far longer, and make label images hardly smaller."""


class PngWriter(RasterWriter):
    """Writes a PNG by windows, as `RasterWriter` does a GeoTIFF; memory stays bounded.

    PNG knows rows only, so a plain tiled file is made first. The place on the ground and the CRS,
    where there are any, go into GDAL's side file `.aux.xml`.
    """

    def _copy(self, finished: Path) -> None:
        with quiet(), rasterio.Env(GDAL_PAM_ENABLED="YES"):
            rasterio.shutil.copy(self._temporary, finished, driver="PNG", ZLEVEL=_LEVEL)
        if self.profile.grid.crs is None and self.profile.grid.transform.is_identity:
            # GDAL would tell no more than that a pixel is an area.
            Path(f"{finished}.aux.xml").unlink(missing_ok=True)

    def _verify(self, finished: Path) -> None:
        with quiet(), rasterio.open(finished, driver="PNG") as dataset:
            compare(dataset, self._checksums, self.path)


def writer_by_suffix(
    path: str | Path, profile: RasterProfile, *, overwrite: bool = False
) -> RasterWriter:
    """The writer of a GeoTIFF (`.tif`) or a PNG (`.png`).

    Raises:
        OutputError: If the suffix is another, or the file must not or cannot be written there.
        WorkError: If the file system fails.
    """
    if driver_by_suffix(path) == "PNG":
        return PngWriter(path, profile, overwrite=overwrite)
    return RasterWriter(path, profile, overwrite=overwrite)


def driver_by_suffix(path: str | Path) -> str:
    """`GeoTIFF` or `PNG`.

    Raises:
        OutputError: If the suffix stands for neither.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _DRIVERS:
        problem = f'rasters are not written as "{suffix}"' if suffix else "has no suffix"
        raise OutputError(path, problem, f"Give {', '.join(_DRIVERS)}")
    return _DRIVERS[suffix]


def check_picture(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Path:
    """Refuse a picture that must not or cannot be written, before any work is done.

    Raises:
        OutputError: If it is no PNG, or as `check_output` tells.
    """
    path = check_output(path, overwrite=overwrite, inputs=inputs)
    if path.suffix.lower() != ".png":
        problem = f'pictures are not written as "{path.suffix}"'
        raise OutputError(path, problem, "Name it .png")
    return path
