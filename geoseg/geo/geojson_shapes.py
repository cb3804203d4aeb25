"""Polygons as GeoJSON wants them (RFC 7946): true to the ground, and cut at the antimeridian."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from rasterio.crs import CRS

from geoseg.geo.grid import metres_per_unit
from geoseg.geo.multipolygon_wkb import encode_geometries
from geoseg.geo.polygon_layer import GEOMETRY

_LONG_EDGE = 800.0
"""Metres; a straight line of a map projection leaves the straight line between the same ends in
longitude and latitude by length^2 tan(latitude) / (8 x Earth radius): here by some centimetres."""

_WIDE_EDGE = 60.0
"""Degrees; GDAL takes longer edges for such that go around the other side of the globe."""


def geojson_groups(groups: Iterable[pa.RecordBatch], crs: CRS) -> Iterator[pa.RecordBatch]:
    """Prepare polygons for GDAL's GeoJSON writers, which turn them to longitude and latitude.

    Long edges get vertices; on the border between two polygons both get the same. Grids that
    count longitudes on beyond 180 degrees are brought back, cut where RFC 7946 (3.1.9) wants it.
    Projected polygons are cut by GDAL itself.

    Args:
        groups: Polygons in `crs`.
        crs: Their CRS.
    """
    for group in groups:
        place = group.schema.get_field_index(GEOMETRY)
        shapes = shapely.from_wkb(group.column(place).to_numpy(zero_copy_only=False))
        shapes = _to_globe(shapes, crs) if crs.is_geographic else _densified(shapes, crs)
        yield group.set_column(place, group.schema.field(place), encode_geometries(shapes))


def _densified(shapes: npt.NDArray[Any], crs: CRS) -> npt.NDArray[Any]:
    dense: npt.NDArray[Any] = shapely.segmentize(shapes, _LONG_EDGE / metres_per_unit(crs))
    return dense


def _to_globe(shapes: npt.NDArray[Any], crs: CRS) -> npt.NDArray[Any]:
    """Polygons within -180 to 180 degrees, whatever turn of the globe they are counted on."""
    half = float(np.pi / crs.units_factor[1])
    shapes = shapely.segmentize(shapes, _WIDE_EDGE / 180 * half)
    left, _, right, _ = shapely.bounds(shapes).T
    for place in np.flatnonzero((left < -half) | (right > half)):
        turns = range(
            int(np.floor((left[place] + half) / (2 * half))),
            int(np.ceil((right[place] + half) / (2 * half))),
        )
        parts = [
            shapely.transform(part, lambda xy, turn=turn: xy - [turn * 2 * half, 0])
            for turn in turns
            for part in _polygons(_slice(shapes[place], (2 * turn - 1) * half, half))
        ]
        # Parts of a polygon around the whole globe touch each other again.
        shapes[place] = shapely.union_all(parts)
    return shapes


def _slice(shape: shapely.Geometry, left: float, half: float) -> shapely.Geometry:
    _, bottom, _, top = shape.bounds
    return shapely.intersection(shape, shapely.box(left, bottom - 1, left + 2 * half, top + 1))


def _polygons(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons of what a cut has left, without lines that only touched it."""
    parts = shapely.get_parts(shape)
    return [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]
