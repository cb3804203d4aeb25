"""Scenes: rasters on disk, read window by window, with one rule for what is valid."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.alpha import names_alpha, without_alpha
from geoseg.geo.bands import (
    Colormap,
    choose_bands,
    colormap_of,
    common_dtype,
    expand_palette,
)
from geoseg.geo.gdal import (
    GDAL_ERRORS,
    drop_handle,
    file_stamp,
    keep_handle,
    kept_handle,
    open_dataset,
    reason,
    sources_stamp,
)
from geoseg.geo.grid import Grid
from geoseg.geo.npy import NpyAxes
from geoseg.geo.remote import is_remote, read_patiently
from geoseg.geo.scene_place import grid_of
from geoseg.geo.validity import (
    Validity,
    alpha_band,
    has_mask,
    nodata_of,
    read_mask,
    valid_pixels,
    validity_of,
)
from geoseg.geo.validity import has_data as has_data  # noqa: PLC0414  tiles ask it of Raster data

logger = logging.getLogger(__name__)

ResamplingName = Literal["nearest", "bilinear", "cubic", "average", "mode"]


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
    """Bands to read, by number from 1 or by name; None reads all but alpha. Alpha that is named
    by its number is data like any other band, and hides nothing."""

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

    allow_remote: bool = False
    """Whether a VRT, and a list of scenes, may name URLs."""

    npy_axes: NpyAxes | None = None
    """What the three axes of arrays of numpy are; two are height and width."""


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
    """Numbers of the bands in the file, from 1; alpha is among them only if it was named by its
    number. Of an expanded palette: 1 red, 2 green, 3 blue."""

    band_names: tuple[str, ...]
    """Names of the bands; empty where the file has none."""

    colormap: Colormap | None = None
    """Colours of a paletted raster: value to red, green, blue, alpha (0 to 255)."""

    options: SceneOptions
    """As it was opened."""

    validity: Validity = "all"
    """Where `valid` comes from beside NaN: nothing, the nodata value, or a mask or alpha band."""

    nodata_values: tuple[float | None, ...] = ()
    """Nodata values by which `valid` is told, one a file band read; none where a mask rules."""

    stamp: tuple[int, int] = (0, 0)
    """Size and change time of the file when it was opened."""

    sources: tuple[int, int] = (0, 0)
    """Of the files of a VRT, likewise: see `geoseg.geo.gdal.sources_stamp`."""

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
        with _open(path, options) as dataset:
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
            ValueError: If the window leaves the grid, or is not of whole pixels.
        """
        window = self._checked(window)
        grid = self.grid.crop(window)
        try:
            data, valid = self._read(window, shape)
        except GDAL_ERRORS as error:
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

    def read_onto(self, grid: Grid) -> Raster:
        """Read what lies on a grid of any place, CRS and pixel size.

        Args:
            grid: Where; what of it lies outside of the scene is not valid.

        Returns:
            Values by the scene's resampling, and where they are valid.

        Raises:
            SceneError: If the scene is broken there, or has no CRS.
        """
        if self.grid.crs is None or grid.crs is None:
            raise SceneError(self.path, "has no CRS", "Give --assume-crs")
        nodata = next((value for value in self.nodata_values if value is not None), None)
        source = _open(self.path, self.options)
        try:
            with (
                source,
                WarpedVRT(
                    source,
                    src_crs=self.grid.crs,
                    crs=grid.crs,
                    transform=grid.transform,
                    height=grid.height,
                    width=grid.width,
                    resampling=self._resampling(),
                    src_nodata=nodata,
                    nodata=nodata,
                    add_alpha=nodata is None and alpha_band(source) is None,
                ) as view,
            ):
                bands = [1] if self._is_expanded else list(self.bands)
                data: npt.NDArray[Any] = view.read(bands)
                valid = valid_pixels(data, self.nodata_values)
                if alpha_band(view) is not None:
                    valid &= read_mask(view, grid.window, None)
        except GDAL_ERRORS as error:
            raise SceneError(self.path, f"cannot be read ({reason(error)})") from error
        if self._is_expanded and self.colormap is not None:
            data = expand_palette(data[0], self.colormap, self.bands)
        return Raster(data=data, valid=valid, grid=grid)

    def block_rows(self) -> int:
        """Rows of the file's blocks, so that rows can be read without decoding any twice."""
        return self.block_shape()[0]

    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of the file's blocks."""
        rows, cols = self._handle().block_shapes[0]
        return int(rows), int(cols)

    def _checked(self, window: Window | None) -> Window:
        if window is None:
            return self.grid.window
        (top, bottom), (left, right) = window.toranges()
        inside = 0 <= top < bottom <= self.grid.height and 0 <= left < right <= self.grid.width
        if not inside or any(side != int(side) for side in (top, bottom, left, right)):
            raise ValueError(f"{window} is not of whole pixels within {self.grid.shape}")
        return window

    def _handle(self) -> DatasetReader | WarpedVRT:
        if file_stamp(self.path) != self.stamp:
            raise SceneError(self.path, "has changed since it was opened", "Run again")
        dataset = kept_handle(self._key)
        if dataset is not None:
            return dataset
        source = _open(self.path, self.options)
        if self.options.resolution is not None:
            return keep_handle(self._key, self._warped(source))
        return keep_handle(self._key, source)

    def _warped(self, source: DatasetReader) -> WarpedVRT:
        """A view of the file on the grid of another resolution."""
        nodata = self.nodata_values[0]
        if nodata is None and np.dtype(self.dtype).kind == "f":
            nodata = float("nan")
        return WarpedVRT(
            source,
            src_crs=self.grid.crs,
            crs=self.grid.crs,
            transform=self.grid.transform,
            height=self.grid.height,
            width=self.grid.width,
            resampling=self._resampling(),
            src_nodata=nodata,
            nodata=nodata,
            add_alpha=has_mask(source) and alpha_band(source) is None,
        )

    def _read(
        self, window: Window, shape: tuple[int, int] | None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """As `_read_once`, and again where that fails and a network may be at fault."""
        if not is_remote(self.path) and not self.options.allow_remote:
            return self._read_once(window, shape)
        return read_patiently(
            lambda: self._read_once(window, shape), lambda: drop_handle(self._key), GDAL_ERRORS
        )

    def _read_once(
        self, window: Window, shape: tuple[int, int] | None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Values (bands, height, width), and where they are valid (height, width)."""
        dataset = self._handle()
        bands = [1] if self._is_expanded else list(self.bands)
        out_shape = None if shape is None else (len(bands), *shape)
        data: npt.NDArray[Any] = dataset.read(
            bands, window=window, out_shape=out_shape, resampling=self._resampling()
        )
        valid = valid_pixels(data, self.nodata_values)
        if self.validity == "mask":
            valid &= read_mask(dataset, window, shape)
        if self._is_expanded and self.colormap is not None:
            data = expand_palette(data[0], self.colormap, self.bands)
        return data, valid

    @property
    def _key(self) -> Hashable:
        """What the open file is kept under."""
        return self.path, self.stamp, self.sources, self.options

    @property
    def _is_expanded(self) -> bool:
        return self.colormap is not None and self.options.expand_palette

    def _resampling(self) -> Resampling:
        if self.colormap is not None:
            return Resampling.nearest
        return Resampling[self.options.resampling]


def _open(path: str, options: SceneOptions) -> DatasetReader:
    """The file; without its alpha where `options` name that as a band."""
    dataset = open_dataset(
        path,
        trust_vrt=options.trust_vrt,
        allow_remote=options.allow_remote,
        npy_axes=options.npy_axes,
    )
    return without_alpha(path, dataset) if names_alpha(dataset, options.bands) else dataset


def _describe(path: str, dataset: DatasetReader, options: SceneOptions) -> Scene:
    if dataset.subdatasets:
        logger.warning("%s: holds several pages or rasters; the first is taken", path)
    colormap = colormap_of(dataset) if dataset.count else None
    expand = colormap is not None and options.expand_palette
    bands, names = choose_bands(path, dataset, options.bands, expand=expand)
    file_bands = (1,) if expand else bands
    dtype = common_dtype(path, dataset, file_bands)
    nodata_values = nodata_of(dataset, file_bands)
    grid = grid_of(path, dataset, options.assume_crs)
    if options.resolution is not None:
        grid = grid.at_resolution(options.resolution)
        _check_one_nodata(path, nodata_values)
    return Scene(
        path=path,
        grid=grid,
        count=len(bands),
        dtype="uint8" if expand else dtype,
        nodata=dataset.nodatavals[file_bands[0] - 1],
        bands=bands,
        band_names=names,
        colormap=colormap,
        options=options,
        validity=validity_of(dataset, file_bands),
        nodata_values=nodata_values,
        stamp=file_stamp(path),
        sources=sources_stamp(dataset),
    )


def _check_one_nodata(path: str, values: tuple[float | None, ...]) -> None:
    if len({str(value) for value in values}) > 1:
        listing = ", ".join(str(value) for value in values)
        raise SceneError(
            path,
            f"has bands of unlike nodata values ({listing}), which cannot be resampled together",
            "Choose --bands of one, or leave --resolution out",
        )
