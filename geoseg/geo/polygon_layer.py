"""A layer of polygons as it is streamed: what its columns are, and its rows in groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rasterio.crs import CRS

from geoseg.geo.legend import Legend

GEOMETRY = "geometry"
"""Name of the column of multipolygons, as well-known binary."""

_ROWS, _BYTES = 1 << 16, 1 << 26
"""Polygons, and bytes of their geometries, with which a group is full."""


@dataclass(frozen=True, kw_only=True)
class PolygonLayer:
    """What a layer of polygons is, whatever the format."""

    columns: pa.Schema
    """Names and types of the attributes, without the geometry."""

    crs: CRS | None
    """Of the polygons; None for pixels of an image."""

    legend: Legend | None = None
    """Gives formats that keep styles the colours of the column `class_id`."""

    name: str = "segments"
    """Of the layer, in formats that name it."""

    @property
    def schema(self) -> pa.Schema:
        """The attributes, and the geometry behind them."""
        return self.columns.append(geometry_field())

    @property
    def wkt(self) -> str | None:
        """The CRS as text."""
        return None if self.crs is None else str(self.crs.to_wkt())


def geometry_field() -> pa.Field:
    """The column of geometries, marked as GDAL and others know it."""
    mark = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": "{}"}
    return pa.field(GEOMETRY, pa.large_binary(), metadata=mark)


def regroup(
    batches: Iterable[pa.RecordBatch], *, rows: int = _ROWS, size: int = _BYTES
) -> Iterator[pa.RecordBatch]:
    """Cut a stream anew, so that what is written does not depend on how it came.

    Args:
        batches: Rows with a geometry, in batches of any length.
        rows: Polygons with which a group is full.
        size: Bytes of geometries with which a group is full.

    Yields:
        Groups: each of the first polygons with which one of both is reached.
    """
    waiting: list[pa.RecordBatch] = []
    count = weight = 0
    for batch in batches:
        weights = _sizes(batch)
        start = 0
        while start < len(weights):
            sums = weight + np.cumsum(weights[start : start + rows - count])
            taken = min(int(np.searchsorted(sums, size)) + 1, len(sums))
            waiting.append(batch.slice(start, taken))
            start, count, weight = start + taken, count + taken, int(sums[taken - 1])
            if count >= rows or weight >= size:
                yield _joined(waiting)
                waiting, count, weight = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _sizes(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Bytes of each geometry (rows,)."""
    column = batch.column(batch.schema.get_field_index(GEOMETRY))
    offsets = np.frombuffer(column.buffers()[1], np.int64)
    return np.diff(offsets[column.offset : column.offset + len(column) + 1])


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
