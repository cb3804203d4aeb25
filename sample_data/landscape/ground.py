"""Paint what lies flat: fields with their rows, gardens, roads and markings, water."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from shapely.geometry import LineString
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring, unary_union

from landscape.canvas import PIXEL, Canvas, Spot, Surface
from landscape.noise import Field
from landscape.plan import WORLD, Cover, Plan, RoofPart, rectangle

_SOIL = (0.205, 0.160, 0.120, 0.275)
_DARK_SOIL = (0.130, 0.102, 0.080, 0.180)
_GRASS = (0.080, 0.106, 0.062, 0.390)
_DRY_GRASS = (0.135, 0.130, 0.078, 0.330)

SURFACES: dict[str, Surface] = {
    "verge": Surface(first=(0.072, 0.098, 0.052, 0.37), second=_DRY_GRASS, contrast=0.30,
                     grain=0.09),
    "meadow": Surface(first=(0.086, 0.108, 0.062, 0.385), second=(0.122, 0.128, 0.076, 0.35),
                      contrast=0.30, grain=0.07),
    "lawn": Surface(first=_GRASS, second=(0.102, 0.122, 0.072, 0.37), contrast=0.25, grain=0.07),
    "dry_lawn": Surface(first=(0.100, 0.114, 0.068, 0.36), second=_DRY_GRASS, contrast=0.3,
                        grain=0.08),
    "garden": Surface(first=(0.058, 0.082, 0.044, 0.37), second=(0.120, 0.110, 0.074, 0.31),
                      texture="clump", contrast=0.30, grain=0.08),
    "maize": Surface(first=(0.052, 0.082, 0.043, 0.46), second=(0.084, 0.100, 0.060, 0.39),
                     texture="mottle", contrast=0.25, grain=0.08),
    "wheat": Surface(first=(0.215, 0.180, 0.108, 0.335), second=(0.250, 0.206, 0.122, 0.36),
                     texture="mottle", contrast=0.30, grain=0.04),
    "stubble": Surface(first=(0.230, 0.198, 0.140, 0.32), second=(0.185, 0.155, 0.106, 0.29),
                       texture="mottle", contrast=0.3, grain=0.06),
    "beet": Surface(first=(0.066, 0.100, 0.052, 0.48), second=(0.100, 0.110, 0.070, 0.39),
                    texture="mottle", contrast=0.28, grain=0.07),
    "rape": Surface(first=(0.150, 0.152, 0.082, 0.40), second=(0.116, 0.132, 0.070, 0.41),
                    texture="mottle", contrast=0.3, grain=0.06),
    "bare": Surface(first=_SOIL, second=(0.155, 0.120, 0.090, 0.215), texture="broad",
                    contrast=0.34, grain=0.06),
    "bare_dark": Surface(first=_DARK_SOIL, second=(0.172, 0.135, 0.104, 0.235), texture="mottle",
                         contrast=0.30, grain=0.08),
    "bed": Surface(first=_DARK_SOIL, second=(0.070, 0.090, 0.048, 0.33), texture="clump",
                   contrast=0.3),
    "forest_floor": Surface(first=(0.040, 0.048, 0.030, 0.20), second=(0.060, 0.066, 0.040, 0.26)),
    "slabs": Surface(first=(0.225, 0.215, 0.200, 0.255), second=(0.180, 0.168, 0.152, 0.215),
                     contrast=0.2, grain=0.05),
    "gravel_yard": Surface(first=(0.225, 0.200, 0.165, 0.265), second=(0.130, 0.125, 0.085, 0.30),
                           contrast=0.28, grain=0.06),
    "concrete_yard": Surface(first=(0.185, 0.180, 0.170, 0.205),
                             second=(0.150, 0.147, 0.140, 0.170),
                             contrast=0.25, grain=0.035),
    "track": Surface(first=(0.235, 0.205, 0.165, 0.29), second=(0.200, 0.172, 0.138, 0.26),
                     contrast=0.25, grain=0.06),
    "asphalt": Surface(first=(0.102, 0.102, 0.104, 0.118), second=(0.126, 0.125, 0.124, 0.140),
                       contrast=0.25, grain=0.035),
    "old_asphalt": Surface(first=(0.138, 0.135, 0.130, 0.152), second=(0.160, 0.156, 0.149, 0.172),
                           contrast=0.25, grain=0.035),
    "sidewalk": Surface(first=(0.205, 0.198, 0.188, 0.225), second=(0.180, 0.174, 0.164, 0.205),
                        contrast=0.2, grain=0.04),
    "paint": Surface(first=(0.40, 0.40, 0.39, 0.41), second=(0.30, 0.30, 0.29, 0.31),
                     texture="clump"),
    "concrete": Surface(first=(0.255, 0.250, 0.238, 0.275), second=(0.215, 0.210, 0.200, 0.235)),
    "water": Surface(first=(0.030, 0.044, 0.040, 0.010), second=(0.040, 0.056, 0.047, 0.014),
                     texture="broad", contrast=0.18, grain=0.02),
    "reed": Surface(first=(0.058, 0.072, 0.042, 0.30), second=(0.100, 0.100, 0.062, 0.27),
                    texture="clump", contrast=0.3, grain=0.1),
}  # fmt: skip

_ROWS: dict[str, tuple[float, float, bool]] = {
    # surface: metres between rows, their weight, whether wheels left tramlines
    "maize": (1.5, 0.30, False), "wheat": (1.1, 0.12, True), "stubble": (2.6, 0.32, False),
    "beet": (1.3, 0.28, True), "rape": (1.1, 0.12, True), "bare": (1.7, 0.16, False),
    "bare_dark": (2.2, 0.26, False), "meadow": (5.5, 0.10, False), "bed": (1.1, 0.4, False),
    "lawn": (1.6, 0.06, False),
}  # fmt: skip
_TRAMLINE_GAP = 18.0
_HEADLAND = 9.0


def paint_ground(canvas: Canvas, plan: Plan, rng: np.random.Generator) -> None:
    """Paint the ground from below: verges, covers, water, roads, bridges."""
    canvas.paint(WORLD, SURFACES["verge"])
    for cover in plan.covers:
        gain = rng.normal(1, 0.06)
        canvas.paint(
            cover.shape, SURFACES[cover.surface], gain=gain, stir=_rows(canvas, cover, rng)
        )
    for pitch in plan.pitches:
        _paint_pitch(canvas, pitch)
    canvas.paint(plan.water.buffer(3.2), SURFACES["reed"])
    _paint_water(canvas, plan)
    _paint_roads(canvas, plan)
    _soften(canvas)


def _rows(canvas: Canvas, cover: Cover, rng: np.random.Generator) -> Callable[[Spot], Field] | None:
    """Rows across the field and along its headlands, with tramlines where a crop stands."""
    if cover.surface not in _ROWS:
        return None
    spacing, weight, tramlines = _ROWS[cover.surface]
    turn, start = math.radians(cover.angle), rng.uniform(0, spacing)
    headland = cover.shape.area > 2500

    def stir(spot: Spot) -> Field:
        east, south = spot.east_south
        across = south * math.cos(turn) - east * math.sin(turn) + start
        if headland:
            inward = distance_transform_edt(np.pad(spot.mask, 1))[1:-1, 1:-1] * PIXEL
            across = np.where(inward < _HEADLAND, inward, across)
        across = across + 0.10 * canvas.textures["mottle"][spot.window]
        share = weight * np.sin(2 * math.pi / spacing * across)
        share += weight * 0.6 * np.sin(2 * math.pi / (spacing * 5.03) * across) ** 3
        if tramlines:
            from_line = np.abs((across + _TRAMLINE_GAP / 2) % _TRAMLINE_GAP - _TRAMLINE_GAP / 2)
            share += 1.1 * (np.abs(from_line - 0.9) < 0.28)
        result: Field = share.astype(np.float32)
        return result

    return stir


def _paint_pitch(canvas: Canvas, pitch: RoofPart) -> None:
    """A football field: mown in stripes, with white lines."""
    length, width = pitch.length, pitch.width
    canvas.paint(pitch.shape.buffer(5), SURFACES["lawn"])
    turn = math.radians(pitch.angle)

    def stripes(spot: Spot) -> Field:
        east, south = spot.east_south
        along = (east - pitch.x) * math.cos(turn) + (south - pitch.y) * math.sin(turn)
        result: Field = (0.28 * np.sign(np.sin(2 * math.pi / 11.5 * along))).astype(np.float32)
        return result

    canvas.paint(pitch.shape, SURFACES["lawn"], stir=stripes)
    share = width / 58  # of a full-sized field
    flat = [rectangle(0, 0, length - 6, width - 6, 0).exterior]
    flat += [LineString([(0, -width / 2 + 3), (0, width / 2 - 3)])]
    flat += [rectangle(0, 0, 0.1, 0.1, 0).centroid.buffer(9.15 * share).exterior]
    for side in (-1, 1):
        for deep, wide in ((16.5, 40.3), (5.5, 18.3)):
            x = side * (length / 2 - 3 - share * deep / 2)
            flat.append(rectangle(x, 0, share * deep, share * wide, 0).exterior)
    for line in flat:
        canvas.paint(_turned(line.buffer(0.14), pitch), SURFACES["paint"])


def _turned(shape: BaseGeometry, part: RoofPart) -> BaseGeometry:
    from shapely import affinity

    return affinity.translate(affinity.rotate(shape, part.angle, origin=(0, 0)), part.x, part.y)


def _paint_water(canvas: Canvas, plan: Plan) -> None:
    """Water: deep and dark in the middle, a little brighter over the shallows."""

    def shallows(spot: Spot) -> Field:
        inward = distance_transform_edt(spot.mask) * PIXEL
        result: Field = (0.75 * np.exp(-inward / 1.8)).astype(np.float32)
        return result

    for body in [plan.river, *plan.ponds]:
        canvas.paint(body, SURFACES["water"], stir=shallows)


def _paint_roads(canvas: Canvas, plan: Plan) -> None:
    """Tracks, sidewalks, carriageways with wheel marks and patches, markings, bridges."""
    for road in plan.roads:
        if road.rank == "track":
            canvas.paint(road.shape, SURFACES["track"])
            canvas.paint(road.line.buffer(0.45), SURFACES["verge"])
    streets = [road for road in plan.roads if road.rank == "street"]
    walks = unary_union([road.shape.buffer(1.9) for road in streets]).buffer(4).buffer(-4)
    canvas.paint(walks, SURFACES["sidewalk"])
    canvas.paint(plan.carriageway.buffer(0.5), SURFACES["gravel_yard"])
    for bridge in plan.bridges:
        canvas.paint(bridge, SURFACES["concrete"])
        _lift(canvas, bridge, 2.2)
    canvas.paint(plan.carriageway, SURFACES["old_asphalt"])
    for road in plan.roads:
        if road.rank == "main":
            canvas.paint(road.shape.intersection(plan.carriageway), SURFACES["asphalt"])
    canvas.paint(plan.roundabout.difference(plan.island), SURFACES["asphalt"])
    canvas.paint(plan.island, SURFACES["lawn"])
    for road in plan.roads:
        if road.rank != "track":
            _wear(canvas, road.line, road.width)
    _mark(canvas, plan)


def _lift(canvas: Canvas, shape: BaseGeometry, height: float) -> None:
    spot = canvas.spot(shape)
    if spot is not None:
        canvas.height[spot.window][spot.mask] = height


def _wear(canvas: Canvas, line: LineString, width: float) -> None:
    """Darken the wheel paths and the joint between the lanes a little."""
    for aside in (-0.33, -0.15, 0.15, 0.33):
        path = line.parallel_offset(abs(aside) * width, "left" if aside < 0 else "right")
        spot = canvas.spot(path.buffer(0.4))
        if spot is not None:
            for band in canvas.reflectance:
                band[spot.window][spot.mask] *= 0.94


def _mark(canvas: Canvas, plan: Plan) -> None:
    """White lines: broken in the middle of the great roads, solid at their edges."""
    keep_out = plan.roundabout.buffer(4)
    for road in plan.roads:
        others = unary_union([r.shape.buffer(3) for r in plan.roads if r is not road])
        free = road.line.difference(unary_union([keep_out, others]))
        for piece in getattr(free, "geoms", [free]):
            if road.rank == "main":
                for start in np.arange(2, piece.length - 4, 9.0):
                    dash = substring(piece, start, start + 4)
                    canvas.paint(dash.buffer(0.13, cap_style="flat"), SURFACES["paint"])
                for side in ("left", "right"):
                    edge = piece.parallel_offset(road.width / 2 - 0.35, side)
                    canvas.paint(edge.buffer(0.12), SURFACES["paint"])


def _soften(canvas: Canvas) -> None:
    """Let neighbouring surfaces run into each other by a hand's breadth, and stain the land."""
    stain = 1 + 0.035 * canvas.textures["broad"] + 0.03 * canvas.textures["mottle"]
    for band in canvas.reflectance:
        band[:] = gaussian_filter(band, 0.5) * stain
