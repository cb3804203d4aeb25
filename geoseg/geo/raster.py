"""Scenes: rasters on disk, read window by window, with one rule for what is valid."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.gdal import file_stamp, keep_handle, kept_handle, open_dataset, reason
from geoseg.geo.grid import Grid

logger = logging.getLogger(__name__)

ResamplingName = Literal["nearest", "bilinear", "cubic", "average", "mode"]
Validity = Literal["all", "values", "mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """Pixels in memory that know where they are."""

    data: npt.NDArray[Any]
    """Values (bands, height, width) in the raster's own units."""

    valid: npt.NDArray[np.bool_]
    """Where there is data (height, width); True = valid."""

    grid: Grid
    """The place of these pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOptions:
    """How a raster file is to be looked at."""

    bands: tuple[int | str, ...] | None = None
    """Bands to read, by number from 1 or by name; None reads all but alpha."""

    resolution: float | None = None
    """Ground resolution in metres to read at; None keeps the file's."""

    resampling: ResamplingName = "bilinear"
    """How values are made where pixels are not the file's own; nearest for classes."""

    assume_crs: str | None = None
    """CRS of a file that has none; `none` takes it as a plain image in pixel space."""

    expand_palette: bool = False
    """Whether a paletted raster is read as its red, green and blue."""

    trust_vrt: bool = False
    """Whether a VRT may point out of its own folder."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A raster on disk: a path with all that was learnt when looking at it, not a handle.

    It can be passed to threads and processes; each opens the file for itself.
    """

    path: str
    """As the user wrote it."""

    grid: Grid
    """The pixels that `read` returns."""

    count: int
    """Bands that `read` returns."""

    dtype: str
    """Of all bands, as numpy names it."""

    nodata: float | None
    """Value that means no data, where the file declares one."""

    bands: tuple[int, ...]
    """Numbers of the bands in the file, from 1; alpha is never among them."""

    band_names: tuple[str, ...]
    """Names of the bands; empty where the file has none."""

    colormap: dict[int, tuple[int, int, int, int]] | None = None
    """Colours of a paletted raster: value to red, green, blue, alpha (0 to 255)."""

    options: SceneOptions
    """As it was opened."""

    validity: Validity = "all"
    """Where `valid` comes from beside NaN: nothing, the nodata value, or a mask or alpha band."""

    stamp: tuple[int, int] = (0, 0)
    """Size and change time of the file when it was opened."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], options: SceneOptions | None = None) -> Scene:
        """Look at a raster file.

        Args:
            path: A file, URL, or `/vsi...` path.
            options: How to look at it.

        Raises:
            SceneError: If it cannot be read, has no place on the ground (unless a plain image),
                or lacks the bands asked for.
            ConfigError: If `assume_crs` is no CRS.
        """
        path, options = os.fspath(path), options or SceneOptions()
        with open_dataset(path, trust_vrt=options.trust_vrt) as dataset:
            return _describe(path, dataset, options)

    @property
    def is_paletted(self) -> bool:
        """Whether the values are indices of colours."""
        return self.colormap is not None and not self.options.expand_palette

    def read(self, window: Window | None = None, shape: tuple[int, int] | None = None) -> Raster:
        """Read a window.

        Args:
            window: Whole pixels within the grid; None reads all.
            shape: Height and width to resample the window to; None keeps its own.

        Returns:
            Values in the file's dtype, and where they are valid: a pixel is valid while any
            band is (neither nodata nor NaN) and no mask or alpha hides it.

        Raises:
            SceneError: If the file is broken there, or has changed since it was opened.
        """
        window = window or self.grid.window
        grid = self.grid.crop(window)
        dataset = self._handle()
        try:
            data = self._read_data(dataset, window, shape)
            valid = self._read_valid(dataset, data, window, shape)
        except RasterioError as error:
            raise SceneError(
                self.path,
                f"cannot be read at rows {window.row_off} to {window.row_off + window.height} "
                f"({reason(error)})",
                "The file is damaged or cut short; restore it",
            ) from error
        if shape is not None and shape != grid.shape:
            scale = Affine.scale(grid.width / shape[1], grid.height / shape[0])
            grid = replace(grid, height=shape[0], width=shape[1], transform=grid.transform @ scale)
        return Raster(data=data, valid=valid, grid=grid)

    def block_rows(self) -> int:
        """Rows of the file's blocks, so that rows can be read without decoding any twice."""
        return int(self._handle().block_shapes[0][0])

    def _handle(self) -> DatasetReader | WarpedVRT:
        key = (self.path, self.stamp, self.options)
        dataset = kept_handle(key)
        if dataset is not None:
            return dataset
        if file_stamp(self.path) != self.stamp:
            raise SceneError(self.path, "has changed since it was opened", "Run again")
        source = open_dataset(self.path, trust_vrt=self.options.trust_vrt)
        if self.options.resolution is not None:
            return keep_handle(key, _warped(source, self))
        return keep_handle(key, source)

    def _read_data(
        self, dataset: DatasetReader | WarpedVRT, window: Window, shape: tuple[int, int] | None
    ) -> npt.NDArray[Any]:
        out_shape = None if shape is None else (len(self.bands), *shape)
        data: npt.NDArray[Any] = dataset.read(
            list(self.bands), window=window, out_shape=out_shape, resampling=self._resampling()
        )
        if self.colormap is not None and self.options.expand_palette:
            data = _palette_table(self.colormap, data.dtype)[:, data[0]]
        return data

    def _read_valid(
        self,
        dataset: DatasetReader | WarpedVRT,
        data: npt.NDArray[Any],
        window: Window,
        shape: tuple[int, int] | None,
    ) -> npt.NDArray[np.bool_]:
        nodata = self.nodata if self.validity == "values" and not self._is_expanded() else None
        valid: npt.NDArray[np.bool_] = np.any(has_data(data, nodata), axis=0)
        if self.validity == "mask":
            alpha = _alpha_band(dataset)
            mask = (
                dataset.read_masks(1, window=window, out_shape=shape)
                if alpha is None
                else dataset.read(alpha, window=window, out_shape=shape)
            )
            valid &= mask > 0
        return valid

    def _is_expanded(self) -> bool:
        return self.colormap is not None and self.options.expand_palette

    def _resampling(self) -> Resampling:
        if self.colormap is not None:
            return Resampling.nearest
        return Resampling[self.options.resampling]


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
        return known if nodata is None else known & (data != data.dtype.type(nodata))
    if nodata is None or not _holds(data.dtype, nodata):
        return np.ones(data.shape, dtype=np.bool_)
    return np.asarray(data != data.dtype.type(nodata))


def _describe(path: str, dataset: DatasetReader, options: SceneOptions) -> Scene:
    if dataset.subdatasets:
        logger.warning("%s: holds several pages or rasters; the first is taken", path)
    colormap = _colormap(dataset)
    bands, names = _choose_bands(path, dataset, options, colormap)
    nodata = dataset.nodatavals[bands[0] - 1]
    grid = _grid(path, dataset, options)
    if options.resolution is not None:
        grid = grid.at_resolution(options.resolution)
    return Scene(
        path=path,
        grid=grid,
        count=len(names),
        dtype=_dtype(path, dataset, bands),
        nodata=nodata,
        bands=bands,
        band_names=names,
        colormap=colormap,
        options=options,
        validity=_validity(dataset),
        stamp=file_stamp(path),
    )


def _dtype(path: str, dataset: DatasetReader, bands: tuple[int, ...]) -> str:
    dtypes = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(dtypes) > 1:
        raise SceneError(path, f"has bands of types {', '.join(dtypes)}", "Choose --bands of one")
    if "complex" in dtypes[0]:
        raise SceneError(path, f"holds {dtypes[0]} numbers", "Give their amplitude instead")
    return str(dtypes[0])


def _choose_bands(
    path: str,
    dataset: DatasetReader,
    options: SceneOptions,
    colormap: dict[int, tuple[int, int, int, int]] | None,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    alpha = _alpha_band(dataset)
    available = [band for band in dataset.indexes if band != alpha]
    if colormap is not None and options.expand_palette:
        return (1,), ("red", "green", "blue")
    names = _band_names(dataset, available)
    if options.bands is None:
        return tuple(available), names
    by_name = {name.lower(): band for name, band in zip(names, available, strict=True) if name}
    chosen: list[int] = []
    for wanted in options.bands:
        band = wanted if isinstance(wanted, int) else by_name.get(wanted.lower())
        if band is None or band not in available:
            listing = ", ".join(f"{b} {n}".strip() for b, n in zip(available, names, strict=True))
            raise SceneError(path, f"has no band {wanted!r}", f"Its bands are: {listing}")
        chosen.append(band)
    return tuple(chosen), tuple(names[available.index(band)] for band in chosen)


def _band_names(dataset: DatasetReader, bands: list[int]) -> tuple[str, ...]:
    """Descriptions; where a file has none, red, green and blue by its colour interpretation."""
    names = [dataset.descriptions[band - 1] or "" for band in bands]
    colors = [dataset.colorinterp[band - 1] for band in bands]
    primary = {ColorInterp.red, ColorInterp.green, ColorInterp.blue}
    if not any(names) and set(colors) == primary:
        names = [color.name for color in colors]
    return tuple(names)


def _grid(path: str, dataset: DatasetReader, options: SceneOptions) -> Grid:
    crs, transform = dataset.crs, dataset.transform
    plain_image = dataset.driver in {"PNG", "JPEG", "BMP"}
    if options.assume_crs is not None and options.assume_crs.lower() == "none":
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
        crs = _assumed_crs(path, options)
    return Grid(height=dataset.height, width=dataset.width, transform=transform, crs=crs)


def _assumed_crs(path: str, options: SceneOptions) -> CRS:
    if options.assume_crs is None:
        raise SceneError(
            path, "has no CRS", "Give the one it was made in, such as --assume-crs EPSG:32632"
        )
    try:
        return CRS.from_user_input(options.assume_crs)
    except CRSError as error:
        raise ConfigError(
            "--assume-crs", f"{options.assume_crs!r} is no CRS", "Give one such as EPSG:32632"
        ) from error


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    limits = np.iinfo(dtype)
    return bool(float(value).is_integer() and limits.min <= value <= limits.max)


def _validity(dataset: DatasetReader) -> Validity:
    flags = dataset.mask_flag_enums[0]
    if _alpha_band(dataset) is not None or MaskFlags.per_dataset in flags:
        return "mask"
    if any(value is not None for value in dataset.nodatavals):
        return "values"
    return "all"


def _alpha_band(dataset: DatasetReader | WarpedVRT) -> int | None:
    for band, color in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if color == ColorInterp.alpha:
            return int(band)
    return None


def _colormap(dataset: DatasetReader) -> dict[int, tuple[int, int, int, int]] | None:
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    colormap: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    return colormap


def _palette_table(
    colormap: dict[int, tuple[int, int, int, int]], dtype: np.dtype[Any]
) -> npt.NDArray[np.uint8]:
    """A table (3, values) of red, green, blue by index."""
    table = np.zeros((3, np.iinfo(dtype).max + 1), dtype=np.uint8)
    for value, color in colormap.items():
        table[:, value] = color[:3]
    return table


def _warped(source: DatasetReader, scene: Scene) -> WarpedVRT:
    nodata = scene.nodata
    if nodata is None and np.dtype(scene.dtype).kind == "f":
        nodata = float("nan")
    hidden = scene.validity == "mask" and _alpha_band(source) is None
    crs = scene.grid.crs
    return WarpedVRT(
        source,
        src_crs=crs,
        crs=crs,
        transform=scene.grid.transform,
        height=scene.grid.height,
        width=scene.grid.width,
        resampling=scene._resampling(),
        nodata=nodata,
        add_alpha=hidden,
    )
