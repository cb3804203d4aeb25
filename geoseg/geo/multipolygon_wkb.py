"""Multipolygons as well-known binary, many at once, without an object for each of them.

Well-known binary is what GDAL takes through Arrow and what GeoParquet holds; made from arrays of
vertices it costs a copy of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from geoseg.geo.compiled import compiled

Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_HEADER = 9
"""Bytes of the byte order, the type and the number of parts of a geometry."""

_MULTIPOLYGON, _POLYGON = 6, 3


def encode_multipolygons(
    coords: Floats, rings: Offsets, polygons: Offsets, features: Offsets
) -> pa.Array:
    """Encode multipolygons, each part of nested arrays of offsets, as ISO well-known binary.

    Args:
        coords: (vertices, 2) x and y; the first vertex of a ring stands again at its end.
        rings: (rings + 1,) where each ring begins in `coords`.
        polygons: (polygons + 1,) where each polygon begins in `rings`; its shell comes first.
        features: (features + 1,) where each feature begins in `polygons`.

    Returns:
        (features,) binary.
    """
    vertices = np.diff(rings[polygons[features]])
    ring_counts = np.diff(polygons[features])
    sizes = _HEADER + _HEADER * np.diff(features) + 4 * ring_counts + 16 * vertices
    places = np.zeros(len(features), np.int64)
    np.cumsum(sizes, out=places[1:])
    data = np.empty(places[-1], np.uint8)
    words = np.ascontiguousarray(coords, np.float64).view(np.uint8).reshape(-1)
    _encode(data, places, words, rings, polygons, features)
    buffers = [None, pa.py_buffer(places), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(features) - 1, buffers)


def encode_geometries(geometries: npt.NDArray[Any]) -> pa.Array:
    """Encode shapely's polygons and multipolygons as multipolygons in well-known binary.

    Args:
        geometries: (n,) polygons, multipolygons, or None.
    """
    multi = np.array(geometries, dtype=object)
    for place in np.flatnonzero(shapely.get_type_id(multi) == shapely.GeometryType.POLYGON):
        polygon = multi[place]
        multi[place] = shapely.MultiPolygon([] if polygon.is_empty else [polygon])
    return pa.array(shapely.to_wkb(multi, flavor="iso", byte_order=1), pa.large_binary())


@compiled
def _encode(
    data: Bytes, places: Offsets, words: Bytes, rings: Offsets, polygons: Offsets, features: Offsets
) -> None:
    """Write the features one behind the other; `words` are the bytes of the coordinates."""
    for feature in range(len(features) - 1):
        place = places[feature]
        place = _put_header(data, place, _MULTIPOLYGON, features[feature + 1] - features[feature])
        for polygon in range(features[feature], features[feature + 1]):
            first, last = polygons[polygon], polygons[polygon + 1]
            place = _put_header(data, place, _POLYGON, last - first)
            for ring in range(first, last):
                place = _put_number(data, place, rings[ring + 1] - rings[ring])
                for byte in range(16 * rings[ring], 16 * rings[ring + 1]):
                    data[place] = words[byte]
                    place += 1


@compiled
def _put_header(data: Bytes, place: int, kind: int, parts: int) -> int:
    data[place] = 1  # little-endian, as the machines are
    return _put_number(data, _put_number(data, place + 1, kind), parts)


@compiled
def _put_number(data: Bytes, place: int, number: int) -> int:
    for byte in range(4):
        data[place + byte] = (number >> (8 * byte)) & 255
    return place + 4
