"""Paint crowns and hedges: domes with leaves, each in a tone of its own."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from landscape.canvas import PIXEL, Canvas, Spectrum
from landscape.plan import Plan, Plant

SPECIES: dict[str, Spectrum] = {
    "oak": (0.056, 0.080, 0.042, 0.43),
    "maple": (0.068, 0.094, 0.046, 0.48),
    "birch": (0.080, 0.104, 0.056, 0.45),
    "fir": (0.036, 0.053, 0.034, 0.27),
    "fruit": (0.074, 0.096, 0.052, 0.44),
    "bush": (0.066, 0.086, 0.050, 0.40),
    "hedge": (0.054, 0.076, 0.044, 0.40),
}


def paint_plants(canvas: Canvas, plan: Plan, rng: np.random.Generator) -> None:
    """Paint all plants, low ones first, each where it overtops what is there."""
    for plant in sorted(plan.plants, key=lambda p: p.top):
        _paint(canvas, plant, rng)


def _paint(canvas: Canvas, plant: Plant, rng: np.random.Generator) -> None:
    spot = canvas.spot(plant.shape)
    if spot is None:
        return
    inward = distance_transform_edt(np.pad(spot.mask, 1))[1:-1, 1:-1].astype(np.float32) * PIXEL
    depth = np.clip(inward / max(inward.max(), PIXEL), 0, 1)
    pointed = plant.species == "fir"
    dome = depth**1.1 if pointed else np.sqrt(1 - (1 - depth) ** 2)
    base = plant.top * (0.15 if pointed else 0.5)
    leaves = canvas.textures["leaf"][spot.window]
    clumps = canvas.textures["clump"][spot.window]
    rough = min(plant.top / 6, 1.0)
    height = base + (plant.top - base) * dome + rough * (0.24 * leaves + 0.5 * clumps) * (dome > 0)
    height = height.astype(np.float32)
    slope_south, slope_east = (
        np.clip(0.8 * g / PIXEL, -1.1, 1.1) for g in np.gradient(_padded(height))
    )
    mask = spot.mask & (height > canvas.height[spot.window])
    canvas.raise_to(spot, mask, height, slope_east[1:-1, 1:-1], slope_south[1:-1, 1:-1])
    tone, warmth = rng.normal(1, 0.11), rng.normal(0, 0.09)
    gaps = 1 + 0.13 * leaves + 0.07 * clumps
    lean = (1 + warmth, 1 + 0.4 * warmth, 1 + 0.3 * warmth, 1 - 0.3 * warmth)
    for band, value, own in zip(canvas.reflectance, SPECIES[plant.species], lean, strict=True):
        band[spot.window][mask] = (np.clip(value * tone * own, 0.012, 0.7) * gaps)[mask]


def _padded(height: np.ndarray) -> np.ndarray:
    return np.pad(height, 1, mode="edge")
