"""From reflectance and light to the digital numbers of the camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from landscape.canvas import PIXEL, Canvas
from landscape.light import Sun, facing, skylit, sunlit
from landscape.noise import Field

_SKY = (0.22, 0.25, 0.31, 0.15)
"""Share of skylight in the light on open level ground: red, green, blue, near infrared."""
_HAZE = (0.013, 0.019, 0.028, 0.005)
"""Reflectance that the air adds."""
_GAIN = 2700.0
"""Digital numbers per unit of reflectance."""


def illuminate(canvas: Canvas, sun: Sun) -> Field:
    """Reflectance as the camera meets it, (4, height, width) of the canvas."""
    lit = sunlit(canvas.height, sun, PIXEL) * facing(canvas.slope_east, canvas.slope_south, sun)
    sky = skylit(canvas.height, PIXEL)
    seen = np.empty_like(canvas.reflectance)
    for band, share in enumerate(_SKY):
        light = (1 - share) * lit + share * sky
        light += 0.10 * share * (1 - lit)  # what the neighbourhood throws back into shadows
        seen[band] = canvas.reflectance[band] * light + _HAZE[band]
    return seen


def expose(seen: Field, rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur by optics and pixels, halve the resolution, and count photons with noise.

    Args:
        seen: Reflectance at the camera (4, 2 * height, 2 * width).
        rng: Where the noise comes from.

    Returns:
        Digital numbers (4, height, width), not yet rounded.
    """
    frames = []
    for band in seen:
        sharp = gaussian_filter(band, 0.95)
        rows, cols = sharp.shape
        frames.append(sharp.reshape(rows // 2, 2, cols // 2, 2).mean((1, 3)))
    counts = np.stack(frames) * np.float32(_GAIN)
    noise = rng.standard_normal(counts.shape, dtype=np.float32)
    result: NDArray[np.float32] = counts + noise * np.sqrt(0.035 * counts + 4)
    return result


def vignette(shape: tuple[int, int], gain: float) -> Field:
    """Light fall-off of the lens toward the corners, times the exposure's gain."""
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    result: Field = np.float32(gain) * (1.015 - 0.03 * (rows**2 + cols**2))
    return result
