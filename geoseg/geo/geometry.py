"""Geometries in memory: repaired, reprojected, widened in metres, burned onto a grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from geoseg.geo.grid import Grid, area_crs, metres_per_unit

Geometries = npt.NDArray[np.object_]

_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
_COLLECTION = shapely.GeometryType.GEOMETRYCOLLECTION
_LONG_EDGE = {True: 0.5, False: 50_000.0}
"""Degrees or units: longer edges are cut before their curvature is looked at, which could
otherwise bend both ways and cancel out at the middle."""

_CELL = 0.5
"""Degrees; geometries with their centre in the same cell are widened in one local projection."""

_MANY_VERTICES = 2000
"""A larger polygon is cut to the surroundings of the grid before it is burned."""


@dataclass(frozen=True, kw_only=True)
class Repairs:
    """What was found, and mended, in the geometries of a layer."""

    repaired: int = 0
    """Invalid geometries that were made valid."""

    empty: int = 0
    """Features without a geometry, or with nothing left of it."""

    thin: int = 0
    """Features that are points or lines."""

    def __str__(self) -> str:
        """Say what there is to say; empty when nothing was wrong."""
        told = {
            "invalid polygons repaired": self.repaired,
            "features without a geometry skipped": self.empty,
        }
        return ", ".join(f"{count} {what}" for what, count in told.items() if count)


def repair(geometries: Geometries) -> tuple[Geometries, Repairs]:
    """Make polygons valid and flat, and take them out of collections.

    Args:
        geometries: Geometries (n,) of any type; None where there is none.

    Returns:
        Geometries (n,): valid Polygons and MultiPolygons, points and lines as they were, None
        where nothing is left; and what was found. A collection with polygons is these alone.
    """
    flat = shapely.force_2d(np.asarray(geometries, dtype=object))
    finite = np.isfinite(shapely.bounds(flat)).all(-1)
    flat = _only(flat, finite)
    invalid = ~shapely.is_valid(flat) & finite
    flat[invalid] = shapely.make_valid(flat[invalid], method="structure", keep_collapsed=False)
    for place in np.flatnonzero(shapely.get_type_id(flat) == _COLLECTION):
        flat[place] = _polygons_of(flat[place])
    flat = _only(flat, ~shapely.is_empty(flat))
    missing = shapely.is_missing(flat)
    thin = ~missing & ~is_polygonal(flat)
    counts = Repairs(
        repaired=int((invalid & ~missing).sum()), empty=int(missing.sum()), thin=int(thin.sum())
    )
    return flat, counts


def is_polygonal(geometries: Geometries) -> npt.NDArray[np.bool_]:
    """Which geometries are a Polygon or a MultiPolygon."""
    polygonal: npt.NDArray[np.bool_] = np.isin(shapely.get_type_id(geometries), _POLYGONS)
    return polygonal


def reproject(geometries: Geometries, source: CRS, target: CRS, tolerance: float) -> Geometries:
    """Bring geometries into another CRS; long edges get vertices so that they follow the ground.

    Args:
        geometries: Geometries (n,) with x (longitude) before y, whatever the CRS' authority says.
        source: Their CRS.
        target: The CRS wanted.
        tolerance: How far an edge may lie off its true place, in units of `target`.

    Returns:
        New geometries (n,); None where the target CRS cannot hold a vertex.
    """
    if source == target:
        return geometries
    transformer = Transformer.from_crs(source, target, always_xy=True)

    def to_target(coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1]))

    geometries = shapely.segmentize(geometries, _LONG_EDGE[bool(source.is_geographic)])
    lengths = _edge_lengths(geometries, to_target, tolerance)
    bent = np.isfinite(lengths)
    if bent.any():
        geometries = geometries.copy()
        geometries[bent] = shapely.segmentize(geometries[bent], lengths[bent])
    moved: Geometries = shapely.transform(geometries, to_target)
    return _only(moved, np.isfinite(shapely.bounds(moved)).all(-1))


def buffer_metres(geometries: Geometries, crs: CRS, metres: float) -> Geometries:
    """Widen points and lines to polygons by a distance on the ground.

    In projections made for measuring, by the CRS' own unit; in geographic and Mercator CRSs, in
    an equidistant projection around each half-degree cell, so that metres are metres.

    Args:
        geometries: Geometries (n,) without None.
        crs: Their CRS.
        metres: The distance, above 0.
    """
    if area_crs(crs) == crs:
        widened: Geometries = shapely.buffer(geometries, metres / metres_per_unit(crs))
        return widened
    degrees = CRS.from_epsg(4326)
    centres = reproject(shapely.centroid(geometries), crs, degrees, 1.0)
    cells = np.floor(shapely.get_coordinates(centres) / _CELL).astype(int)
    result = np.empty(len(geometries), dtype=object)
    for cell in np.unique(cells, axis=0):
        members = (cells == cell).all(1)
        lon, lat = (cell + 0.5) * _CELL
        local = CRS.from_proj4(f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m")
        near = reproject(geometries[members], crs, local, metres / 100)
        back = reproject(shapely.buffer(near, metres), local, crs, _ground_unit(crs, metres / 100))
        result[members] = back
    return result


def burn(
    geometries_and_values: Iterable[tuple[BaseGeometry, int]], grid: Grid, fill: int, dtype: str
) -> npt.NDArray[Any]:
    """Give the pixels whose centre lies in a polygon its value; later polygons win.

    Args:
        geometries_and_values: Polygons in the grid's CRS with their values.
        grid: The pixels.
        fill: Value of all other pixels.
        dtype: Type of the result, such as `uint8`.

    Returns:
        Values (height, width).
    """
    shapes = [(_near(shape, grid), value) for shape, value in geometries_and_values]
    shapes = [(shape, value) for shape, value in shapes if not shape.is_empty]
    if not shapes:
        return np.full(grid.shape, fill, dtype)
    burned: npt.NDArray[Any] = rasterize(
        shapes, out_shape=grid.shape, transform=grid.transform, fill=fill, dtype=dtype
    )
    return burned


def _only(geometries: Geometries, kept: npt.NDArray[np.bool_]) -> Geometries:
    """A copy with None in place of the geometries that are not kept."""
    result = geometries.copy()
    result[~kept] = None
    return result


def _polygons_of(collection: BaseGeometry) -> BaseGeometry:
    """The polygons of a collection as one geometry; the collection itself if it has none."""
    parts = shapely.get_parts(collection)
    while (shapely.get_type_id(parts) == _COLLECTION).any():
        parts = shapely.get_parts(parts)
    polygons = parts[is_polygonal(parts)]
    if len(polygons):
        return shapely.union_all(shapely.make_valid(polygons))
    return shapely.union_all(parts)


def _edge_lengths(geometries: Geometries, to_target: Any, tolerance: float) -> Any:  # noqa: ANN401
    """The longest edge that each geometry may have; infinite where its edges are good."""
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    inside = owner[1:] == owner[:-1]
    start, end, owner = coordinates[:-1][inside], coordinates[1:][inside], owner[1:][inside]
    moved = to_target(coordinates)
    with np.errstate(invalid="ignore"):  # infinite where the target CRS ends
        middle = (moved[:-1][inside] + moved[1:][inside]) / 2
        gaps = np.hypot(*(to_target((start + end) / 2) - middle).T)
    # A chord's distance from its arc falls with the square of the number of pieces.
    pieces = np.ceil(np.sqrt(np.where(np.isfinite(gaps), gaps, 0) / tolerance))
    lengths = np.full(len(geometries), np.inf)
    bent = pieces > 1
    pieces_length = np.hypot(*(end - start)[bent].T) / pieces[bent]
    np.minimum.at(lengths, owner[bent], pieces_length)
    return lengths


def _ground_unit(crs: CRS, metres: float) -> float:
    """Metres in units of the CRS, roughly."""
    return metres / 111_320 if crs.is_geographic else metres / metres_per_unit(crs)


def _near(shape: BaseGeometry, grid: Grid) -> BaseGeometry:
    """Cut a polygon of very many vertices to the grid and two pixels around it."""
    if shapely.get_num_coordinates(shape) < _MANY_VERTICES:
        return shape
    left, bottom, right, top = grid.bounds
    margin_x, margin_y = 2 * (right - left) / grid.width, 2 * (top - bottom) / grid.height
    return shapely.clip_by_rect(
        shape, left - margin_x, bottom - margin_y, right + margin_x, top + margin_y
    )
