"""Tile sets: folders of training pairs, image and mask, cut from scenes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.env import Env
from rasterio.errors import RasterioError
from shapely import GEOSException
from shapely.geometry.base import BaseGeometry

from geoseg.errors import GeosegError, LabelError, LegendError, TileSetError
from geoseg.geo.gdal import open_dataset, reason
from geoseg.geo.legend import Legend
from geoseg.geo.raster import has_data
from geoseg.geo.splits import SPLITS, Split
from geoseg.geo.stats import BandStats
from geoseg.geo.tile_links import check_inside
from geoseg.geo.vector_check import check_vector

TileFormat = Literal["tif", "png", "npy"]
FORMAT_VERSION = 1
INDEX_LAYER = "tiles"
_MOST_SIDE = 65536
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One training pair: where its files are, and where on which scene it was cut."""

    name: str
    """Unique in its set; the file name without suffix."""

    image: Path
    """File of the bands."""

    mask: Path
    """File of the class values."""

    split: Split
    """The part of the set it belongs to."""

    scene: str
    """The scene it was cut from, as the user named it."""

    row: int
    """First row in the scene, in pixels of the set's resolution."""

    col: int
    """First column in the scene, in pixels of the set's resolution."""

    height: int
    """Rows that lie on the scene, from the top; the rest of the tile is padding."""

    width: int
    """Columns that lie on the scene, from the left; the rest of the tile is padding."""

    valid_share: float
    """Share (0 to 1) of its part of the scene that holds data."""

    labelled_share: float
    """Share (0 to 1) of its part of the scene with a class, not `ignore`."""

    class_shares: tuple[float, ...]
    """Share (0 to 1) of its labelled pixels of each class, in legend order."""

    footprint: BaseGeometry | None
    """Outline in the CRS of the set; None where the scene has no place in it."""

    @property
    def class_pixels(self) -> tuple[int, ...]:
        """Labelled pixels of each class, in legend order: the shares are of whole pixels."""
        labelled = self.labelled_share * self.height * self.width
        return tuple(round(share * labelled) for share in self.class_shares)


@dataclass(frozen=True, kw_only=True)
class TileSet:
    """A folder of tiles with all that training needs to know about them.

    Layout: `tileset.json`, `index.gpkg`, `images/`, `masks/`, and `train.txt`, `val.txt`,
    `test.txt` with one tile name a line. The lists decide which tile is in which split.
    """

    root: Path
    """The folder."""

    tiles: tuple[Tile, ...]
    """All tiles: train, then val, then test, each in the order of its list."""

    legend: Legend
    """The classes of the masks."""

    stats: BandStats
    """Of the valid pixels of the train tiles, per band, in raw units."""

    band_names: tuple[str, ...]
    """Names of the bands; empty where the scenes have none."""

    dtype: str
    """Of the images, as numpy names it."""

    nodata: float | None
    """Value that means no data in the images."""

    size: int
    """Height and width of every tile in pixels."""

    format: TileFormat
    """How images and masks are stored."""

    class_counts: Mapping[str, Mapping[str, int]]
    """Pixels of each class by split, then class name."""

    resolution: float | None
    """Ground side of a pixel in metres; None for plain images."""

    crs: CRS | None
    """Of the footprints; None for plain images."""

    sources: tuple[Mapping[str, Any], ...]
    """The scenes and their labels, with size and time of change of the files."""

    options: Mapping[str, Any]
    """How the set was made."""

    rejected: Mapping[str, int]
    """How many windows were left out, by reason."""

    geoseg_version: str
    """The version that made it."""

    @classmethod
    def open(cls, root: str | Path) -> TileSet:
        """Read what a tile set says about itself; pixels are read by `read_tile`.

        Raises:
            TileSetError: If the folder is no tile set, is of a later format, contradicts
                itself, or lacks files.
        """
        root = Path(root).expanduser()
        check_inside(root)
        card = _read_card(root)
        try:
            return _from_card(root, card)
        except LegendError as error:
            raise TileSetError(root / "tileset.json", error.problem, "Tile again") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise TileSetError(
                root / "tileset.json", f"lacks or garbles an entry ({error!r})", "Tile again"
            ) from error

    def split(self, name: Split) -> list[Tile]:
        """The tiles of one split.

        Raises:
            TileSetError: If `name` is no split.
        """
        if name not in SPLITS:
            raise TileSetError(self.root, f"has no split {name!r}", f"Name one of {SPLITS}")
        return [tile for tile in self.tiles if tile.split == name]

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return len(self.band_names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the set's description and lists, which name sources and options."""
        digest = hashlib.sha256()
        for name in ("tileset.json", *(f"{split}.txt" for split in SPLITS)):
            file = self.root / name
            digest.update(file.read_bytes() if file.exists() else b"")
        return digest.hexdigest()

    def read_tile(
        self, tile: Tile
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.integer[Any]], npt.NDArray[np.bool_]]:
        """Read one tile.

        Returns:
            Image (bands, size, size) in raw units; mask (size, size) of class values with
            `ignore`; valid (size, size), True where the image holds data.

        Raises:
            TileSetError: If a file is damaged, or not of the set's shape.
        """
        if self.format == "npy":
            data, mask, masked = _load_array(tile.image), _load_array(tile.mask), None
        else:
            data, masked = _read_raster(tile.image)
            mask = _read_raster(tile.mask)[0][0]
        shape = (self.bands, self.size, self.size)
        if data.shape != shape or mask.shape != shape[1:]:
            raise TileSetError(
                tile.image, f"is {data.shape}, mask {mask.shape}; {shape} is expected", "Tile again"
            )
        return data, mask, self._valid(tile, data, mask, masked)

    def _valid(
        self,
        tile: Tile,
        data: npt.NDArray[Any],
        mask: npt.NDArray[Any],
        masked: npt.NDArray[np.bool_] | None,
    ) -> npt.NDArray[np.bool_]:
        nodata = self.nodata if masked is None else None
        valid: npt.NDArray[np.bool_] = np.asarray(has_data(data, nodata).any(axis=0))
        if masked is not None:
            valid &= masked
        elif self.format != "tif" and nodata is None:
            valid[tile.height :] = False
            valid[:, tile.width :] = False
            if tile.valid_share < 1:
                # PNG and NPY keep no mask: what bears no class is taken as not valid.
                valid &= mask != self.legend.ignore
        return valid


def tile_paths(root: Path, name: str, format_: TileFormat) -> tuple[Path, Path]:
    """Image and mask file of the tile `name` in the tile set at `root`.

    Raises:
        TileSetError: If the name could lead out of the folder.
    """
    if not _NAME.fullmatch(name):
        raise TileSetError(root, f"{name!r} is no name of a tile", "Restore the lists of the set")
    return root / "images" / f"{name}.{format_}", root / "masks" / f"{name}.{format_}"


def share_columns(legend: Legend) -> list[str]:
    """Columns of `index.gpkg` with the share of each class, in legend order.

    SQLite takes column names that differ in case only for one, so the value tells such apart.
    """
    plain = [f"share_{name}" for name in legend.names]
    folded = [name.casefold() for name in plain]
    return [
        name if folded.count(name.casefold()) == 1 else f"{name}_{value}"
        for name, value in zip(plain, legend.values, strict=True)
    ]


def _read_card(root: Path) -> dict[str, Any]:
    file = root / "tileset.json"
    if not file.is_file():
        raise TileSetError(root, "is no tile set (no tileset.json)", "Make one by geoseg tile")
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TileSetError(file, f"cannot be read ({error})", "Tile again") from error
    version = card.get("format_version") if isinstance(card, dict) else None
    if version != FORMAT_VERSION:
        raise TileSetError(
            file, f"format version {version}, {FORMAT_VERSION} is known", "Update geoseg"
        )
    return dict(card)


def _from_card(root: Path, card: Mapping[str, Any]) -> TileSet:
    legend = Legend.from_dict(card["legend"])
    if card["format"] not in {"tif", "png", "npy"}:
        raise ValueError(card["format"])
    if not 1 <= int(card["size"]) <= _MOST_SIDE:
        raise ValueError(card["size"])
    with Env():  # else PROJ tells its own errors on stderr
        crs = CRS.from_wkt(card["crs"]) if card["crs"] else None
    return TileSet(
        root=root,
        tiles=_read_tiles(root, card["format"], legend),
        legend=legend,
        stats=BandStats.from_dict(card["stats"]),
        band_names=tuple(card["bands"]),
        dtype=str(np.dtype(card["dtype"])),
        nodata=None if card["nodata"] is None else float(card["nodata"]),
        size=int(card["size"]),
        format=card["format"],
        class_counts=dict(card["class_counts"]),
        resolution=card["resolution"],
        crs=crs,
        sources=tuple(card["sources"]),
        options=card["options"],
        rejected=card["rejected"],
        geoseg_version=card["geoseg_version"],
    )


def _read_tiles(root: Path, format_: TileFormat, legend: Legend) -> tuple[Tile, ...]:
    records = _read_index(root, legend)
    tiles: dict[str, Tile] = {}
    for split in SPLITS:
        for name in _read_list(root / f"{split}.txt"):
            image, mask = tile_paths(root, name, format_)
            if name not in records:
                problem = f"{split}.txt lists {name}, index.gpkg does not"
                raise TileSetError(root, problem, "Tile again")
            if name in tiles:
                raise TileSetError(root, f"{name} is listed twice", "Keep it in one list")
            tiles[name] = Tile(name=name, image=image, mask=mask, split=split, **records[name])
    _check_files(root, tiles)
    return tuple(tiles.values())


def _read_index(root: Path, legend: Legend) -> dict[str, dict[str, Any]]:
    """What `index.gpkg` tells of each tile, by name; its paths and splits are for people."""
    try:
        check_vector(str(root / "index.gpkg"))
        frame = pyogrio.read_dataframe(root / "index.gpkg", layer=INDEX_LAYER)
    except LabelError as error:
        raise TileSetError(root / "index.gpkg", error.problem, "Tile again") from error
    except (DataSourceError, DataLayerError, GEOSException) as error:
        raise TileSetError(root / "index.gpkg", "cannot be read", "Tile again") from error
    shares = frame[share_columns(legend)].to_numpy(dtype=float)
    names = ("name", "scene", "row", "col", "height", "width", "valid", "labelled")
    columns = zip(*(frame[name] for name in names), shares, frame.geometry, strict=True)
    return {
        name: {
            "scene": scene,
            "row": int(row),
            "col": int(col),
            "height": int(height),
            "width": int(width),
            "valid_share": float(valid),
            "labelled_share": float(labelled),
            "class_shares": tuple(share.tolist()),
            "footprint": footprint,
        }
        for name, scene, row, col, height, width, valid, labelled, share, footprint in columns
    }


def _read_list(file: Path) -> list[str]:
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _check_files(root: Path, tiles: Mapping[str, Tile]) -> None:
    for kind in ("images", "masks"):
        folder = root / kind
        present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
        files = [tile.image if kind == "images" else tile.mask for tile in tiles.values()]
        missing = [file for file in files if file.name not in present]
        if missing:
            raise TileSetError(
                root, f"{len(missing)} {kind} are missing, such as {missing[0]}", "Tile again"
            )


def _load_array(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TileSetError(path, f"cannot be read ({error})", "Tile again") from error
    return array


def _read_raster(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """All bands, and the mask band where the file has one."""
    try:
        with open_dataset(str(path)) as dataset:
            data = dataset.read()
            if MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
                return data, dataset.read_masks(1) > 0
            return data, None
    except RasterioError as error:
        raise TileSetError(path, f"cannot be read ({reason(error)})", "Tile again") from error
    except GeosegError as error:
        raise TileSetError(path, error.problem, "Tile again") from error
