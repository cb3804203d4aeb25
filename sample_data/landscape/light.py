"""Sunlight, skylight and cast shadows on a height field."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from landscape.noise import Field


@dataclass(frozen=True, kw_only=True)
class Sun:
    """Where the sun stands."""

    azimuth: float = 152.0
    """Degrees clockwise from north; between east (90) and south (180)."""
    elevation: float = 41.0
    """Degrees above the horizon."""

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector to the sun: east, south, up."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        flat = math.cos(elevation)
        return flat * math.sin(azimuth), -flat * math.cos(azimuth), math.sin(elevation)


def sunlit(height: Field, sun: Sun, pixel: float) -> Field:
    """Share of each pixel that the sun reaches past everything that stands toward it.

    Args:
        height: Metres above ground (height, width), rows running south.
        sun: Where the sun stands.
        pixel: Side of a pixel, metres.

    Returns:
        0 (in shadow) to 1 (in the sun), (height, width).
    """
    east, south, up = sun.direction
    drop = pixel * up / south  # the ray rises so much per row
    rows, cols = height.shape
    horizon = np.full_like(height, -1.0)
    for step in range(1, int(height.max() / drop) + 2):
        shift = round(step * east / south)
        toward_sun = height[step:, shift:] - np.float32(step * drop)
        away = horizon[: rows - step, : cols - shift]
        np.maximum(away, toward_sun, out=away)
    lit: Field = 1 - np.clip((horizon - height) / np.float32(0.45), 0, 1)
    return lit


def skylit(height: Field, pixel: float) -> Field:
    """Share of the sky that each pixel sees, judged by how deep it lies among its neighbours."""
    near = gaussian_filter(height, 1.2 / pixel)
    wide = gaussian_filter(height, 4.0 / pixel)
    depth = 0.5 * (near - height) + 0.5 * (wide - height)
    sky: Field = np.clip(1 - 0.09 * depth, 0.45, 1.08)
    return sky


def facing(slope_east: Field, slope_south: Field, sun: Sun) -> Field:
    """Cosine of the sun's incidence over that of level ground; slopes in metres per metre."""
    east, south, up = sun.direction
    cosine = up - slope_east * east - slope_south * south
    cosine /= np.sqrt(1 + slope_east**2 + slope_south**2)
    factor: Field = np.maximum(cosine, 0) / up
    return factor
