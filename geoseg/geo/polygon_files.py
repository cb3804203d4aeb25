"""Frames of polygons written: GeoPackage, FlatGeobuf, GeoParquet, GeoJSON, Shapefile, by suffix."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pyarrow as pa
from rasterio.crs import CRS

from geoseg.geo.legend import Legend
from geoseg.geo.multipolygon_wkb import encode_geometries
from geoseg.geo.polygon_layer import GEOMETRY, PolygonLayer
from geoseg.geo.polygon_writer import write_layer


def write_polygons(
    path: str | Path,
    frame: geopandas.GeoDataFrame,
    *,
    legend: Legend | None = None,
    overwrite: bool = False,
    layer: str = "segments",
) -> Path:
    """Write polygons in the format of the path's suffix, read them back, then publish them.

    Args:
        path: The file; `.gpkg`, `.fgb`, `.parquet`, `.geojson`, `.geojsonl` or `.shp`.
        frame: Polygons with their attributes; it may be empty.
        legend: Gives a GeoPackage its style by the column `class_id`.
        overwrite: Whether an existing file may be replaced.
        layer: Name of the layer, in formats that name it.

    Returns:
        The path written.

    Raises:
        OutputError: If the suffix is unknown, the file must not be written there, or the format
            cannot hold the frame.
        WorkError: If the writing failed, or the file read back is not whole.
    """
    attributes = frame.drop(columns=frame.geometry.name)
    table = pa.Table.from_pandas(attributes, preserve_index=False).replace_schema_metadata(None)
    crs = None if frame.crs is None else CRS.from_wkt(frame.crs.to_wkt())
    described = PolygonLayer(columns=table.schema, crs=crs, legend=legend, name=layer)
    geometries = encode_geometries(frame.geometry.to_numpy())
    table = table.append_column(GEOMETRY, geometries).cast(described.schema)
    write_layer(path, table.to_batches(), described, overwrite=overwrite)
    return Path(path).expanduser()
