"""Rasters whose pixels are those of one endless grid, so that they can be laid side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import SceneError
from geoseg.geo.grid import Grid

_OFF = 1e-3
"""Pixels by which a grid may lie off the lattice: coordinates are told rounded."""


def lay_out(
    grids: Sequence[tuple[str | Path, Grid]], cure: str
) -> tuple[Grid, list[tuple[int, int]]]:
    """Find the smallest grid that holds several ones of one lattice.

    Args:
        grids: Rasters with their grids, one or more; the first one's lattice counts.
        cure: What the user can do about one that does not fit.

    Returns:
        That grid, and the row and column of it in which each raster begins.

    Raises:
        SceneError: If one has another CRS than the first, or other pixels; the numbers are told.
    """
    first_path, first = grids[0]
    corners = [_corner(path, grid, first_path, first, cure) for path, grid in grids]
    top, left = min(row for row, _ in corners), min(col for _, col in corners)
    places = [(row - top, col - left) for row, col in corners]
    pairs = list(zip(places, (grid for _, grid in grids), strict=True))
    whole = Grid(
        height=max(row + grid.height for (row, _), grid in pairs),
        width=max(col + grid.width for (_, col), grid in pairs),
        transform=first.transform @ Affine.translation(left, top),
        crs=first.crs,
    )
    return whole, places


def _corner(
    path: str | Path, grid: Grid, first_path: str | Path, first: Grid, cure: str
) -> tuple[int, int]:
    """Rows and columns from the first grid's corner to another one's."""
    if grid.crs != first.crs:
        problem = f"is in {_crs(grid.crs)}, {first_path} in {_crs(first.crs)}"
        raise SceneError(path, problem, cure)
    inverse = ~first.transform
    corners = [(0, 0), (grid.width, 0), (0, grid.height)]
    places = [inverse @ (grid.transform @ corner) for corner in corners]
    col, row = places[0]
    for (wide, high), (end_col, end_row) in zip(corners, places, strict=True):
        if max(abs(end_col - col - wide), abs(end_row - row - high)) > _OFF:
            problem = f"has pixels of {_pixel(grid)}, those of {first_path} are {_pixel(first)}"
            raise SceneError(path, problem, cure)
    off_row, off_col = row - round(row), col - round(col)
    if max(abs(off_row), abs(off_col)) > _OFF:
        raise SceneError(
            path,
            f"lies {off_col:+.3g} columns and {off_row:+.3g} rows off the pixels of {first_path}",
            cure,
        )
    return round(row), round(col)


def _pixel(grid: Grid) -> str:
    """What a step along a row and along a column is, for people."""
    t = grid.transform
    sides = f"{t.a:.10g} x {t.e:.10g}"
    return sides if t.b == t.d == 0 else f"{sides}, turned by {t.b:.10g}, {t.d:.10g}"


def _crs(crs: CRS | None) -> str:
    if crs is None:
        return "no CRS"
    text: str = crs.to_string()
    return text if len(text) < 40 else f"{text[:37]}..."
