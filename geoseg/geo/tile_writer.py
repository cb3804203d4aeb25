"""Writing tile sets: encoded tiles, lists, index and description into a folder."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from geoseg.errors import WorkError
from geoseg.geo.cutting import Cut
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.raster import has_data
from geoseg.geo.splits import SPLITS
from geoseg.geo.tileset import INDEX_LAYER, Tile, TileFormat, share_columns, tile_paths

_DATE = "2000-01-01T00:00:00.000Z"
"""GeoPackages bear a date of change; equal input is to give equal bytes."""


_STRIP_ROWS = 32
"""Measured: whole bands are compressed 40 % slower, and no better."""


@dataclass(frozen=True, kw_only=True)
class TileEncoder:
    """Turns cuts into the bytes of their files, and writes them.

    Files are made in memory and written by Python, because GDAL does not report a disk that
    is full when it closes a file.
    """

    root: Path
    """The folder of the tile set, with `images` and `masks` in it."""

    format: TileFormat
    """How to store images and masks."""

    legend: Legend
    """The classes of the masks."""

    band_names: tuple[str, ...]
    """Names of the bands; empty ones are left out."""

    def write(self, name: str, cut: Cut, nodata: float | None) -> tuple[Path, Path]:
        """Write image and mask of one tile; any thread may, within `writing`.

        Args:
            name: Name of the tile.
            cut: Its pixels.
            nodata: Value that means no data in the image.

        Returns:
            The files of image and mask.

        Raises:
            WorkError: If the file system fails.
        """
        image, mask = tile_paths(self.root, name, self.format)
        encoded = {image: self._image(cut, nodata), mask: self._mask(cut)}
        for path, content in encoded.items():
            try:
                path.write_bytes(content)
            except OSError as error:
                raise WorkError(path, error.strerror or str(error), "Check the disk") from error
        return image, mask

    def _image(self, cut: Cut, nodata: float | None) -> bytes:
        if self.format == "npy":
            return _npy(cut.data)
        if self.format == "png":
            return _png(cut.data)
        colored = len(cut.data) == 3 and cut.data.dtype == np.uint8
        profile = _geotiff_profile(cut.data, cut.grid) | {
            "nodata": nodata,
            "predictor": 3 if cut.data.dtype.kind == "f" else 2,
            # GDAL would take the fourth of four bytes for alpha.
            "photometric": "rgb" if colored else "minisblack",
        }
        with _in_memory(profile) as (dataset, content):
            dataset.write(cut.data)
            for band, band_name in enumerate(self.band_names, start=1):
                if band_name:
                    dataset.set_band_description(band, band_name)
            if not _tells_valid(cut, nodata):
                dataset.write_mask(cut.valid)
        return content[0]

    def _mask(self, cut: Cut) -> bytes:
        if self.format == "npy":
            return _npy(cut.mask)
        if self.format == "png":
            return _png(cut.mask[None])
        profile = _geotiff_profile(cut.mask[None], cut.grid) | {"nodata": self.legend.ignore}
        with _in_memory(profile) as (dataset, content):
            if cut.mask.dtype == np.uint8:
                colors = zip(self.legend.values, self.legend.colors, strict=True)
                dataset.write_colormap(1, {value: (*rgb, 255) for value, rgb in colors})
            dataset.write(cut.mask, 1)
        return content[0]


def write_index(path: Path, tiles: Sequence[Tile], legend: Legend, crs: CRS | None) -> None:
    """Write the footprints of tiles as a GeoPackage that QGIS opens.

    Args:
        path: The file to make.
        tiles: The tiles, in any order.
        legend: Names the columns of shares.
        crs: Of the footprints.
    """
    columns: dict[str, Any] = {
        "name": [t.name for t in tiles],
        "image": [f"images/{t.image.name}" for t in tiles],
        "mask": [f"masks/{t.mask.name}" for t in tiles],
        "split": [t.split for t in tiles],
        "scene": [t.scene for t in tiles],
        "row": [t.row for t in tiles],
        "col": [t.col for t in tiles],
        "height": [t.height for t in tiles],
        "width": [t.width for t in tiles],
        "valid": [t.valid_share for t in tiles],
        "labelled": [t.labelled_share for t in tiles],
    }
    shares = np.array([t.class_shares for t in tiles]).reshape(len(tiles), legend.count)
    columns |= dict(zip(share_columns(legend), shares.T, strict=True))
    frame = geopandas.GeoDataFrame(
        columns,
        geometry=[t.footprint for t in tiles],
        crs=crs.to_wkt() if crs is not None else None,
    )
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    try:
        pyogrio.write_dataframe(
            frame,
            path,
            layer=INDEX_LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            dataset_options={"VERSION": "1.3"},  # older GDAL warns of newer versions
        )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def write_lists(root: Path, tiles: Sequence[Tile]) -> None:
    """Write `train.txt`, `val.txt` and `test.txt`: one name of a tile a line."""
    for split in SPLITS:
        names = [tile.name for tile in tiles if tile.split == split]
        text = "".join(f"{name}\n" for name in names)
        (root / f"{split}.txt").write_text(text, encoding="utf-8")


def write_card(root: Path, card: Mapping[str, Any]) -> None:
    """Write `tileset.json`; NaN is not JSON, so the card holds none."""
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    (root / "tileset.json").write_text(text + "\n", encoding="utf-8")


def nodata_entry(nodata: float | None) -> float | str | None:
    """A nodata value as JSON can hold it."""
    if nodata is None or math.isfinite(nodata):
        return nodata
    return str(nodata)


def _tells_valid(cut: Cut, nodata: float | None) -> bool:
    """Whether the values alone tell where the image is valid, so that it needs no mask band."""
    if nodata is None and cut.data.dtype.kind != "f":
        return bool(cut.valid.all())
    return np.array_equal(has_data(cut.data, nodata).any(axis=0), cut.valid)


def _geotiff_profile(data: npt.NDArray[Any], grid: Grid) -> dict[str, Any]:
    """Bands one after the other, as in memory, in strips that fit a processor's cache."""
    bands, height, width = data.shape
    return {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": data.dtype.name,
        "crs": grid.crs,
        "transform": None if grid.transform.is_identity else grid.transform,
        "interleave": "band",
        "blockysize": min(_STRIP_ROWS, height),
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
    }


def writing() -> rasterio.Env:
    """GDAL's settings for `TileEncoder.write`: entered once for many tiles, as it takes time."""
    return rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)


@contextmanager
def _in_memory(profile: Mapping[str, Any]) -> Iterator[tuple[Any, list[bytes]]]:
    """Give a dataset to write, and a list that holds the bytes of its file once it is closed."""
    content: list[bytes] = []
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            yield dataset, content
        content.append(memory.read())


def _png(data: npt.NDArray[Any]) -> bytes:
    bands, height, width = data.shape
    profile = {"driver": "PNG", "count": bands, "height": height, "width": width, "zlevel": 1}
    with _in_memory(profile | {"dtype": data.dtype.name}) as (dataset, content):
        dataset.write(data)
    return content[0]


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
