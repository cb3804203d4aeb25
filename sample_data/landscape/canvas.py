"""The canvas: reflectance, height and slope of the land on a fine pixel grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from landscape.noise import Field, fractal

PIXEL = 0.25
"""Side of a canvas pixel, metres: half of what the camera resolves."""

Spectrum = tuple[float, float, float, float]
"""Reflectance in red, green, blue, near infrared."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A material: a mixture of two spectra that a texture stirs."""

    first: Spectrum
    second: Spectrum
    texture: str = "mottle"
    """Texture that mixes the two: one of the keys of `Canvas.textures`."""
    contrast: float = 0.25
    """Standard deviation of the share of `second` around one half."""
    grain: float = 0.05
    """Standard deviation of brightness from pixel to pixel."""


@dataclass(frozen=True)
class Spot:
    """A rectangle of the canvas and a shape in it."""

    window: tuple[slice, slice]
    mask: Mask
    """True inside the shape, (rows, cols) of the window."""

    @property
    def east_south(self) -> tuple[Field, Field]:
        """Metres from the canvas' corner, at pixel centres: (1, cols) and (rows, 1)."""
        rows, cols = self.window
        east = (np.arange(cols.start, cols.stop, dtype=np.float32) + 0.5) * PIXEL
        south = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * PIXEL
        return east[None, :], south[:, None]


class Canvas:
    """Reflectance (bands, height, width), height and slopes (height, width) of the land."""

    def __init__(self, width: float, height: float, rng: np.random.Generator) -> None:
        shape = round(height / PIXEL), round(width / PIXEL)
        self.shape = shape
        self.reflectance = np.zeros((4, *shape), np.float32)
        self.height = np.zeros(shape, np.float32)
        self.slope_east = np.zeros(shape, np.float32)
        self.slope_south = np.zeros(shape, np.float32)
        self.textures = {
            "broad": fractal(rng, shape, longest=600, shortest=40, slope=1.6),
            "mottle": fractal(rng, shape, longest=160, shortest=4, slope=1.2),
            "clump": fractal(rng, shape, longest=22, shortest=7, slope=0.6),
            "leaf": fractal(rng, shape, longest=9, shortest=3, slope=0.3),
            "grain": fractal(rng, shape, longest=5, shortest=2, slope=0.2),
        }

    def spot(self, shape: BaseGeometry) -> Spot | None:
        """Where a shape (metres) lies on the canvas; None if it touches no pixel of it."""
        if shape.is_empty:
            return None
        left, top, right, bottom = shape.bounds
        rows = slice(max(int(top / PIXEL), 0), min(int(bottom / PIXEL) + 1, self.shape[0]))
        cols = slice(max(int(left / PIXEL), 0), min(int(right / PIXEL) + 1, self.shape[1]))
        size = rows.stop - rows.start, cols.stop - cols.start
        if min(size) <= 0:
            return None
        transform = Affine.scale(PIXEL) * Affine.translation(cols.start, rows.start)
        mask = rasterize([shape], size, transform=transform, dtype="uint8").astype(bool)
        return Spot((rows, cols), mask) if mask.any() else None

    def paint(
        self,
        shape: BaseGeometry,
        surface: Surface,
        *,
        gain: float = 1.0,
        stir: Callable[[Spot], Field] | None = None,
    ) -> None:
        """Cover a shape with a surface; `stir` adds to the share of the second spectrum."""
        spot = self.spot(shape)
        if spot is None:
            return
        share = 0.5 + surface.contrast * self.textures[surface.texture][spot.window]
        if stir is not None:
            share = share + stir(spot)
        share = np.clip(share, 0, 1)
        light = gain * (1 + surface.grain * self.textures["grain"][spot.window])
        for band in range(4):
            mixed = surface.first[band] + share * (surface.second[band] - surface.first[band])
            target = self.reflectance[band][spot.window]
            target[spot.mask] = (mixed * light)[spot.mask]

    def raise_to(
        self, spot: Spot, mask: Mask, height: Field, slope_east: Field, slope_south: Field
    ) -> None:
        """Set height and slopes (rows, cols of the spot) where `mask` is set."""
        self.height[spot.window][mask] = height[mask]
        self.slope_east[spot.window][mask] = slope_east[mask]
        self.slope_south[spot.window][mask] = slope_south[mask]
