"""Polygons outlined on a picture, in the colours of their classes."""

from __future__ import annotations

import geopandas
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from geoseg.errors import LabelError
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.vector import read_polygons
from geoseg.reports.drawing import compound_path

OUTLINE = "#ffd60a"
"""Of polygons that no legend colours."""


def read_outlines(path: str, grid: Grid, legend: Legend | None) -> geopandas.GeoDataFrame:
    """Read the polygons that lie on a grid, in its CRS, without those of the background.

    Args:
        path: Vector file.
        grid: The pixels that are drawn.
        legend: The classes; None where nothing is known.

    Raises:
        LabelError: If they cannot be read, or only one of both has a CRS.
    """
    frame = _on_grid(read_polygons(path), grid, path)
    background = legend.background if legend is not None else None
    if background is not None and "class_id" in frame.columns:
        frame = frame[frame["class_id"] != background.value]
    return frame


def draw_outlines(
    axes: Axes, frame: geopandas.GeoDataFrame, grid: Grid, legend: Legend | None
) -> None:
    """Outline polygons in the colours of their classes, thinly filled.

    Args:
        axes: Where the grid's pixels are drawn with imshow.
        frame: The polygons, in the CRS of the grid.
        grid: The pixels that are drawn.
        legend: The classes; None where nothing is known.
    """
    colors = outline_colors(frame, legend)
    paths = [compound_path(geometry, grid) for geometry in frame.geometry]
    fill = PathCollection(paths, facecolors=colors, alpha=0.22, linewidths=0)
    halo = PathCollection(paths, facecolors="none", edgecolors="#000000", linewidths=1.5, alpha=0.5)
    line = PathCollection(paths, facecolors="none", edgecolors=colors, linewidths=1.0)
    for collection in (fill, halo, line):
        axes.add_collection(collection, autolim=False)


def outline_colors(frame: geopandas.GeoDataFrame, legend: Legend | None) -> list[str]:
    """Colours by `class_id`, or by the attribute that the legend's `from` knows best."""
    if legend is None:
        return [OUTLINE] * len(frame)
    if "class_id" in frame.columns:
        by_value = {entry.value: entry.color for entry in legend.classes}
        return [by_value.get(value, OUTLINE) for value in frame["class_id"]]
    by_source = {source: c.color for c in legend.classes for source in (c.name, *c.sources)}
    columns = [frame[name] for name in frame.columns.drop(frame.geometry.name)]
    best = max(columns, key=lambda column: column.isin(by_source.keys()).sum(), default=())
    return [by_source.get(value, OUTLINE) for value in best] or [OUTLINE] * len(frame)


def _on_grid(frame: geopandas.GeoDataFrame, grid: Grid, path: str) -> geopandas.GeoDataFrame:
    """The polygons in the CRS of a grid, without those that lie elsewhere."""
    if (frame.crs is None) != (grid.crs is None):
        problem = "has no CRS" if frame.crs is None else "has a CRS, the raster has none"
        raise LabelError(path, problem, "Give both the same georeference")
    if grid.crs is not None:
        frame = frame.to_crs(grid.crs.to_wkt())
    left, bottom, right, top = grid.bounds
    return frame.cx[left:right, bottom:top]
