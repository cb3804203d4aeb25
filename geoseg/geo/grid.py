"""The grid of a raster: how many pixels, where they lie, and how large they truly are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely import Polygon

from geoseg.errors import SceneError

EQUAL_AREA = CRS.from_epsg(6933)
"""Cylindrical equal area on the ellipsoid (EASE-Grid 2.0): parallels and meridians stay straight,
so a pixel of a geographic or Mercator grid keeps its four straight sides and its true area."""

_SNAP = 1e-6
"""Pixels; bounds closer to a pixel edge than this lie on it."""

_ROUNDING = 1e-3
"""Share by which a scene may be narrower than a pixel asked for, as sides are told rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows and columns of pixels with their place on the ground.

    Rotated and south-up grids are kept as they are: positions go only through `transform`.
    """

    height: int
    """Rows of pixels."""

    width: int
    """Columns of pixels."""

    transform: Affine
    """From (col, row) of a pixel's corner to (x, y) in units of the CRS."""

    crs: CRS | None
    """Coordinate reference system; None for a plain image without one."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise SceneError("grid", f"{self.height} x {self.width} pixels", "Give 1 or more each")
        determinant = self.transform.determinant
        if determinant == 0 or not math.isfinite(determinant):
            raise SceneError("grid", "the transform does not give each pixel a place of its own")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window of all pixels."""
        return Window(0, 0, self.width, self.height)

    @property
    def is_georeferenced(self) -> bool:
        """Whether there is a CRS, so that the grid can be laid over others."""
        return self.crs is not None

    @property
    def res(self) -> tuple[float, float]:
        """Length of a pixel's sides along a row and along a column, in units of the CRS."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of the upright rectangle around the grid."""
        xs, ys = self._corners()
        return min(xs), min(ys), max(xs), max(ys)

    def footprint(self) -> Polygon:
        """The outline of the grid in its CRS."""
        xs, ys = self._corners()
        return Polygon(list(zip(xs, ys, strict=True)))

    def crop(self, window: Window) -> Grid:
        """The grid of an integer window of this one."""
        return Grid(
            height=int(window.height),
            width=int(window.width),
            transform=self.transform @ Affine.translation(window.col_off, window.row_off),
            crs=self.crs,
        )

    def window_of(self, bounds: tuple[float, float, float, float]) -> Window:
        """The smallest window that holds `bounds`, clipped to the grid; it may be empty.

        Args:
            bounds: Left, bottom, right, top in units of the CRS; those of nothing (NaN, as of
                an empty geometry) give an empty window.
        """
        if any(math.isnan(side) for side in bounds):
            return Window(0, 0, 0, 0)
        left, bottom, right, top = bounds
        inverse = ~self.transform
        corners = [inverse @ (x, y) for x in (left, right) for y in (bottom, top)]
        cols, rows = [c for c, _ in corners], [r for _, r in corners]
        col, last_col = _clip_span(min(cols), max(cols), self.width)
        row, last_row = _clip_span(min(rows), max(rows), self.height)
        return Window(col, row, last_col - col, last_row - row)

    def matches(self, other: Grid) -> bool:
        """Whether both grids have the same pixels: shape, CRS, and place to a millionth pixel."""
        if self.shape != other.shape or self.crs != other.crs:
            return False
        corners = [(0, 0), (self.width, 0), (0, self.height)]
        inverse = ~self.transform
        for corner in corners:
            col, row = inverse @ (other.transform @ corner)
            if max(abs(col - corner[0]), abs(row - corner[1])) > _SNAP:
                return False
        return True

    def row_areas(self) -> npt.NDArray[np.float64]:
        """True area of one pixel of each row.

        Geodetically exact for unrotated geographic, Mercator and plate carrée grids; planar in
        other projected CRSs; of the middle column where a rotated grid makes columns differ.

        Returns:
            Areas (height,) in square metres; in pixels where there is no CRS.
        """
        if self.crs is None:
            return np.ones(self.height)
        target = area_crs(self.crs)
        if target == self.crs:
            area = abs(self.transform.determinant) * metres_per_unit(self.crs) ** 2
            return np.full(self.height, area)
        return self._equal_row_areas(target)

    def ground_resolution(self) -> float:
        """Side in metres of a square as large as the centre pixel; 1 where there is no CRS."""
        return math.sqrt(self.row_areas()[self.height // 2])

    def at_resolution(self, metres: float) -> Grid:
        """A grid over the same ground whose pixels are `metres` wide and high (nearly).

        The outline stays exactly; counts are rounded, so the sides differ from `metres` by
        less than half a pixel in the whole width.

        Raises:
            SceneError: If there is no CRS, `metres` is not above 0, or above a side of
                the grid.
        """
        option = "--resolution"
        if self.crs is None:
            raise SceneError(option, "a plain image has no ground resolution", "Leave it out")
        if not 0 < metres < math.inf:
            raise SceneError(option, f"{metres} is not above 0", "Give metres per pixel")
        along_row, along_col = self._pixel_sides()
        ground = self.width * along_row, self.height * along_col
        if min(ground) < metres * (1 - _ROUNDING):
            raise SceneError(
                option,
                f"pixels of {metres:g} m are larger than the scene, "
                f"{ground[0]:.3g} x {ground[1]:.3g} m of ground",
                "Give fewer metres per pixel",
            )
        width, height = (max(round(side / metres), 1) for side in ground)
        scale = Affine.scale(self.width / width, self.height / height)
        return Grid(height=height, width=width, transform=self.transform @ scale, crs=self.crs)

    def _corners(self) -> tuple[list[float], list[float]]:
        """Corners in ring order: upper left, upper right, lower right, lower left."""
        pixels = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        corners = [self.transform @ pixel for pixel in pixels]
        return [x for x, _ in corners], [y for _, y in corners]

    def _equal_row_areas(self, target: CRS) -> npt.NDArray[np.float64]:
        t = self.transform
        rows = np.arange(self.height + 1)
        # Areas do not depend on longitude: the middle column is moved to x = 0, so that
        # no pixel ever straddles the antimeridian.
        left_x, left_y = t.b * (rows - self.height / 2), t.f + t.d * self.width / 2 + t.e * rows
        right_x, right_y = left_x + t.a, left_y + t.d
        if self.crs is not None and self.crs.is_geographic:
            left_y, right_y = within_poles(left_y, self.crs), within_poles(right_y, self.crs)
        to_area = Transformer.from_crs(self.crs, target, always_xy=True)
        x0, y0 = to_area.transform(left_x, left_y)
        x1, y1 = to_area.transform(right_x, right_y)
        ring_x = np.stack([x0[:-1], x1[:-1], x1[1:], x0[1:]])
        ring_y = np.stack([y0[:-1], y1[:-1], y1[1:], y0[1:]])
        shoelace = ring_x * np.roll(ring_y, -1, 0) - np.roll(ring_x, -1, 0) * ring_y
        areas: npt.NDArray[np.float64] = np.abs(shoelace.sum(0)) / 2
        return areas

    def _pixel_sides(self) -> tuple[float, float]:
        """Metres along a row and along a column of the centre pixel."""
        crs = self.crs
        if crs is None or area_crs(crs) == crs:
            factor = 1.0 if crs is None else metres_per_unit(crs)
            return self.res[0] * factor, self.res[1] * factor
        col, row = self.width / 2, self.height / 2
        ends = [self.transform @ p for p in ((col, row), (col + 1, row), (col, row + 1))]
        to_degrees = Transformer.from_crs(crs, CRS.from_epsg(4326), always_xy=True)
        lons, lats = to_degrees.transform([x for x, _ in ends], [y for _, y in ends])
        geod = Geod(ellps="WGS84")
        _, _, along_row = geod.inv(lons[0], lats[0], lons[1], lats[1])
        _, _, along_col = geod.inv(lons[0], lats[0], lons[2], lats[2])
        return float(along_row), float(along_col)


def area_crs(crs: CRS) -> CRS:
    """The CRS in which areas on `crs` are to be measured.

    Geographic, Mercator and plate carrée coordinates distort areas without bound, so theirs are
    measured in an equal-area projection; other projected CRSs are taken as made for measuring.
    """
    if crs.is_geographic or crs.to_dict().get("proj") in {"merc", "webmerc", "eqc"}:
        return EQUAL_AREA
    return crs


def metres_per_unit(crs: CRS) -> float:
    """Metres in one unit of a projected CRS; 1 where the CRS tells no unit."""
    if not crs.is_projected:
        return 1.0
    _, factor = crs.linear_units_factor
    return float(factor)


def within_poles(latitudes: npt.NDArray[Any], crs: CRS) -> npt.NDArray[np.float64]:
    """Latitudes as far as the Earth goes: global grids registered by centres reach beyond it.

    Args:
        latitudes: In units of the CRS.
        crs: A geographic one.
    """
    pole = math.pi / 2 / crs.units_factor[1]
    held: npt.NDArray[np.float64] = np.clip(latitudes, -pole, pole)
    return held


def _clip_span(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(math.floor(low + _SNAP), 0), length)
    last = min(max(math.ceil(high - _SNAP), first), length)
    return first, last
