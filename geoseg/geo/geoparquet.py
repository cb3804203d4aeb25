"""GeoParquet 1.1: groups of rows with a box around each polygon, by which readers skip.

The format is described at https://geoparquet.org/releases/v1.1.0/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from geoseg.geo.polygon_layer import GEOMETRY, PolygonLayer

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([pa.field(side, pa.float64()) for side in _SIDES])
_BOX_COLUMN = "bbox"


def write_geoparquet(path: Path, groups: Iterable[pa.RecordBatch], layer: PolygonLayer) -> None:
    """Write a layer, a row group for each group of polygons.

    Args:
        path: The file to make.
        groups: Polygons with the layer's schema.
        layer: What they are.
    """
    fields = [*layer.columns, pa.field(GEOMETRY, pa.binary()), pa.field(_BOX_COLUMN, _BOX)]
    schema = pa.schema(fields)
    extent = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with pq.ParquetWriter(
        path, schema, compression="zstd", write_page_checksum=True, store_schema=False
    ) as writer:
        for group in groups:
            geometries = group.column(GEOMETRY).cast(pa.binary())
            bounds = shapely.bounds(shapely.from_wkb(geometries.to_numpy(zero_copy_only=False)))
            extent[:2] = np.fmin(extent[:2], np.fmin.reduce(bounds[:, :2]))
            extent[2:] = np.fmax(extent[2:], np.fmax.reduce(bounds[:, 2:]))
            attributes = [group.column(name) for name in layer.columns.names]
            columns = [*attributes, geometries, _boxes(bounds)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        writer.add_key_value_metadata({"geo": json.dumps(_metadata(layer, extent))})


def read_geoparquet(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file, without the boxes, a row group at a time.

    Raises:
        OSError: If a page does not agree with its checksum.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = [name for name in file.schema_arrow.names if name != _BOX_COLUMN]
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=names).to_batches()


def geoparquet_info(path: Path) -> tuple[pa.Schema, str, pyproj.CRS | None]:
    """The attributes of a file, the name of its column of geometries, and their CRS.

    Raises:
        ValueError: If it is no GeoParquet.
    """
    schema = pq.read_schema(path)
    text = (schema.metadata or {}).get(b"geo")
    if text is None:
        raise ValueError("has no geometries")
    meta = json.loads(text)
    name = meta["primary_column"]
    crs = meta["columns"][name].get("crs", "OGC:CRS84")
    attributes = [each for each in schema if each.name not in (name, _BOX_COLUMN)]
    found = None if crs is None else pyproj.CRS.from_user_input(crs)
    return pa.schema(attributes), name, found


def _metadata(layer: PolygonLayer, extent: np.ndarray[Any, Any]) -> dict[str, Any]:
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon"],
        # Null tells that there is no CRS; without the key it would be longitude and latitude.
        "crs": None if layer.wkt is None else pyproj.CRS.from_wkt(layer.wkt).to_json_dict(),
        "edges": "planar",
        "covering": {"bbox": {side: [_BOX_COLUMN, side] for side in _SIDES}},
    }
    if np.isfinite(extent).all():
        column["bbox"] = extent.tolist()
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _boxes(bounds: np.ndarray[Any, Any]) -> pa.Array:
    sides = [pa.array(np.ascontiguousarray(side)) for side in bounds.T]
    return pa.StructArray.from_arrays(sides, fields=list(_BOX))
