"""Polygons as they come out of the tracer: some thousands at a time, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely

from geoseg.geo.arc_refining_guard import Corners
from geoseg.geo.grid import Grid
from geoseg.geo.measures import polygon_areas, polygon_perimeters, ring_perimeters

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


class Refiner(Protocol):
    """What may change borders between polygons once they are complete."""

    def refine(
        self,
        coords: Floats,
        offsets: Longs,
        closed: npt.NDArray[np.bool_],
        fixed: npt.NDArray[np.bool_],
        corners: Corners,
    ) -> tuple[Floats, Longs]:
        """Give each border other vertices; what becomes of it must depend on it alone.

        Args:
            coords: (m, 2) vertices as (col, row), only at turns and at both ends; the region
                with the greater value lies on the left as seen with rows growing downward.
            offsets: (arcs + 1,) where each border begins in `coords`.
            closed: (arcs,) rings without a node; they begin and end at their first corner in
                raster order. A ring that begins and ends at a node is none.
            fixed: (arcs,) borders along the raster's outer edge or nodata, to be kept.
            corners: Original vertices of all borders, for the rows of these borders at least.

        Returns:
            Vertices and offsets as they came. Ends stay. No two borders may come to lie on each
            other: two that join the same nodes must not both become the straight line.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonBatch:
    """Polygons in pixel coordinates, in the order (last row, first pixel) of the raster."""

    class_ids: npt.NDArray[np.int32]
    """(n,) the value of each polygon's pixels."""

    pixels: Longs
    """(n,) pixels of each, before its outline was refined."""

    areas: Floats
    """(n,) true area of those pixels in square metres."""

    field_means: Floats
    """(k, n) mean of each field over those pixels where it is not NaN; NaN where there are none."""

    coords: Floats
    """(m, 2) vertices as (col, row); the last of each ring repeats its first."""

    ring_offsets: Longs
    """(rings + 1,) where each ring begins in `coords`. Shells run anticlockwise as seen with
    rows growing downward, holes clockwise."""

    polygon_offsets: Longs
    """(polygons + 1,) where each simple polygon begins in the rings; the first is its shell."""

    offsets: Longs
    """(n + 1,) where each one begins in the simple polygons: always one with 4-connectivity."""

    is_refined: bool = False
    """Whether vertices may lie off the corners of the pixels."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.class_ids)

    def ground_coords(self, grid: Grid) -> Floats:
        """The vertices (m, 2) on the ground; equal ones stay equal.

        Args:
            grid: The grid that was traced.
        """
        t = grid.transform
        cols, rows = self.coords.T
        ground = np.empty((len(self.coords), 2), np.float64)
        ground[:, 0] = t.a * cols + t.b * rows + t.c
        ground[:, 1] = t.d * cols + t.e * rows + t.f
        return ground

    def geometries(self, grid: Grid) -> npt.NDArray[Any]:
        """Shapely polygons (n,) in the grid's CRS; multipolygons where there are several parts.

        Args:
            grid: The grid that was traced.
        """
        if not len(self):
            return np.empty(0, object)
        parts: npt.NDArray[Any] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON,
            self.ground_coords(grid),
            (self.ring_offsets, self.polygon_offsets),
        )
        counts = np.diff(self.offsets)
        if len(parts) == len(self):
            return parts
        several = np.repeat(counts > 1, counts)
        found = np.empty(len(self), object)
        found[counts == 1] = parts[~several]
        owners = np.repeat(np.arange(np.count_nonzero(counts > 1)), counts[counts > 1])
        found[counts > 1] = shapely.multipolygons(parts[several], indices=owners)
        return found

    def measured(self, grid: Grid) -> tuple[Floats, Floats]:
        """True areas and perimeters, holes included.

        Along pixels both are summed from the true sizes of pixels; refined outlines are
        measured as they are.

        Args:
            grid: The grid that was traced.

        Returns:
            (n,) square metres and (n,) metres; in pixels where there is no CRS.
        """
        if self.is_refined:
            geometries = self.geometries(grid)
            return polygon_areas(geometries, grid), polygon_perimeters(geometries, grid)
        by_ring = ring_perimeters(self.coords, self.ring_offsets, grid)
        firsts = self.polygon_offsets[self.offsets[:-1]]
        return self.areas, np.add.reduceat(by_ring, firsts) if len(self) else by_ring

    @classmethod
    def concatenate(cls, batches: list[PolygonBatch]) -> PolygonBatch:
        """One batch of several, at least one.

        Args:
            batches: In their order, all refined or none.
        """

        def join(name: str, axis: int = 0) -> npt.NDArray[Any]:
            return np.concatenate([getattr(batch, name) for batch in batches], axis=axis)

        def join_offsets(name: str) -> Longs:
            lengths = [np.diff(getattr(batch, name)) for batch in batches]
            return np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)

        return cls(
            class_ids=join("class_ids"),
            pixels=join("pixels"),
            areas=join("areas"),
            field_means=join("field_means", 1),
            coords=join("coords"),
            ring_offsets=join_offsets("ring_offsets"),
            polygon_offsets=join_offsets("polygon_offsets"),
            offsets=join_offsets("offsets"),
            is_refined=batches[0].is_refined,
        )
