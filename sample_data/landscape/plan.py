"""Where things lie: roads, plots, buildings, trees, fields and water, as shapes in metres.

The land is 1024 m wide and 512 m high; x runs east, y runs south from its north-west corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import make_interp_spline
from shapely import affinity
from shapely.geometry import LineString, MultiPoint, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

WIDTH, HEIGHT = 1024.0, 512.0
WORLD = box(0, 0, WIDTH, HEIGHT)


@dataclass(frozen=True, kw_only=True)
class Road:
    """A paved way along a centre line."""

    line: LineString
    width: float
    """Metres between the kerbs."""
    rank: str
    """main, street or track."""

    @property
    def shape(self) -> Polygon:
        """The carriageway."""
        return self.line.buffer(self.width / 2, cap_style="flat")


@dataclass(frozen=True, kw_only=True)
class RoofPart:
    """A rectangle of roof; x, y is its centre, `angle` (degrees, clockwise) turns its length."""

    x: float
    y: float
    length: float
    width: float
    angle: float
    form: str
    """gable, hip, pent, flat or saw."""
    pitch: float = 0.0
    """Degrees."""

    @property
    def shape(self) -> Polygon:
        """The rectangle on the ground."""
        return rectangle(self.x, self.y, self.length, self.width, self.angle)


@dataclass(frozen=True, kw_only=True)
class Building:
    """Roof parts over one body; `kind` as the labels name it."""

    kind: str
    parts: tuple[RoofPart, ...]
    eave: float
    """Height of the walls, metres."""
    cover: str
    """What the roof is made of."""

    @property
    def shape(self) -> BaseGeometry:
        """Outline of the roof, overhang included."""
        return unary_union([part.shape for part in self.parts])


@dataclass(frozen=True, kw_only=True)
class Plant:
    """One crown, or a hedge."""

    kind: str
    """tree, wood or hedge."""
    species: str
    shape: Polygon
    top: float
    """Height, metres."""


@dataclass(frozen=True, kw_only=True)
class Cover:
    """A patch of ground with its surface and the direction (degrees) of its rows."""

    shape: BaseGeometry
    surface: str
    angle: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """A parked or driving car or lorry: a rectangle with a colour."""

    shape: Polygon
    angle: float
    color: str
    height: float


@dataclass(kw_only=True)
class Plan:
    """All that stands on the land."""

    roads: list[Road] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    """Ground surfaces in painting order, from below."""
    buildings: list[Building] = field(default_factory=list)
    plants: list[Plant] = field(default_factory=list)
    vehicles: list[Vehicle] = field(default_factory=list)
    river: BaseGeometry = field(default_factory=Polygon)
    ponds: list[Polygon] = field(default_factory=list)
    bridges: list[Polygon] = field(default_factory=list)
    pitches: list[RoofPart] = field(default_factory=list)
    """Football fields (only place and turn of the rectangle count)."""

    @property
    def carriageway(self) -> BaseGeometry:
        """All roads in one shape, their junctions rounded."""
        paved = unary_union([r.shape for r in self.roads if r.rank != "track"])
        rounded = paved.buffer(5).buffer(-5)
        return unary_union([rounded, self.roundabout]).difference(self.island)

    @property
    def roundabout(self) -> BaseGeometry:
        """The round junctions of the great roads, one in each scene."""
        return ROUNDABOUTS.buffer(17)

    @property
    def island(self) -> BaseGeometry:
        """The green middle of the round junctions."""
        return ROUNDABOUTS.buffer(8.5)

    @property
    def water(self) -> BaseGeometry:
        """River and ponds."""
        return unary_union([self.river, *self.ponds])


ROUNDABOUTS = MultiPoint([(303, 231), (768, 222)])

_MAIN = [(-20, 212), (110, 228), (250, 236), (390, 216), (512, 204), (640, 214), (768, 222)]
_MAIN += [(890, 206), (1044, 186)]
_ROADS: dict[str, list[list[tuple[float, float]]]] = {
    "main": [
        _MAIN,
        [(300, -20), (286, 110), (302, 224), (324, 320), (318, 400), (296, 532)],
        [(772, -20), (790, 100), (768, 222), (742, 330), (738, 440), (772, 532)],
    ],
    "street": [
        [(88, 226), (97, 150), (86, 66), (92, -20)],
        [(95, 146), (190, 139), (290, 152)],
        [(87, 64), (180, 57), (291, 66)],
        [(192, 234), (198, 140), (188, 58)],
        [(319, 295), (420, 300), (505, 286)],
        [(556, 205), (553, 290), (572, 366)],
        [(553, 286), (650, 296), (752, 290)],
        [(572, 364), (655, 372), (739, 360)],
        [(652, 214), (648, 296), (658, 372)],
        [(640, 213), (630, 150), (660, 101), (787, 96)],
        [(787, 92), (880, 82), (968, 96), (975, 196)],
    ],
    "track": [
        [(-20, 300), (90, 312), (150, 326), (324, 322)],
        [(296, 480), (180, 470), (60, 486), (-20, 478)],
        [(750, 478), (850, 466), (940, 474), (1044, 466)],
        [(294, 176), (400, 186), (520, 150), (556, 206)],
    ],
}
_WIDTHS = {"main": 8.4, "street": 6.0, "track": 3.2}
_RIVER = [(-30, 400), (110, 428), (225, 408), (320, 384), (420, 398), (520, 424), (640, 446)]
_RIVER += [(740, 432), (850, 408), (940, 416), (1054, 436)]


def curve(points: list[tuple[float, float]], step: float = 2.0) -> LineString:
    """A smooth line through `points`, a vertex every `step` metres or so."""
    knots = np.asarray(points, float)
    along = np.r_[0, np.hypot(*np.diff(knots, axis=0).T).cumsum()]
    spline = make_interp_spline(along, knots, k=min(3, len(points) - 1))
    return LineString(spline(np.linspace(0, along[-1], int(along[-1] / step) + 2)))


def rectangle(x: float, y: float, length: float, width: float, angle: float) -> Polygon:
    """A rectangle around x, y whose length is turned by `angle` degrees."""
    flat = box(x - length / 2, y - width / 2, x + length / 2, y + width / 2)
    return affinity.rotate(flat, angle, origin=(x, y))


def blob(
    rng: np.random.Generator, x: float, y: float, radius: float, *, rough: float, points: int = 28
) -> Polygon:
    """A round shape with an uneven rim."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    radii = np.ones(points)
    for wave in range(2, 7):
        radii += rough / wave * rng.normal() * np.cos(wave * turn + rng.uniform(0, 7))
    radii = radius * np.clip(radii, 0.55, 1.5)
    return Polygon(np.c_[x + radii * np.cos(turn), y + radii * np.sin(turn)])


def place(line: LineString, along: float, aside: float) -> tuple[float, float, float]:
    """The point `along` metres down a line and `aside` to its right, and the line's bearing."""
    here, ahead = line.interpolate(along - 0.5), line.interpolate(along + 0.5)
    bearing = math.atan2(ahead.y - here.y, ahead.x - here.x)
    middle = line.interpolate(along)
    x, y = middle.x - aside * math.sin(bearing), middle.y + aside * math.cos(bearing)
    return x, y, math.degrees(bearing)


def lay_roads(plan: Plan) -> None:
    """Draw the roads of the land."""
    for rank, lines in _ROADS.items():
        for points in lines:
            plan.roads.append(Road(line=curve(points), width=_WIDTHS[rank], rank=rank))


def lay_water(plan: Plan, rng: np.random.Generator) -> None:
    """Draw the river with a changing width, two ponds and the bridges."""
    line = curve(_RIVER, step=4)
    along = np.linspace(0, line.length, 300)
    swell = np.interp(along, np.linspace(0, line.length, 16), rng.uniform(7.5, 11.5, 16))
    disks = [line.interpolate(a).buffer(r) for a, r in zip(along, swell, strict=True)]
    plan.river = unary_union(disks).buffer(6).buffer(-6).simplify(0.1)
    plan.ponds = [
        blob(rng, 452, 52, 20, rough=0.35, points=60).buffer(4).buffer(-4),
        blob(rng, 888, 286, 17, rough=0.4, points=60).buffer(4).buffer(-4),
    ]
    for road in plan.roads:
        crossing = road.line.intersection(plan.river.buffer(5))
        if road.rank != "track" and not crossing.is_empty:
            plan.bridges.append(crossing.buffer(road.width / 2 + 1.3, cap_style="flat"))
