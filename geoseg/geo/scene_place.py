"""Where a raster lies: its own transform and CRS, or what a user says of a file without."""

from __future__ import annotations

from affine import Affine
from rasterio.crs import CRS
from rasterio.env import Env
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.npy import is_npy


def grid_of(path: str, dataset: DatasetReader, assume_crs: str | None) -> Grid:
    """The pixels of a file.

    Args:
        path: Of the file, for errors.
        dataset: The file.
        assume_crs: CRS of a file that has none; `none` takes it as a plain image.

    Raises:
        SceneError: If it has no place on the ground and is no plain image.
        ConfigError: If `assume_crs` is no CRS.
    """
    crs, transform = dataset.crs, dataset.transform
    assumed = assumed_crs(assume_crs)
    # a view without alpha is a VRT, whatever the file is
    is_picture = dataset.driver in {"PNG", "JPEG", "BMP"} or path.lower().endswith((".png", ".bmp"))
    plain_image = is_picture or is_npy(path)
    if assume_crs is not None and assume_crs.lower() == "none":
        crs, transform = None, Affine.identity()
    elif transform.is_identity and dataset.gcps[0]:
        raise SceneError(
            path,
            "has ground control points only, no grid",
            "Warp it first: gdalwarp -r bilinear INPUT OUTPUT.tif",
        )
    elif transform.is_identity and (crs is not None or not plain_image):
        raise SceneError(
            path,
            "has no place on the ground (no geotransform)",
            "Georeference it, or give --assume-crs none to work in plain pixels",
        )
    elif crs is None and not transform.is_identity:
        if assumed is None:
            cure = "Give the one it was made in, such as --assume-crs EPSG:32632"
            raise SceneError(path, "has no CRS", cure)
        crs = assumed
    try:
        return Grid(height=dataset.height, width=dataset.width, transform=transform, crs=crs)
    except SceneError as error:
        raise SceneError(path, error.problem, "Georeference it anew") from error


def assumed_crs(text: str | None) -> CRS | None:
    """The CRS that a user gives to files without one; None where it is not told, or `none`.

    Raises:
        ConfigError: If it is no CRS.
    """
    if text is None or text.lower() == "none":
        return None
    try:
        with Env():  # else PROJ tells its own errors on stderr
            return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(
            "--assume-crs", f"{text!r} is no CRS", "Give one such as EPSG:32632"
        ) from error
