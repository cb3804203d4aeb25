"""Draws what simplifying, smoothing and right angles do to polygons.

Usage: python tests/benchmarks/draw_generalised.py docs/images/generalised.png

Land cover and buildings are drawn by chance, and the same each time the script runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from affine import Affine
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from scipy import ndimage
from shapely import affinity

from geoseg.geo.arc_refining import ArcRefining
from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.grid import Grid
from geoseg.geo.regularizing import regularize
from geoseg.geo.tracing import trace_polygons

SIDE, SHOWN = 200, (128, 94)
COLORS = ["#e8dcc0", "#7fae6c", "#4f83b0", "#c9794e", "#b9a7d0"]
INK = "#22262b"
PIXELS = Grid(crs=None, transform=Affine.identity(), height=SIDE, width=SIDE)
TITLES = {
    "as traced": None,
    "simplify 1.5 pixels": ArcRefining(tolerance=1.5),
    "and smooth": ArcRefining(tolerance=1.5, rounds=2),
}


def main() -> None:
    """Draw both kinds of maps, before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    figure = Figure(figsize=(12.6, 6.7), facecolor="white")
    figure.set_layout_engine("constrained")
    upper, lower = figure.subplots(2, 3)
    land = land_cover(np.random.default_rng(4))
    for axes, (title, refining) in zip(upper, TITLES.items(), strict=True):
        polygons, classes = trace(land, refining)
        draw(axes, polygons, [COLORS[value] for value in classes], title)
    roofs = buildings(np.random.default_rng(5))
    polygons, classes = trace(roofs, None)
    outlines = polygons[classes == 1]
    raw = ["#e3a08a"] * len(outlines)
    draw(lower[0], outlines, raw, "buildings as traced")
    simple, classes = trace(roofs, TITLES["simplify 1.5 pixels"])
    draw(lower[1], simple[classes == 1], raw, "simplify 1.5 pixels")
    draw(lower[2], regularize(outlines), raw, "regularize")
    figure.savefig(given.picture, dpi=80)


def trace(
    values: npt.NDArray[np.uint8], refining: ArcRefining | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Polygons of a raster in pixels, and their classes."""
    batches = list(trace_polygons(ArrayRows(values), row_areas=np.ones(SIDE), refine=refining))
    polygons = np.concatenate([batch.geometries(PIXELS) for batch in batches])
    return polygons, np.concatenate([batch.class_ids for batch in batches])


def land_cover(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Five classes with borders as maps of pixels have them."""
    fields = [ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6) for _ in COLORS]
    return np.argmax(fields, axis=0).astype(np.uint8)


def buildings(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Roofs of several shapes and directions, their edges spoilt as a network would."""
    mask = np.zeros((SIDE, SIDE))
    for place in range(16):
        width, height = rng.uniform(9, 17, 2)
        house = shapely.box(0, 0, width, height)
        if place % 2:
            house |= shapely.box(0, 0, width * 0.5, height + 7)
        house = affinity.rotate(house, rng.uniform(0, 90))
        house = affinity.translate(house, 14 + place % 4 * 31, 9 + place // 4 * 31)
        rasterio.features.rasterize([(house, 1)], out=mask)
    errors = ndimage.gaussian_filter(rng.normal(size=mask.shape), 1.2)
    spoilt = ndimage.gaussian_filter(mask, 1) + 0.8 * errors > 0.5
    labels, count = ndimage.label(spoilt)
    large = 1 + np.flatnonzero(ndimage.sum(spoilt, labels, range(1, count + 1)) > 30)
    return ndimage.binary_fill_holes(np.isin(labels, large)).astype(np.uint8)


def draw(axes: Axes, polygons: npt.NDArray[Any], colors: list[str], title: str) -> None:
    """Fill and outline polygons."""
    pieces = [PathPatch(outline(polygon)) for polygon in polygons]
    axes.add_collection(PatchCollection(pieces, facecolors=colors, edgecolors=INK, linewidths=0.8))
    axes.set(xlim=(0, SHOWN[0]), ylim=(SHOWN[1], 0), aspect="equal")
    vertices = int(shapely.get_num_coordinates(polygons).sum())
    axes.set_title(f"{title}: {vertices} vertices", fontsize=11, color=INK)
    axes.set_axis_off()


def outline(polygon: shapely.Polygon) -> Outline:
    """The rings of a polygon as one path; holes run against the shell, so they stay empty."""
    rings = [polygon.exterior, *polygon.interiors]
    return Outline.make_compound_path(*(Outline(np.asarray(ring.coords)) for ring in rings))


if __name__ == "__main__":
    main()
