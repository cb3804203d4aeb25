"""What the tiles of a mosaic are: files as they were typed, rows of a tile index, STAC items."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyogrio

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.paths import find_scenes
from geoseg.geo.polygon_formats import quiet_ogr
from geoseg.geo.remote import is_remote, is_served, vsi_path
from geoseg.geo.stac_assets import Part, parts_of
from geoseg.geo.vector import read_features

_INDEX_SUFFIXES = (".gti.gpkg", ".gti.fgb", ".gti.geojson", ".gti.shp")
_ITEM_SUFFIXES = (".json", ".geojson")
_INDEX_KEYS = {"LOCATION_FIELD", "SORT_FIELD", "SORT_FIELD_ASC"}
"""What a tile index may tell GDAL that is followed here."""

_FOREIGN_KEYS = (
    *("RESX", "RESY", "MINX", "MINY", "MAXX", "MAXY", "XSIZE", "YSIZE", "GEOTRANSFORM", "SRS"),
    *("RESAMPLING", "BAND_COUNT", "DATA_TYPE", "NODATA", "MASK_BAND", "FILTER", "OVERVIEW"),
)
"""What it may tell that would change pixels, and is not followed."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its bands in turn."""

    name: str
    """For errors: the file, or the file that named it and the item."""

    parts: tuple[Part, ...]
    """Where its bands come from; one or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """How far the files that name tiles may reach."""

    trust: bool = False
    """Whether they may name files out of their own folder."""

    allow_remote: bool = False
    """Whether they may name URLs."""


def find_tiles(entries: Sequence[str | Path], assets: Sequence[str], leave: Leave) -> list[Tile]:
    """Turn what a user typed into tiles, in order; later ones lie on top.

    Args:
        entries: Scenes as `find_scenes` takes them, tile indices, files of STAC items.
        assets: Names of the assets or bands of STAC items; none where each has a single raster.
        leave: What the indices, items and lists may name.

    Raises:
        SceneError: If an entry stands for no tile, or names what it may not.
        LabelError: If a tile index cannot be read as a vector file.
        ConfigError: If `assets` are named but no STAC item is there, or pystac is not installed.
    """
    tiles: list[Tile] = []
    is_item = [_is_file(entry, _ITEM_SUFFIXES) for entry in entries]
    if assets and not any(is_item):
        raise ConfigError("--assets", "there is no STAC item", "Name a .json file of items")
    for entry, holds_items in zip([os.fspath(each) for each in entries], is_item, strict=True):
        if _is_file(entry, _INDEX_SUFFIXES):
            tiles += [Tile(path, (Part(path),)) for path in _index(entry, leave)]
        elif holds_items:
            tiles += _items(entry, assets, leave)
        else:
            found = find_scenes([entry], allow_remote=leave.allow_remote)
            tiles += [Tile(path, (Part(path),)) for path in found]
    return tiles


def _is_file(entry: str | Path, suffixes: tuple[str, ...]) -> bool:
    text = os.fspath(entry).lower()
    return text.endswith(suffixes) and not text.startswith("@") and not is_remote(text)


def _index(path: str, leave: Leave) -> Iterator[str]:
    """The files of a GDAL tile index, in the order in which GDAL draws them."""
    features = read_features(path)
    told = _index_keys(path)
    column = told.get("LOCATION_FIELD", "location")
    if column not in features.columns:
        raise SceneError(path, f"has no column {column!r} of files", "Make it by gdaltindex")
    if "SORT_FIELD" in told:
        by = told["SORT_FIELD"]
        if by not in features.columns:
            raise SceneError(path, f"has no column {by!r} to sort by", "Make it anew")
        rises = told.get("SORT_FIELD_ASC", "YES").upper() not in {"NO", "FALSE", "OFF", "0"}
        features = features.sort_values(by, ascending=rises, kind="stable")
    for location in features[column]:
        if pd.isna(location) or not str(location).strip():
            raise SceneError(path, "has a row without a file", "Make it anew")
        yield _named(path, str(location), leave)


def _index_keys(path: str) -> Mapping[str, str]:
    """What the layer tells GDAL's driver of tile indices; nothing where the format cannot."""
    with quiet_ogr(path):
        told: dict[str, str] = pyogrio.read_info(path)["layer_metadata"] or {}
    foreign = [key for key in told if key.upper().startswith(_FOREIGN_KEYS)]
    if foreign:
        problem = f"tells of {', '.join(foreign)}, which is not followed"
        raise SceneError(path, problem, "Make a VRT of it: gdal_translate -of VRT")
    return {key.upper(): value for key, value in told.items() if key.upper() in _INDEX_KEYS}


def _items(path: str, assets: Sequence[str], leave: Leave) -> Iterator[Tile]:
    """The tiles of a file of one STAC item, or a collection of them."""
    for item in _read_items(path):
        name = f"{path} ({item.id})"
        parts = parts_of(name, item, assets)
        yield Tile(name, tuple(Part(_named(path, p.path, leave), p.bands, p.names) for p in parts))


def _read_items(path: str) -> list[Any]:
    try:
        import pystac
        from pystac.errors import STACError, STACTypeError
    except ImportError as error:
        problem = "pystac, which reads STAC items, is not installed"
        raise ConfigError(path, problem, "Install geoseg[stac]") from error
    try:
        text = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        kind = text.get("type")
        if kind == "FeatureCollection":
            items = [pystac.Item.from_dict(each) for each in text["features"]]
        elif kind == "Feature":
            items = [pystac.Item.from_dict(text)]
        else:
            problem = f"is of type {kind!r}, no STAC item or collection of items"
            raise SceneError(path, problem, "Save the answer of a search for items")
    except OSError as error:
        raise SceneError(path, error.strerror or str(error), "Check the path") from error
    except (STACError, STACTypeError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"holds no STAC items ({' '.join(str(error).split())[:200]})"
        raise SceneError(path, problem, "Check the file") from error
    if not items:
        raise SceneError(path, "holds no item", "Search for items again")
    return items


def _named(path: str, name: str, leave: Leave) -> str:
    """A file that another one names: beside that, or at a URL.

    Raises:
        SceneError: If it is out of the folder, does not exist, or is at a URL, without leave.
    """
    if is_remote(name):
        if not leave.allow_remote:
            cure = "Give --allow-remote if you know where it comes from"
            raise SceneError(path, f"names a remote file, {name}", cure)
        if not leave.trust and not is_served(vsi_path(name)):
            cure = "Give --trust-vrt if you know where it comes from"
            raise SceneError(path, f"names what is no file of a server: {name}", cure)
        return name
    folder = Path(path).resolve().parent
    try:
        found = (folder / name).resolve()
        is_file = found.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise SceneError(path, f"names what cannot be a file: {name[:200]}", "Check it") from error
    if not leave.trust and not found.is_relative_to(folder):
        cure = "Give --trust-vrt if you know where it comes from"
        raise SceneError(path, f"names a file outside its folder: {name}", cure)
    if not is_file:
        raise SceneError(path, f"names a file that does not exist: {name}", "Restore it")
    return str(Path(path).parent / name)
