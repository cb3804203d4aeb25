"""Fields between the settlements, and all that grows high: trees, hedges, woods."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree
from shapely import STRtree
from shapely.affinity import rotate
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from shapely.prepared import prep

from landscape.plan import WORLD, Cover, Plan, Plant, blob, place

Rng = np.random.Generator

_CROPS = ["maize", "wheat", "bare", "meadow", "beet", "stubble", "bare_dark", "rape"]
_WOODS = [(400, 108, 46), (438, 132, 40), (365, 84, 26), (38, 498, 40), (110, 506, 26),
          (930, 316, 44), (890, 336, 30), (966, 356, 34), (560, 500, 40), (610, 508, 24),
          (420, 502, 20), (30, 262, 22)]  # fmt: skip


def grow(plan: Plan, rng: Rng) -> None:
    """Sow the fields, plant the woods, the river banks, the roadsides and the gardens."""
    woods = [blob(rng, x, y, radius, rough=0.4, points=60) for x, y, radius in _WOODS]
    taken = unary_union(
        [road.shape.buffer(2.0) for road in plan.roads]
        + [cover.shape.buffer(1.5) for cover in plan.covers]
        + [village(plan), plan.water.buffer(4.5), plan.roundabout.buffer(4)]
        + [wood.buffer(1.0) for wood in woods]
        + [pitch.shape.buffer(6) for pitch in plan.pitches]
    )
    gardens = [cover for cover in plan.covers if cover.surface in ("lawn", "garden", "dry_lawn")]
    _sow(plan, rng, WORLD.difference(taken.buffer(2.5).buffer(-2.5)))
    planter = _Planter(plan, rng)
    planter.woods(woods)
    planter.banks()
    planter.roadsides()
    for garden in gardens:
        planter.garden(garden)
    planter.lone_trees(60)


def village(plan: Plan) -> BaseGeometry:
    """The plots and what lies between them: no field there."""
    plots = [c.shape for c in plan.covers if c.surface in ("lawn", "garden", "dry_lawn")]
    return unary_union(plots).buffer(26).buffer(-24)


def _sow(plan: Plan, rng: Rng, free: BaseGeometry) -> None:
    """Cut the free land in fields: turned rows of unequal cells."""
    number = int(rng.integers(len(_CROPS)))
    regions = [(-60, -60, 470, 300, 6), (470, -60, 1090, 300, -7)]
    regions += [(-60, 300, 590, 590, -9), (590, 300, 1090, 590, 8)]
    for *corners, angle in regions:
        region = box(*corners)
        for cell in _cells(rng, region, angle):
            for part in _polygons(cell.intersection(free).intersection(region)):
                field = part.buffer(-1.3).buffer(-2).buffer(2)
                for piece in _polygons(field):
                    if piece.area > 700:
                        crop = _CROPS[number % len(_CROPS)]
                        turned = angle + (0 if rng.random() < 0.6 else 90)
                        plan.covers.append(Cover(shape=piece, surface=crop, angle=turned))
                number += int(rng.integers(1, 4))


def _cells(rng: Rng, region: Polygon, angle: float) -> list[Polygon]:
    left, top, right, bottom = region.bounds
    cells = []
    y = top - 100.0
    while y < bottom + 100:
        height = rng.uniform(60, 105)
        x = left - 150.0
        while x < right + 150:
            width = rng.uniform(55, 150)
            cell = box(x, y, x + width, y + height)
            cells.append(rotate(cell, angle, origin=region.centroid))
            x += width
        y += height
    return cells


def _polygons(shape: BaseGeometry) -> list[Polygon]:
    if isinstance(shape, Polygon):
        return [] if shape.is_empty else [shape]
    return [part for part in getattr(shape, "geoms", []) if isinstance(part, Polygon)]


class _Planter:
    """Plants crowns where they are free of roofs and of each other."""

    def __init__(self, plan: Plan, rng: Rng) -> None:
        self._plan, self._rng = plan, rng
        self._roofs = STRtree([b.shape.buffer(0.6) for b in plan.buildings])
        self._water = prep(plan.water.buffer(1.0))
        self._drives = prep(unary_union(
            [plan.carriageway.buffer(0.5)] + [c.shape for c in plan.covers if c.surface == "slabs"]
        ))  # fmt: skip

    def plant(self, kind: str, species: str, x: float, y: float, radius: float) -> bool:
        """Plant one tree if its place is free."""
        foot = Point(x, y)
        crown = blob(self._rng, x, y, radius, rough=0.22, points=22)
        roof_near = len(self._roofs.query(crown, predicate="intersects")) > 0
        if roof_near or self._water.contains(foot) or self._drives.contains(foot):
            return False
        if not crown.intersects(WORLD):
            return False
        tall = {"fir": 3.0, "fruit": 1.5, "bush": 0.9, "poplar": 4.2}.get(species, 1.9)
        top = min(radius * tall * self._rng.uniform(0.85, 1.15) + 1.0, 22)
        self._plan.plants.append(Plant(kind=kind, species=species, shape=crown, top=top))
        return True

    def woods(self, woods: list[Polygon]) -> None:
        """Fill the woods: crowns about as far apart as they are wide."""
        area = unary_union(woods)
        clear = unary_union(
            [r.shape.buffer(2.5) for r in self._plan.roads]
            + [b.shape.buffer(5) for b in self._plan.buildings]
            + [self._plan.water.buffer(2)]
        )
        shape = area.difference(clear)
        self._plan.covers.append(Cover(shape=shape, surface="forest_floor"))
        inside = prep(shape.buffer(-1.5))
        left, top, right, bottom = shape.bounds
        spots = self._rng.uniform((left, top), (right, bottom), (26000, 2))
        kept = _spread([s for s in spots if inside.contains(Point(s))], 3.7)
        stand = self._rng.uniform(0, 6, 2)
        for x, y in kept:
            conifer = math.sin(x / 31 + stand[0]) + math.sin(y / 23 + stand[1]) > 0.7
            species = "fir" if conifer and self._rng.random() < 0.9 else self._broad()
            radius = (
                self._rng.uniform(1.9, 2.9) if species == "fir" else self._rng.uniform(2.4, 4.6)
            )
            self.plant("wood", species, x, y, radius)

    def banks(self) -> None:
        """Willows and bushes along the water."""
        for ring in [p.exterior for p in _polygons(self._plan.river)] + [
            pond.exterior for pond in self._plan.ponds
        ]:
            along = 0.0
            while along < ring.length:
                if math.sin(along / 37) + math.sin(along / 11.3) > -0.2:
                    spot = ring.interpolate(along)
                    x, y = spot.x + self._rng.normal(0, 1.6), spot.y + self._rng.normal(0, 1.6)
                    radius = self._rng.uniform(1.5, 4.3)
                    self.plant(
                        "tree", str(self._rng.choice(["oak", "birch", "bush"])), x, y, radius
                    )
                along += self._rng.uniform(3, 9)

    def roadsides(self) -> None:
        """Avenues along parts of the great roads, bushes along the tracks."""
        for number, road in enumerate(self._plan.roads):
            for along in np.arange(6, road.line.length - 6, 10.5 if road.rank == "main" else 15):
                chance = 0.55 if math.sin(along / 60 + number) > 0 else 0.1
                if road.rank == "street":
                    chance *= 0.35
                for side in (-1, 1):
                    if self._rng.random() < chance:
                        aside = road.width / 2 + self._rng.uniform(3, 4.4)
                        x, y, _ = place(road.line, along, side * aside)
                        self.plant("tree", self._broad(), x, y, self._rng.uniform(1.8, 3.6))

    def garden(self, garden: Cover) -> None:
        """A hedge around some gardens, and a few trees and bushes."""
        for plot in _polygons(garden.shape):
            if self._rng.random() < 0.5 and plot.area < 2000:
                self._hedge(plot)
            left, top, right, bottom = plot.bounds
            inside = prep(plot.buffer(-1.0))
            for _ in range(int(self._rng.poisson(plot.area / 62))):
                x, y = self._rng.uniform((left, top), (right, bottom))
                if inside.contains(Point(x, y)):
                    species = str(
                        self._rng.choice(["fruit", "oak", "birch", "bush", "bush", "fir"])
                    )
                    largest = 2.6 if species in ("bush", "fruit", "fir") else 4.8
                    self.plant("tree", species, x, y, self._rng.uniform(1.1, largest))

    def _hedge(self, plot: Polygon) -> None:
        """A clipped hedge along the rear half of a plot's border."""
        ring = plot.exterior
        start, stop = sorted(self._rng.uniform(0.25, 0.95, 2))
        if stop - start < 0.15:
            return
        stations = np.linspace(start, stop, 24) * ring.length
        line = LineString([ring.interpolate(s) for s in stations])
        shape = line.buffer(self._rng.uniform(0.6, 0.95)).simplify(0.05)
        near = self._plan.buildings
        blocked = unary_union([near[i].shape.buffer(0.7) for i in self._roofs.query(shape)])
        for part in _polygons(shape.difference(blocked)):
            if part.area > 6 and not self._drives.intersects(part):
                self._plan.plants.append(Plant(kind="hedge", species="hedge", shape=part, top=1.8))

    def lone_trees(self, count: int) -> None:
        """Single trees on meadows and field margins."""
        open_land = [c for c in self._plan.covers if c.surface in ("meadow", "beet", "wheat")]
        rims = [c.shape.exterior for c in open_land]
        for _ in range(count):
            rim = rims[int(self._rng.integers(len(rims)))]
            spot = rim.interpolate(self._rng.uniform(0, rim.length))
            self.plant("tree", self._broad(), spot.x, spot.y, self._rng.uniform(1.8, 4.8))

    def _broad(self) -> str:
        return str(self._rng.choice(["oak", "oak", "birch", "maple"]))


def _spread(spots: list[np.ndarray], distance: float) -> list[tuple[float, float]]:
    """Keep spots, in their order, that are not nearer than `distance` to a kept one."""
    points = np.asarray(spots)
    tree = cKDTree(points)
    free = np.ones(len(points), bool)
    kept = []
    for number, point in enumerate(points):
        if free[number]:
            kept.append((float(point[0]), float(point[1])))
            free[tree.query_ball_point(point, distance)] = False
    return kept


def crowns(plan: Plan, kind: str) -> BaseGeometry:
    """The ground that all plants of a kind cover, seen from above."""
    shapes = [plant.shape for plant in plan.plants if plant.kind == kind]
    return unary_union(shapes) if shapes else MultiPolygon()
