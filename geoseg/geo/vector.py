"""Vector files: polygons in, polygons out, polygons onto a grid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.env import Env
from rasterio.errors import CRSError
from shapely.geometry.base import BaseGeometry

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.geometry import burn, is_polygonal, repair, reproject
from geoseg.geo.polygon_files import write_polygons
from geoseg.geo.polygon_formats import quiet_ogr
from geoseg.geo.remote import is_remote
from geoseg.geo.vector_check import check_vector

__all__ = ["burn", "count_shapes", "read_area", "read_features", "read_polygons", "write_polygons"]

logger = logging.getLogger(__name__)

VECTOR_SUFFIXES = (
    *(".gpkg", ".geojson", ".json", ".geojsonl", ".geojsons", ".fgb", ".shp", ".parquet"),
    *(".kml", ".gml", ".sqlite", ".tab", ".gdb", ".zip", ".csv"),
)
"""Suffixes by which a file is first taken for a vector file."""

_BROKEN = (DataSourceError, DataLayerError, shapely.GEOSException, UnicodeDecodeError)
"""What comes of damaged files."""

_STYLE_LAYER = "layer_styles"


def read_features(
    path: str,
    layer: str | None = None,
    columns: Sequence[str] | None = None,
    assume_crs: str | None = None,
) -> geopandas.GeoDataFrame:
    """Read a layer as it is: any format that OGR knows, and GeoParquet.

    Args:
        path: A file, URL or `/vsi...` path.
        layer: Name of the layer; may be left out where there is one only.
        columns: Attributes to read; None reads all.
        assume_crs: CRS of a file that has none; `none` takes all coordinates for plain pixels.

    Returns:
        The features; without a CRS where the file has none and none was assumed.

    Raises:
        LabelError: If it cannot be read, the layer is not there or unnamed among several, an
            attribute is missing (they are listed), or there are no features.
        ConfigError: If `assume_crs` is no CRS.
    """
    if not is_remote(path) and not Path(path).exists():
        raise LabelError(path, "does not exist", "Check the path")
    frame = _read_parquet(path) if _is_parquet(path) else _read_layer(path, layer, columns)
    for column in columns or ():
        if column not in frame.columns:
            raise _no_field(path, column, [c for c in frame.columns if c != "geometry"])
    if frame.empty:
        raise LabelError(path, "has no features", "Check that the right layer was exported")
    if assume_crs is not None and assume_crs.lower() == "none":
        return frame.set_crs(None, allow_override=True)
    if frame.crs is None and assume_crs is not None:
        return frame.set_crs(_parse_crs(assume_crs).to_wkt())
    return frame


def count_shapes(path: str, layer: str | None = None) -> tuple[int, int]:
    """Count the features of a layer that may be empty.

    Returns:
        Polygons, when repaired; and points and lines.

    Raises:
        LabelError: If it cannot be read, or the layer is not there or unnamed among several.
    """
    if not is_remote(path) and not Path(path).exists():
        raise LabelError(path, "does not exist", "Check the path")
    frame = _read_parquet(path) if _is_parquet(path) else _read_layer(path, layer, [])
    if frame.empty or "geometry" not in frame.columns:
        return 0, 0
    geometries, found = repair(frame.geometry.to_numpy())
    return int(is_polygonal(geometries).sum()), found.thin


def read_polygons(path: str, layer: str | None = None) -> geopandas.GeoDataFrame:
    """Read the polygons of a layer, repaired; what was mended or left out is logged.

    Args:
        path: A file, URL or `/vsi...` path.
        layer: Name of the layer; may be left out where there is one only.

    Returns:
        Features with valid, flat Polygons and MultiPolygons and all their attributes.

    Raises:
        LabelError: If it cannot be read, or holds points or lines, or no polygons at all.
    """
    frame = read_features(path, layer)
    geometries, found = repair(frame.geometry.to_numpy())
    if found.thin:
        raise LabelError(path, f"{found.thin} features are points or lines", "Give polygons")
    kept = is_polygonal(geometries)
    if not kept.any():
        raise LabelError(path, "has no polygons", "Check that the right layer was exported")
    if str(found):
        logger.info("%s: %s", path, found)
    return frame.set_geometry(geometries, crs=frame.crs)[kept].reset_index(drop=True)


def read_area(path: str, crs: CRS | None) -> BaseGeometry:
    """Read an area of interest: all polygons of a file as one geometry.

    Args:
        path: A vector file of one layer.
        crs: The CRS to bring it into; None for a plain image, whose area has no CRS either.

    Raises:
        LabelError: If it cannot be read, holds no polygons, or one of both has no CRS.
    """
    frame = read_polygons(path)
    area = shapely.union_all(frame.geometry.to_numpy())
    source = crs_of(frame)
    if source is None and crs is None:
        return area
    if source is None or crs is None:
        raise LabelError(
            path,
            "has no CRS" if source is None else "has a CRS, the scene has none",
            "Give both in a CRS, or both in plain pixels",
        )
    tolerance = 1e-7 if crs.is_geographic else 0.01
    moved = reproject(np.array([area], dtype=object), source, crs, tolerance)[0]
    if moved is None:
        raise LabelError(path, f"does not fit into {crs.to_string()}", "Cut it to the scene")
    return repair(np.array([moved], dtype=object))[0][0]


def crs_of(frame: geopandas.GeoDataFrame) -> CRS | None:
    """The CRS of a frame as rasterio knows it."""
    return None if frame.crs is None else CRS.from_wkt(frame.crs.to_wkt())


def vector_layers(path: str) -> list[str]:
    """Names of the layers with geometries; none where the file is no vector file.

    Raises:
        LabelError: If it points at other files or servers.
    """
    if _is_parquet(path):
        return [Path(path).stem]
    check_vector(path)
    try:
        with quiet_ogr(path):
            layers = pyogrio.list_layers(path)
    except (DataSourceError, UnicodeDecodeError):
        return []
    return [str(name) for name, kind in layers if kind is not None and name != _STYLE_LAYER]


def _read_layer(
    path: str, layer: str | None, columns: Sequence[str] | None
) -> geopandas.GeoDataFrame:
    layer = _choose_layer(path, layer)
    try:
        with quiet_ogr(path):
            fields = list(pyogrio.read_info(path, layer=layer)["fields"])
            for column in columns or ():
                if column not in fields:
                    raise _no_field(path, column, fields)
            frame = pyogrio.read_dataframe(path, layer=layer, columns=columns)
    except _BROKEN as error:
        raise LabelError(
            path, f"cannot be read ({_first_line(error)})", "Restore the file"
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise LabelError(path, f'layer "{layer}" has no geometries', "Name another layer")
    return frame


def _choose_layer(path: str, layer: str | None) -> str:
    layers = vector_layers(path)
    if not layers:
        raise LabelError(
            path, "is not a vector file with geometries that can be read", "Check the file"
        )
    listing = ", ".join(layers)
    if layer is not None and layer not in layers:
        raise LabelError(path, f'has no layer "{layer}"', f"Its layers are: {listing}")
    if layer is None and len(layers) > 1:
        raise LabelError(path, f"has several layers: {listing}", "Name one with --label-layer")
    return layer or layers[0]


def _read_parquet(path: str) -> geopandas.GeoDataFrame:
    try:
        return geopandas.read_parquet(path)
    except ImportError as error:
        raise LabelError(
            path, "GeoParquet needs pyarrow", "Install it: pip install pyarrow"
        ) from error
    except (OSError, ValueError) as error:
        raise LabelError(
            path, f"cannot be read ({_first_line(error)})", "Restore the file"
        ) from error


def _is_parquet(path: str) -> bool:
    return path.lower().endswith((".parquet", ".geoparquet"))


def _parse_crs(text: str) -> CRS:
    try:
        with Env():  # else PROJ tells its own errors on stderr
            return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(
            "--label-crs", f"{text!r} is no CRS", "Give one such as EPSG:32632"
        ) from error


def _no_field(path: str, field: str, fields: Sequence[str]) -> LabelError:
    listing = ", ".join(str(name) for name in fields) or "none"
    return LabelError(path, f'has no field "{field}"', f"Its fields are: {listing}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
