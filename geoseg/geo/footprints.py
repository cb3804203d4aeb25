"""One plane for the windows of many scenes, in which their footprints can be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from geoseg.errors import SceneError
from geoseg.geo.grid import EQUAL_AREA, Grid

Polygons = npt.NDArray[np.object_]

OVERLAP = 0.01
"""Square pixels; what overlaps less only touches, up to the rounding of map projections."""

_POINTS_PER_SIDE = 8
_DECIMALS = 6
_DISTORTION = 1.5
"""Largest ratio of areas at which a scene may be laid on the first scene's CRS."""


class Plane:
    """The pixel plane of the first scene that has a CRS; the others are laid on it.

    Coordinates are (x, y) = (col, row) in pixels of that scene, wherever they are. Windows of
    its CRS and resolution keep whole numbers, rotated grids included. Plain images without a CRS
    have a plane each, which no other shares.

    Args:
        grids: The grids of the scenes, in order.

    Raises:
        SceneError: If a grid cannot be laid on the first one's CRS.
    """

    def __init__(self, grids: Sequence[Grid]) -> None:
        self._grids = list(grids)
        first = next((grid for grid in grids if grid.crs is not None), None)
        self.crs: CRS | None = first.crs if first is not None else None
        self.transform = first.transform if first is not None else Affine.identity()
        if first is not None and not self._is_faithful():
            side = first.ground_resolution()
            self.crs, self.transform = EQUAL_AREA, Affine.scale(side, -side)

    def part(self, scene: int) -> int:
        """Which plane a scene lies in: 0 is shared, others belong to one plain image each."""
        return 0 if self._grids[scene].crs is not None else scene + 1

    def polygons(self, scene: int, windows: Sequence[Window]) -> Polygons:
        """Footprints of windows of a scene.

        Args:
            scene: Index of the scene.
            windows: Integer windows of its grid.

        Returns:
            Polygons (windows,) in pixels of the plane.

        Raises:
            SceneError: If they cannot be laid on the plane's CRS.
        """
        if not windows:
            return np.empty(0, dtype=object)
        grid = self._grids[scene]
        if grid.crs is None:
            return _polygons(_rings(windows, 1))
        if grid.crs == self.crs:
            rings = _apply(~self.transform @ grid.transform, _rings(windows, 1))
            return _polygons(rings.round(_DECIMALS))
        rings = _apply(grid.transform, _rings(windows, _POINTS_PER_SIDE))
        to_plane = Transformer.from_crs(grid.crs, self.crs, always_xy=True)
        x, y = to_plane.transform(rings[..., 0], rings[..., 1])
        rings = _apply(~self.transform, np.stack([x, y], axis=-1)).round(_DECIMALS)
        if not np.isfinite(rings).all():
            raise SceneError(
                f"scene {scene + 1}", "cannot be laid on the first scene's CRS", "Tile it apart"
            )
        return _polygons(rings)

    def outlines(
        self, scenes: Sequence[int], polygons: Sequence[BaseGeometry | None]
    ) -> list[BaseGeometry | None]:
        """Footprints in units of the CRS; in pixels where no scene has one.

        Args:
            scenes: Index of the scene of each.
            polygons: Footprints in pixels of the plane.

        Returns:
            Polygons on the map; None for plain images among scenes that have a CRS.
        """
        if self.crs is None:
            return list(polygons)
        moved = _moved(np.array(polygons, dtype=object), self.transform).tolist()
        return [p if self.part(s) == 0 else None for s, p in zip(scenes, moved, strict=True)]

    def to_plane(self, polygons: Polygons) -> Polygons:
        """Polygons in units of the CRS as polygons of the shared plane."""
        return _moved(polygons, ~self.transform)

    def _is_faithful(self) -> bool:
        """Whether all scenes keep their size on the first one's CRS (a far UTM zone does not)."""
        unit = abs(self.transform.determinant)
        first = next(grid for grid in self._grids if grid.crs is not None)
        for scene, grid in enumerate(self._grids):
            if grid.crs in {None, self.crs}:
                continue
            expected = (grid.ground_resolution() / first.ground_resolution()) ** 2
            try:
                area = self.polygons(scene, [grid.window])[0].area
            except SceneError:
                return False
            ratio = area / (expected * grid.height * grid.width)
            if not unit or ratio <= 0 or abs(math.log(ratio)) > math.log(_DISTORTION):
                return False
        return True


def overlapping(polygons: Polygons, others: Polygons) -> npt.NDArray[np.intp]:
    """Indices of `polygons` that share ground with any of `others`; touching is not sharing."""
    if len(polygons) == 0 or len(others) == 0:
        return np.empty(0, dtype=np.intp)
    mine, theirs = shapely.STRtree(others).query(polygons, predicate="intersects")
    shared = shapely.area(shapely.intersection(polygons[mine], others[theirs]))
    return np.unique(mine[shared > OVERLAP])


def _polygons(rings: npt.NDArray[np.float64]) -> Polygons:
    polygons: Polygons = shapely.polygons(rings)
    return polygons


def _moved(polygons: Polygons, transform: Affine) -> Polygons:
    moved: Polygons = shapely.transform(polygons, lambda points: _apply(transform, points))
    return moved


def _rings(windows: Sequence[Window], points: int) -> npt.NDArray[np.float64]:
    """Outlines (windows, 4 * points, 2) of windows as (col, row), `points` on each side."""
    boxes = np.array([(w.col_off, w.row_off, w.width, w.height) for w in windows], float)
    steps = np.arange(points) / points
    one, zero = np.ones(points), np.zeros(points)
    across = np.concatenate([steps, one, 1 - steps, zero])
    down = np.concatenate([zero, steps, one, 1 - steps])
    cols = boxes[:, :1] + boxes[:, 2:3] * across
    rows = boxes[:, 1:2] + boxes[:, 3:] * down
    return np.stack([cols, rows], axis=-1)


def _apply(transform: Affine, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Send points (..., 2) through an affine transform."""
    x, y = points[..., 0], points[..., 1]
    t = transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=-1)
