"""Raise the buildings and paint their roofs; and the cars, which are boxes too."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from landscape.canvas import Canvas, Spectrum, Spot
from landscape.noise import Field
from landscape.plan import Building, Plan, RoofPart, rectangle

Rng = np.random.Generator
Mask = NDArray[np.bool_]

COVERS: dict[str, tuple[Spectrum, float]] = {
    # spectrum, and how much it varies from roof to roof
    "red_tile": ((0.232, 0.132, 0.098, 0.310), 0.13),
    "old_tile": ((0.186, 0.124, 0.100, 0.250), 0.15),
    "brown_tile": ((0.135, 0.094, 0.076, 0.185), 0.14),
    "slate": ((0.086, 0.088, 0.096, 0.106), 0.16),
    "metal": ((0.325, 0.332, 0.336, 0.345), 0.14),
    "blue_metal": ((0.168, 0.196, 0.220, 0.262), 0.10),
    "gravel": ((0.232, 0.222, 0.205, 0.258), 0.12),
    "bitumen": ((0.096, 0.095, 0.094, 0.104), 0.18),
    "white_membrane": ((0.370, 0.370, 0.362, 0.380), 0.07),
    "fibre_cement": ((0.215, 0.208, 0.198, 0.232), 0.10),
    "wood_planks": ((0.165, 0.125, 0.092, 0.255), 0.15),
}
_PAINTS: dict[str, Spectrum] = {
    "white": (0.52, 0.52, 0.51, 0.52), "silver": (0.34, 0.34, 0.34, 0.34),
    "grey": (0.16, 0.16, 0.17, 0.17), "black": (0.05, 0.05, 0.055, 0.07),
    "blue": (0.07, 0.11, 0.24, 0.22), "red": (0.30, 0.06, 0.05, 0.36),
}  # fmt: skip
_GLASS = (0.060, 0.070, 0.085, 0.080)
_PANEL = (0.045, 0.052, 0.085, 0.095)
_BRICK = (0.170, 0.110, 0.085, 0.220)


def paint_buildings(canvas: Canvas, plan: Plan, rng: Rng) -> None:
    """Raise and paint all buildings, low ones first."""
    for building in sorted(plan.buildings, key=lambda b: b.eave):
        _Roof(canvas, building, rng).paint()


def paint_vehicles(canvas: Canvas, plan: Plan) -> None:
    """Put the cars and lorries in their places."""
    for car in plan.vehicles:
        spot = canvas.spot(car.shape)
        if spot is None or canvas.height[spot.window][spot.mask].max() > 2.6:
            continue
        ground = canvas.height[spot.window][spot.mask].min()
        _box(canvas, spot, spot.mask, ground + car.height, _PAINTS[car.color])
        if car.height < 2:  # the glass in front and at the back
            x, y = car.shape.centroid.coords[0]
            turn = math.radians(car.angle)
            for along in (-1.35, 0.75):
                glass = rectangle(
                    x + along * math.cos(turn), y + along * math.sin(turn), 0.55, 1.5, car.angle
                )
                pane = canvas.spot(glass)
                if pane is not None:
                    _tint(canvas, pane, pane.mask, _GLASS)


class _Roof:
    """One building's roof on the canvas."""

    def __init__(self, canvas: Canvas, building: Building, rng: Rng) -> None:
        self._canvas, self._building, self._rng = canvas, building, rng
        spectrum, spread = COVERS[building.cover]
        tone = float(np.clip(rng.normal(1, spread), 0.7, 1.35))
        warmth = rng.normal(0, 0.03)
        self._spectrum = tuple(
            v * tone * (1 + warmth * lean)
            for v, lean in zip(spectrum, (1, 0, -1, 0.5), strict=True)
        )

    def paint(self) -> None:
        """Raise every part where it is the highest, paint it, then add what stands on it."""
        for part in self._building.parts:
            spot = self._canvas.spot(part.shape)
            if spot is not None:
                self._paint_part(spot, part)
        main = self._building.parts[0]
        if self._building.kind == "shed":
            return
        if main.form == "flat":
            self._parapet()
            self._boxes(main)
        elif self._building.kind == "hall":
            self._skylight_strips(main)
        else:
            self._house_details(main)

    def _paint_part(self, spot: Spot, part: RoofPart) -> None:
        along, across = _local(spot, part)
        rise, d_along, d_across = _surface(part, along, across)
        height = np.float32(self._building.eave) + rise
        mask = spot.mask & (height > self._canvas.height[spot.window])
        turn = math.radians(part.angle)
        east = d_along * math.cos(turn) - d_across * math.sin(turn)
        south = d_along * math.sin(turn) + d_across * math.cos(turn)
        self._canvas.raise_to(spot, mask, height, east, south)
        texture = self._weather(spot, along, across)
        if part.form in ("gable", "hip"):
            ridge = (np.abs(across) < 0.22) & (np.abs(along) < part.length / 2)
            texture = np.where(ridge & (part.form == "gable"), texture * 1.12, texture)
        if part.form == "saw":
            texture = np.where((along / 8) % 1 > 0.82, texture * 1.9, texture)
        for band, value in zip(self._canvas.reflectance, self._spectrum, strict=True):
            band[spot.window][mask] = (value * texture)[mask]

    def _weather(self, spot: Spot, along: Field, across: Field) -> Field:
        """Courses of tiles or seams of sheets, stains and single odd tiles."""
        textures = self._canvas.textures
        lines = self._rng.normal(1, 0.035, 1024).astype(np.float32)
        sheet = "metal" in self._building.cover or self._building.cover == "fibre_cement"
        course = np.abs(along / 0.9 if sheet else across / 0.45).astype(int) % 1024
        stain = 1 + 0.05 * textures["mottle"][spot.window] + 0.035 * textures["grain"][spot.window]
        result: Field = (stain * lines[course]).astype(np.float32)
        return result

    def _parapet(self) -> None:
        """A low wall around a flat roof, capped with light metal or stone."""
        if self._building.eave < 5:
            return
        outline = self._building.shape
        spot = self._canvas.spot(outline.difference(outline.buffer(-0.55, join_style="mitre")))
        if spot is not None:
            cap = tuple(0.5 * v + 0.13 for v in self._spectrum)
            _box(self._canvas, spot, spot.mask, self._building.eave + 0.6, cap)

    def _boxes(self, main: RoofPart) -> None:
        """Stair heads, air conditioning and light domes on a flat roof."""
        area = main.length * main.width
        for _ in range(int(self._rng.poisson(min(area / 130, 9)))):
            size = self._rng.uniform(1.0, 2.6, 2)
            self._stand(main, self._anywhere(main, 0.75), size, 1.3, COVERS["metal"][0])
        if self._building.kind == "apartments":
            for along in np.arange(-main.length / 2 + 8, main.length / 2 - 5, 14):
                self._stand(main, (along, 0.8), (4.2, 3.6), 2.4, COVERS["gravel"][0])
        elif self._building.kind == "hall":
            for along in np.arange(-main.length / 2 + 5, main.length / 2 - 4, 7.5):
                for across in np.arange(-main.width / 2 + 5, main.width / 2 - 4, 7.5):
                    self._stand(main, (along, across), (1.5, 2.4), 0.5, (0.46, 0.48, 0.48, 0.46))

    def _skylight_strips(self, main: RoofPart) -> None:
        """Translucent strips across a pitched hall."""
        if main.form == "saw":
            return
        for along in np.arange(-main.length / 2 + 4, main.length / 2 - 3, 8.0):
            for side in (-0.26, 0.26):
                self._lay(
                    main,
                    (along, side * main.width),
                    (1.2, main.width * 0.32),
                    (0.40, 0.43, 0.42, 0.40),
                )

    def _house_details(self, main: RoofPart) -> None:
        """Chimneys, roof windows, dormers, and panels on the slope that faces the sun."""
        rng, half = self._rng, main.width / 2
        ridge = math.tan(math.radians(main.pitch)) * half
        units = max(1, round(main.length / 9))
        for unit in range(units):
            along = (unit + rng.uniform(0.25, 0.75)) / units * main.length - main.length / 2
            if abs(along) < main.length / 2 - (half if main.form == "hip" else 1):
                spot = (along, rng.choice([-1, 1]) * rng.uniform(0.4, 1.4))
                self._stand(main, spot, (0.8, 0.7), ridge + 0.7, _BRICK)
        side = 1 if math.cos(math.radians(main.angle)) > 0 else -1  # the slope that looks south
        reach = main.length * (0.2 if main.form == "hip" else 0.36)
        if rng.random() < 0.24:
            wide = rng.uniform(0.9, 1.7) * reach
            self._lay(main, (0, side * half * 0.5), (wide, half * 0.55), _PANEL)
        elif rng.random() < 0.5:
            for along in rng.uniform(-reach, reach, rng.integers(1, 4)):
                self._lay(main, (along, rng.choice([-1, 1]) * half * 0.5), (0.9, 1.3), _GLASS)
        elif rng.random() < 0.5:
            for along in np.arange(-reach * 0.8, reach, 4.2):
                self._stand(main, (along, -side * half * 0.55), (2.0, 2.0), ridge * 0.8, None)

    def _anywhere(self, main: RoofPart, share: float) -> tuple[float, float]:
        spot = self._rng.uniform(-share / 2, share / 2, 2)
        return float(spot[0] * main.length), float(spot[1] * main.width)

    def _lay(
        self, main: RoofPart, at: tuple[float, float], size: tuple[float, float], color: Spectrum
    ) -> None:
        """Something flat on the roof, which keeps the roof's slope."""
        spot = self._canvas.spot(_on(main, at, size))
        if spot is not None:
            _tint(self._canvas, spot, spot.mask, color)

    def _stand(
        self,
        main: RoofPart,
        at: tuple[float, float],
        size: tuple[float, float] | NDArray[np.float64],
        height: float,
        color: Spectrum | None,
    ) -> None:
        """Something that stands on the roof, `height` above the eave; None: of the roof's cover."""
        spot = self._canvas.spot(_on(main, at, (float(size[0]), float(size[1]))))
        if spot is not None:
            _box(
                self._canvas, spot, spot.mask, self._building.eave + height, color or self._spectrum
            )


def _on(main: RoofPart, at: tuple[float, float], size: tuple[float, float]):  # noqa: ANN202
    turn = math.radians(main.angle)
    x = main.x + at[0] * math.cos(turn) - at[1] * math.sin(turn)
    y = main.y + at[0] * math.sin(turn) + at[1] * math.cos(turn)
    return rectangle(x, y, size[0], size[1], main.angle)


def _local(spot: Spot, part: RoofPart) -> tuple[Field, Field]:
    """Metres along and across a part from its centre, (rows, cols) of the spot."""
    east, south = spot.east_south
    turn = math.radians(part.angle)
    x, y = east - np.float32(part.x), south - np.float32(part.y)
    along = x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))
    across = y * np.float32(math.cos(turn)) - x * np.float32(math.sin(turn))
    return along, across


def _surface(part: RoofPart, along: Field, across: Field) -> tuple[Field, Field, Field]:
    """Height above the eave and its slopes along and across the part."""
    tangent = np.float32(math.tan(math.radians(part.pitch)))
    zero = np.zeros_like(along)
    to_side = np.float32(part.width / 2) - np.abs(across)
    to_end = np.float32(part.length / 2) - np.abs(along)
    if part.form == "gable":
        return tangent * to_side, zero, -tangent * np.sign(across)
    if part.form == "hip":
        end = to_end < to_side
        rise = tangent * np.minimum(to_side, to_end)
        return rise, -tangent * np.sign(along) * end, -tangent * np.sign(across) * ~end
    if part.form == "pent":
        gentle = np.float32(0.12)
        return gentle * (across + np.float32(part.width / 2)), zero, zero + gentle
    if part.form == "saw":
        phase = (along / 8) % 1
        steep = phase > 0.82
        rise = np.where(steep, (1 - phase) / 0.18, phase / 0.82) * 8 * 0.82 * tangent
        slope = np.where(steep, -tangent * 0.82 / 0.18, tangent)
        return rise.astype(np.float32), slope.astype(np.float32), zero
    return zero, zero, zero


def _box(canvas: Canvas, spot: Spot, mask: Mask, height: float, color: Spectrum) -> None:
    """Raise a level block and paint it."""
    level = np.zeros_like(canvas.height[spot.window])
    canvas.raise_to(spot, mask, level + np.float32(height), level, level)
    _tint(canvas, spot, mask, color)


def _tint(canvas: Canvas, spot: Spot, mask: Mask, color: Spectrum) -> None:
    grain = 1 + 0.03 * canvas.textures["grain"][spot.window]
    for band, value in zip(canvas.reflectance, color, strict=True):
        band[spot.window][mask] = (value * grain)[mask]
