"""Plots along the streets, with houses, sheds, drives, gardens; and the industrial estates."""

from __future__ import annotations

import math

import numpy as np
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from landscape.plan import Building, Cover, Plan, Road, RoofPart, Vehicle, place, rectangle

Rng = np.random.Generator

_PLOTS = [  # road, side, from, to (share of its length): where houses stand
    (0, 1, 0.03, 0.27), (0, -1, 0.02, 0.27), (0, 1, 0.53, 0.72), (0, -1, 0.42, 0.50),
    (1, 1, 0.08, 0.42), (1, -1, 0.10, 0.40), (2, 1, 0.46, 0.72), (2, -1, 0.48, 0.60),
    (3, 1, 0.0, 0.90), (3, -1, 0.0, 0.90), (4, 1, 0.05, 0.95), (4, -1, 0.05, 0.95),
    (5, 1, 0.05, 0.95), (5, -1, 0.05, 0.95), (6, 1, 0.05, 0.95), (6, -1, 0.05, 0.95),
    (8, 1, 0.08, 0.95), (8, -1, 0.08, 1.0), (9, 1, 0.05, 0.95), (9, -1, 0.05, 0.95),
    (10, 1, 0.02, 0.95), (10, -1, 0.02, 0.95), (11, 1, 0.05, 0.95), (11, -1, 0.05, 0.95),
]  # fmt: skip
_ROOFS = ["red_tile"] * 5 + ["old_tile"] * 4 + ["brown_tile"] * 3 + ["slate"] * 4 + ["metal"]
_PAINTS = ["white", "white", "silver", "silver", "black", "black", "grey", "blue", "red"]

_BLOCKS = [  # x, y, length, width, angle: blocks of flats
    (662, 152, 40, 13, 2), (662, 182, 40, 13, 2), (596, 118, 13, 44, 4), (573, 160, 42, 13, 96),
    (706, 78, 44, 13, -3), (420, 250, 36, 14, -9), (752, 62, 14, 34, 6),
]  # fmt: skip
_HALLS = [  # x, y, length, width, angle, form, cover
    (352, 266, 46, 22, 5, "flat", "gravel"), (398, 334, 62, 34, 3, "gable", "metal"),
    (462, 332, 40, 40, -4, "saw", "bitumen"), (470, 256, 44, 24, -7, "gable", "blue_metal"),
    (350, 344, 26, 36, 6, "flat", "gravel"), (842, 48, 70, 36, -5, "flat", "gravel"),
    (918, 44, 48, 42, 6, "gable", "metal"), (840, 128, 52, 44, -4, "saw", "bitumen"),
    (918, 140, 60, 30, 4, "gable", "blue_metal"), (986, 60, 26, 40, 8, "flat", "white_membrane"),
    (1004, 140, 30, 44, -2, "gable", "metal"), (812, 172, 30, 18, -6, "flat", "white_membrane"),
]  # fmt: skip
_FARMS = [  # x, y, length, width, angle, cover: barns and farm houses
    (138, 352, 38, 15, 8, "old_tile"), (172, 356, 16, 30, 8, "metal"),
    (156, 384, 17, 11, 12, "red_tile"), (868, 490, 36, 15, -6, "brown_tile"),
    (900, 494, 14, 26, -6, "fibre_cement"), (842, 486, 15, 11, -4, "red_tile"),
    (446, 478, 30, 14, 20, "fibre_cement"), (470, 466, 14, 10, 20, "slate"),
]  # fmt: skip


def settle(plan: Plan, rng: Rng) -> None:
    """Build on the land: plots with houses, blocks of flats, halls, farms."""
    blocked = unary_union(
        [road.shape.buffer(2.2) for road in plan.roads]
        + [plan.water.buffer(6), plan.roundabout.buffer(3)]
        + [rectangle(*spec[:5]).buffer(9) for spec in _BLOCKS + _HALLS]
    )
    build_estates(plan, rng)
    for index, side, start, stop in _PLOTS:
        blocked = _plots_along(plan, rng, plan.roads[index], side, (start, stop), blocked)
    for x, y, length, width, angle, cover in _FARMS:
        _farm(plan, rng, RoofPart(x=x, y=y, length=length, width=width, angle=angle, form="gable",
                                  pitch=rng.uniform(24, 36)), cover)  # fmt: skip
    _drive_cars(plan, rng)


def _plots_along(
    plan: Plan,
    rng: Rng,
    road: Road,
    side: int,
    stretch: tuple[float, float],
    blocked: BaseGeometry,
) -> BaseGeometry:
    """Cut plots along one side of a road, build on those that are free; returns what is taken."""
    along = stretch[0] * road.line.length + rng.uniform(4, 8)
    near = road.width / 2 + 2.3
    while along < stretch[1] * road.line.length:
        terrace = rng.random() < 0.14
        front = rng.uniform(34, 44) if terrace else rng.uniform(16.5, 23)
        depth = near + rng.uniform(28, 36)
        plot = _strip(road.line, side, (along, along + front), (near, depth))
        if plot.is_valid and plot.intersection(blocked).area > 0.03 * plot.area:
            plot = _strip(road.line, side, (along, along + front), (near, near + 22))
        if plot.is_valid and plot.intersection(blocked).area < 0.06 * plot.area:
            plot = _largest(plot.difference(blocked))
            _build_plot(plan, rng, road, side, (along, front), plot, terrace=terrace)
            blocked = blocked.union(plot)
            along += front
        else:
            along += 3
    return blocked


def _largest(shape: BaseGeometry) -> Polygon:
    return max(getattr(shape, "geoms", [shape]), key=lambda part: part.area)


def _strip(
    line: LineString, side: int, along: tuple[float, float], aside: tuple[float, float]
) -> Polygon:
    """The ground between two stations and two distances to the side of a line."""
    stations = np.linspace(along[0], along[1], 5)
    near = [place(line, s, side * aside[0])[:2] for s in stations]
    far = [place(line, s, side * aside[1])[:2] for s in stations[::-1]]
    return Polygon(near + far)


def _build_plot(
    plan: Plan,
    rng: Rng,
    road: Road,
    side: int,
    front: tuple[float, float],
    plot: Polygon,
    *,
    terrace: bool,
) -> None:
    """A garden with one house (or a terrace), a drive, a terrace of slabs, perhaps a shed."""
    start, length = front
    near = road.width / 2 + 2.3
    surface = str(rng.choice(["lawn", "lawn", "garden", "dry_lawn"]))
    plan.covers.append(Cover(shape=plot, surface=surface, angle=road_angle(road, start)))
    for _ in range(6):
        back = near + (rng.uniform(3, 6) if rng.random() < 0.8 else rng.uniform(7, 11))
        width = rng.uniform(8.0, 10.6)
        size = length - 3 if terrace else min(rng.uniform(9.6, 14.5), length - 5.5)
        shift = 0.0 if terrace else rng.uniform(-1, 1) * (length - size - 5.5) / 2
        middle = start + length / 2 + shift
        x, y, angle = place(road.line, middle, side * (back + width / 2))
        house = _house(rng, (x, y, angle), (size, width), side, terrace=terrace)
        if house.shape.difference(plot.buffer(-0.4)).area < 2:
            plan.buildings.append(house)
            numbers = (middle, size, back, width, near, start, length)
            _pave(plan, rng, road, side, numbers, plot, house)
            return


def road_angle(road: Road, along: float) -> float:
    """Bearing of a road, degrees."""
    return place(road.line, along, 0)[2]


def _house(
    rng: Rng,
    spot: tuple[float, float, float],
    size: tuple[float, float],
    side: int,
    *,
    terrace: bool,
) -> Building:
    x, y, angle = spot
    length, width = size
    angle += rng.normal(0, 1.2)
    modern = not terrace and rng.random() < 0.12
    form = "flat" if modern else "hip" if not terrace and rng.random() < 0.28 else "gable"
    pitch = rng.uniform(22, 30) if form == "hip" else rng.uniform(30, 45)
    if not terrace and width > 9 and rng.random() < 0.25:
        angle, length, width = angle + 90, width, length  # gable end to the street
        if length < width:
            angle, length, width = angle - 90, width, length
    main = RoofPart(x=x, y=y, length=length, width=width, angle=angle, form=form, pitch=pitch)
    parts = [main]
    if not terrace and length > 11 and rng.random() < 0.4:
        parts.append(_wing(rng, main, side))
    covers = ["gravel", "bitumen", "white_membrane"] if modern else _ROOFS
    eave = rng.uniform(5.5, 6.5) if modern or terrace else rng.choice([3.2, 4.6, 5.6])
    return Building(
        kind="house", parts=tuple(parts), eave=float(eave), cover=str(rng.choice(covers))
    )


def _wing(rng: Rng, main: RoofPart, side: int) -> RoofPart:
    """A cross wing whose ridge runs into the main ridge."""
    reach, across = main.width / 2 + rng.uniform(1.5, 3.5), rng.uniform(4.6, 6.2)
    along = rng.choice([-1, 1]) * (main.length - across) / 2 * rng.uniform(0.3, 1.0)
    turn = math.radians(main.angle)
    out = side * reach / 2
    return RoofPart(
        x=main.x + along * math.cos(turn) - out * math.sin(turn),
        y=main.y + along * math.sin(turn) + out * math.cos(turn),
        length=reach,
        width=across,
        angle=main.angle + 90,
        form="flat" if main.form == "flat" else "gable",
        pitch=main.pitch,
    )


def _pave(
    plan: Plan,
    rng: Rng,
    road: Road,
    side: int,
    numbers: tuple[float, ...],
    plot: Polygon,
    house: Building,
) -> None:
    """Drive, garage, slabs behind the house, vegetable bed, shed."""
    middle, size, back, width, near, start, length = numbers
    free = plot.difference(house.shape.buffer(0.2))
    end = rng.choice([-1, 1])
    at = middle + end * (size / 2 + 2.2)
    if start + 1.6 < at < start + length - 1.6:
        drive = _strip(road.line, side, (at - 1.5, at + 1.5), (near - 2.3, back + 5))
        plan.covers.append(Cover(shape=drive.difference(house.shape), surface="slabs"))
        garage = _place_part(road, side, at, back + 7.6, (3.3, 6.0), "flat")
        if rng.random() < 0.5 and garage.shape.difference(plot.buffer(-0.2)).is_empty:
            _add_shed(plan, rng, garage, house)
        elif rng.random() < 0.6:
            _park(plan, rng, *place(road.line, at, side * (back + 1)), turned=90)
    patio = _strip(road.line, side, (middle - size * 0.35, middle + size * 0.3),
                   (back + width, back + width + rng.uniform(2, 4)))  # fmt: skip
    plan.covers.append(Cover(shape=patio.intersection(free), surface="slabs"))
    if rng.random() < 0.3:
        bed = _strip(road.line, side, (start + 2, start + length / 2),
                     (back + width + 9, back + width + 14))  # fmt: skip
        plan.covers.append(
            Cover(shape=bed.intersection(free), surface="bed", angle=road_angle(road, start))
        )
    corner = start + (2.8 if rng.random() < 0.5 else length - 2.8)
    shed = _place_part(
        road, side, corner, near + 26.5, (3.4, 2.7), str(rng.choice(["pent", "gable"]))
    )
    if rng.random() < 0.45 and shed.shape.difference(plot.buffer(-0.3)).is_empty:
        _add_shed(plan, rng, shed, house)


def _place_part(
    road: Road, side: int, along: float, aside: float, size: tuple[float, float], form: str
) -> RoofPart:
    x, y, angle = place(road.line, along, side * aside)
    return RoofPart(x=x, y=y, length=size[0], width=size[1], angle=angle, form=form, pitch=16)


def _add_shed(plan: Plan, rng: Rng, part: RoofPart, house: Building) -> None:
    if part.shape.distance(house.shape) < 0.5:
        return
    covers = ["bitumen", "gravel", "bitumen", "metal", "wood_planks"]
    plan.buildings.append(
        Building(kind="shed", parts=(part,), eave=2.5, cover=str(rng.choice(covers)))
    )


def _farm(plan: Plan, rng: Rng, part: RoofPart, cover: str) -> None:
    barn = part.length * part.width > 300
    plan.covers.append(Cover(shape=part.shape.buffer(7).buffer(-2), surface="gravel_yard"))
    kind = "hall" if barn else "house"
    plan.buildings.append(Building(kind=kind, parts=(part,), eave=rng.uniform(4, 5.5), cover=cover))


def build_estates(plan: Plan, rng: Rng) -> None:
    """Blocks of flats on lawns, halls on yards with parked cars and lorries."""
    for x, y, length, width, angle in _BLOCKS:
        lawn = rectangle(x, y, length + 26, width + 26, angle).buffer(6)
        plan.covers.append(Cover(shape=lawn, surface="lawn", angle=angle))
        part = RoofPart(x=x, y=y, length=length, width=width, angle=angle, form="flat")
        eave, cover = rng.uniform(10, 16), str(rng.choice(["gravel", "bitumen", "gravel"]))
        plan.buildings.append(Building(kind="apartments", parts=(part,), eave=eave, cover=cover))
    for x, y, length, width, angle, _, _ in _HALLS:
        yard = rectangle(x, y, length + 24, width + 26, angle).buffer(2)
        plan.covers.append(Cover(shape=yard, surface="concrete_yard", angle=angle))
    for x, y, length, width, angle, form, cover in _HALLS:
        part = RoofPart(x=x, y=y, length=length, width=width, angle=angle, form=form,
                        pitch={"gable": 7.0, "saw": 18.0}.get(form, 0.0))  # fmt: skip
        plan.buildings.append(
            Building(kind="hall", parts=(part,), eave=rng.uniform(6.5, 10), cover=cover)
        )
        _park_row(plan, rng, part)
    plan.pitches.append(RoofPart(x=590, y=62, length=92, width=58, angle=-4, form="flat"))
    plan.pitches.append(RoofPart(x=368, y=452, length=76, width=48, angle=6, form="flat"))


def _park_row(plan: Plan, rng: Rng, part: RoofPart) -> None:
    """A row of cars along one long side of a hall, and a lorry or two along the other."""
    turn = math.radians(part.angle)
    side = rng.choice([-1, 1])
    for along in np.arange(-part.length / 2 + 2, part.length / 2 - 2, 2.7):
        if rng.random() < 0.7:
            out = side * (part.width / 2 + 7.5)
            x = part.x + along * math.cos(turn) - out * math.sin(turn)
            y = part.y + along * math.sin(turn) + out * math.cos(turn)
            _park(plan, rng, x, y, part.angle, turned=90)
    for along in rng.uniform(-part.length / 2 + 4, part.length / 2 - 4, rng.integers(0, 4)):
        out = -side * (part.width / 2 + 7)
        x = part.x + along * math.cos(turn) - out * math.sin(turn)
        y = part.y + along * math.sin(turn) + out * math.cos(turn)
        lorry = rectangle(x, y, 12, 2.6, part.angle + 90)
        color = str(rng.choice(["white", "silver", "blue"]))
        plan.vehicles.append(Vehicle(shape=lorry, angle=part.angle + 90, height=3.6, color=color))


def _park(plan: Plan, rng: Rng, x: float, y: float, angle: float, turned: float = 0) -> None:
    angle += turned + rng.normal(0, 2)
    car = rectangle(x, y, rng.uniform(4.0, 4.7), 1.85, angle)
    if all(car.distance(b.shape) > 0.4 for b in plan.buildings[-40:]):
        plan.vehicles.append(
            Vehicle(shape=car, angle=angle, color=str(rng.choice(_PAINTS)), height=1.45)
        )


def _drive_cars(plan: Plan, rng: Rng) -> None:
    """Cars on their way, and parked at the kerb of the streets."""
    for road in plan.roads:
        if road.rank == "track":
            continue
        gap = 60 if road.rank == "main" else 38
        for along in np.arange(10, road.line.length - 10, gap):
            if rng.random() < 0.65:
                side = rng.choice([-1, 1])
                aside = 2.0 if road.rank == "main" else road.width / 2 - 1.1
                x, y, angle = place(road.line, along + rng.uniform(0, gap * 0.8), side * aside)
                _park(plan, rng, x, y, angle)
    clear = plan.island.buffer(1)
    plan.vehicles = [car for car in plan.vehicles if not car.shape.intersects(clear)]
