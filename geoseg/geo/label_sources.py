"""Where labels come from: a raster of values or colours, or polygons."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from geoseg.errors import LabelError, SceneError
from geoseg.geo.geometry import Geometries, burn, is_polygonal, repair, reproject
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.matching import pack_colors, raster_colors, raster_values
from geoseg.geo.nearest import integer_offset, sample_nearest
from geoseg.geo.raster import Scene
from geoseg.geo.values import count_values, list_counts

logger = logging.getLogger(__name__)

_TOLERANCE = 0.05
"""Pixels that a reprojected edge may lie off its true place."""


_WIDEST = {True: 5.0, False: 500_000.0}
"""Degrees or units; larger polygons are cut to each grid before they are reprojected, for they
may reach to where the grid's CRS is bent out of all shape."""


class LabelSource(Protocol):
    """Gives class values on any grid."""

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        """Class values (height, width)."""

    def touches(self, grid: Grid) -> bool:
        """Whether the labels and the grid overlap on the ground."""

    def check(self) -> None:
        """Refuse values that mean no class, wherever they lie."""


class RasterSource:
    """A raster of class values, or of the legend's colours.

    It holds no open file: `Scene` keeps one handle per thread and process. That is safe in any
    thread, and unlike opening per call it keeps decoded blocks for the next window.
    """

    def __init__(self, scene: Scene, legend: Legend, *, by_color: bool) -> None:
        self.scene = scene
        self.legend = legend
        self.by_color = by_color
        self._told = False

    @cached_property
    def _table(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """Known raster values (or packed colours), ascending, and the class value of each."""
        table = raster_colors(self.legend) if self.by_color else raster_values(self.legend)
        if self.by_color and self.scene.is_paletted:
            table = {
                value: table[packed]
                for value, packed in _palette_colors(self.scene).items()
                if packed in table
            }
        known = sorted(table)
        return np.array(known, np.int64), np.array([table[k] for k in known], self.legend.dtype)

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        """Class values (height, width); `ignore` outside the raster and where it has no data.

        Raises:
            LabelError: If it holds values that are no class, or cannot be laid on the grid.
        """
        self._compare(grid)
        mask = np.full(grid.shape, self.legend.ignore, self.legend.dtype)
        try:
            data, valid = sample_nearest(self.scene, grid)
        except SceneError as error:
            raise LabelError(error.subject, error.problem, error.cure) from error
        keys = self._keys(data[:, valid])
        classes, known = self._lookup(keys)
        if not known.all():
            self.check()
        mask[valid] = classes
        return mask

    def touches(self, grid: Grid) -> bool:
        """Whether the outlines overlap.

        Raises:
            LabelError: If one of both has no CRS.
        """
        check_crs(self.scene.path, self.scene.grid.crs, grid)
        if grid.crs is None and grid.shape != self.scene.grid.shape:
            logger.warning(
                "%s: has %d x %d pixels, the scene %d x %d; they are laid corner on corner",
                *(self.scene.path, *self.scene.grid.shape, *grid.shape),
            )
        outline = _outline(self.scene.grid, grid)
        return outline is not None and bool(outline.intersection(grid.footprint()).area > 0)

    def check(self) -> None:
        """Read the whole raster and refuse values that are no class.

        Raises:
            LabelError: If there are any; all are listed with their pixels.
        """
        unknown = {key: count for key, count in self.counts().items() if not self._lookup_one(key)}
        if unknown:
            what = "colours" if self._is_rgb() else "values"
            named = {self._name(key): count for key, count in unknown.items()}
            raise LabelError(
                self.scene.path,
                f"{what} that are not in the legend: {list_counts(named, 'pixels')}",
                f"Add them to the legend, or to the `from` of a class "
                f"({', '.join(self.legend.names)})",
            )

    def counts(self) -> dict[int, int]:
        """Valid pixels of each value (or packed colour) of the whole raster."""
        counts: dict[int, int] = {}
        height, width = self.scene.grid.shape
        rows = max(min((4 << 20) // width, height), 1)
        for start in range(0, height, rows):
            raster = self.scene.read(Window(0, start, width, min(rows, height - start)))
            for key, count in count_values(self._keys(raster.data[:, raster.valid])).items():
                counts[key] = counts.get(key, 0) + count
        return counts

    def _compare(self, grid: Grid) -> None:
        check_crs(self.scene.path, self.scene.grid.crs, grid)
        if not self._told and integer_offset(self.scene.grid, grid) is None:
            self._told = True
            logger.info(
                "%s: lies on another grid than the scene; labels are taken from the nearest pixel",
                self.scene.path,
            )

    def _is_rgb(self) -> bool:
        return self.by_color and not self.scene.is_paletted

    def _keys(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Values (bands, n) as single whole numbers (n,)."""
        if self._is_rgb():
            return pack_colors(pixels)
        keys: npt.NDArray[np.int64] = pixels[0].astype(np.int64)
        if pixels.dtype.kind == "f" and not np.array_equal(keys, pixels[0]):
            raise LabelError(
                self.scene.path, "holds fractions, not classes", "Round or classify it first"
            )
        return keys

    def _lookup(
        self, keys: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        known, classes = self._table
        if not known.size:
            return np.zeros(keys.shape, self.legend.dtype), np.zeros(keys.shape, np.bool_)
        place = np.minimum(np.searchsorted(known, keys), known.size - 1)
        return classes[place], known[place] == keys

    def _lookup_one(self, key: int) -> bool:
        return bool(self._lookup(np.array([key]))[1].item())

    def _name(self, key: int) -> str:
        return f"#{key:06x}" if self._is_rgb() else str(key)


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """The polygons of a source in the CRS of some grids."""

    geometries: Geometries
    """In the grids' CRS; None for those in `far`."""

    far: npt.NDArray[np.intp]
    """Polygons that reach far, or out of what the CRS holds: cut to each grid before moving."""

    tree: shapely.STRtree
    """Index of `geometries`."""

    box: BaseGeometry
    """The upright rectangle around all of them."""


class PolygonSource:
    """Polygons with class values, all in memory, in the order of their file.

    Args:
        path: The file, for messages.
        geometries: Valid polygons (n,).
        values: Class value of each (n,).
        crs: Their CRS; None for plain pixel coordinates.
        fill: Value of ground that no polygon covers.
        dtype: Type of the masks.
    """

    def __init__(
        self,
        path: str,
        geometries: Geometries,
        values: npt.NDArray[Any],
        crs: CRS | None,
        fill: int,
        dtype: str,
    ) -> None:
        self.path = path
        self.geometries = geometries
        self.values = values
        self.crs = crs
        self.fill = fill
        self.dtype = dtype
        self._placed_by_crs: dict[tuple[str, int], _Placed] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what each process makes for itself."""
        kept = self.__dict__.copy()
        del kept["_placed_by_crs"], kept["_lock"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was kept, and begin with nothing reprojected."""
        self.__dict__.update(state)
        self._placed_by_crs = {}
        self._lock = threading.Lock()

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        """Values (height, width): of the last polygon in which the pixel's centre lies.

        Raises:
            LabelError: If either the polygons or the grid have no CRS.
        """
        return self._burn(grid, self.values, self.fill, self.dtype)

    def numbers(self, grid: Grid) -> npt.NDArray[Any]:
        """Which polygon shows at each pixel (height, width) int32: from 1, 0 where none does.

        Raises:
            LabelError: If either the polygons or the grid have no CRS.
        """
        return self._burn(grid, np.arange(1, len(self.values) + 1), 0, "int32")

    def touches(self, grid: Grid) -> bool:
        """Whether the rectangle around all polygons and the grid overlap.

        A scene between labelled ones, without a polygon of its own, is touched: it is all
        background.

        Raises:
            LabelError: If either the polygons or the grid have no CRS.
        """
        placed = self._placed(grid)
        return bool(placed.box.intersects(grid.footprint())) or bool(self._cut_far(placed, grid))

    def reaches(self, grid: Grid) -> bool:
        """Whether a polygon, and not only the rectangle around all, meets the grid.

        Raises:
            LabelError: If either the polygons or the grid have no CRS.
        """
        placed = self._placed(grid)
        found = placed.tree.query(grid.footprint(), predicate="intersects")
        return bool(found.size) or bool(self._cut_far(placed, grid))

    def check(self) -> None:
        """Nothing is left to refuse: attributes were matched when the file was read."""

    def _burn(
        self, grid: Grid, values: npt.NDArray[Any], fill: int, dtype: str
    ) -> npt.NDArray[Any]:
        placed = self._placed(grid)
        found = placed.tree.query(grid.footprint(), predicate="intersects")
        shapes = {int(index): placed.geometries[index] for index in found}
        shapes |= self._cut_far(placed, grid)
        ordered = [(shapes[index], int(values[index])) for index in sorted(shapes)]
        return burn(ordered, grid, fill, dtype)

    def _placed(self, grid: Grid) -> _Placed:
        check_crs(self.path, self.crs, grid)
        if self.crs is None or grid.crs is None:
            return self._place(("", 0), None, 1.0)
        # Grids of nearly the same resolution share the reprojected polygons.
        scale = int(np.floor(np.log2(min(grid.res))))
        return self._place((grid.crs.to_wkt(), scale), grid.crs, _TOLERANCE * 2.0**scale)

    def _place(self, key: tuple[str, int], crs: CRS | None, tolerance: float) -> _Placed:
        with self._lock:
            if key not in self._placed_by_crs:
                moved = self.geometries
                if crs is not None and self.crs is not None:
                    moved = self._reproject_near(self.crs, crs, tolerance)
                bounds = shapely.total_bounds(moved)
                self._placed_by_crs[key] = _Placed(
                    geometries=moved,
                    far=np.flatnonzero(shapely.is_missing(moved)),
                    tree=shapely.STRtree(moved),
                    box=shapely.box(*bounds) if np.isfinite(bounds).all() else shapely.Polygon(),
                )
            return self._placed_by_crs[key]

    def _reproject_near(self, source: CRS, crs: CRS, tolerance: float) -> Geometries:
        """The polygons in the CRS; None in place of those that reach far."""
        if source == crs:
            return self.geometries
        bounds = shapely.bounds(self.geometries)
        extents = np.max(bounds[:, 2:] - bounds[:, :2], axis=1)
        near = extents <= _WIDEST[bool(source.is_geographic)]
        moved = np.full(len(self.geometries), None, dtype=object)
        moved[near] = reproject(self.geometries[near], source, crs, tolerance)
        return moved

    def _cut_far(self, placed: _Placed, grid: Grid) -> dict[int, BaseGeometry]:
        """Far polygons cut to the surroundings of the grid, in the grid's CRS."""
        if not placed.far.size or self.crs is None or grid.crs is None:
            return {}
        outline = np.array([grid.footprint()], dtype=object)
        near = reproject(outline, grid.crs, self.crs, max(grid.res))[0]
        if near is None:
            return {}
        margin = 0.1 * max(near.bounds[2] - near.bounds[0], near.bounds[3] - near.bounds[1])
        box = shapely.box(*near.bounds).buffer(margin, join_style="mitre")
        cut = repair(shapely.clip_by_rect(self.geometries[placed.far], *box.bounds))[0]
        cut = np.where(is_polygonal(cut), cut, shapely.Polygon())
        moved = repair(reproject(cut, self.crs, grid.crs, _TOLERANCE * min(grid.res)))[0]
        return {
            int(index): shape
            for index, shape in zip(placed.far, moved, strict=True)
            if shape is not None and shape.intersects(grid.footprint())
        }


def check_crs(path: str, crs: CRS | None, grid: Grid) -> None:
    """Refuse labels with a CRS on a grid without one, and the other way.

    Raises:
        LabelError: If only one of both has a CRS.
    """
    if crs is None and grid.crs is not None:
        raise LabelError(
            path,
            "has no CRS, but the scene has one",
            "Give it by --label-crs, or take both as plain pixels by --assume-crs none",
        )
    if crs is not None and grid.crs is None:
        raise LabelError(
            path, "has a CRS, but the scene has none", "Give the scene's by --assume-crs"
        )


def _palette_colors(scene: Scene) -> dict[int, int]:
    """The packed colour of each value of a paletted raster."""
    table = scene.colormap or {}
    return {
        value: pack_colors(np.array(color[:3]).reshape(3, 1)).item()
        for value, color in table.items()
    }


def _outline(source: Grid, grid: Grid) -> BaseGeometry | None:
    """The outline of one grid in the CRS of another; None where that cannot hold it."""
    outline = np.array([source.footprint()], dtype=object)
    if source.crs is None or grid.crs is None:
        return outline[0]
    moved = repair(reproject(outline, source.crs, grid.crs, max(grid.res)))[0][0]
    if moved is not None:
        return moved
    back = np.array([grid.footprint()], dtype=object)
    near = repair(reproject(back, grid.crs, source.crs, max(source.res)))[0][0]
    reached = near is not None and near.intersects(source.footprint())
    return grid.footprint() if reached else None
