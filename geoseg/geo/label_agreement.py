"""Whether a class raster and its labels speak of the same pixels and the same classes."""

from __future__ import annotations

import logging

from geoseg.errors import GeosegError, LabelError
from geoseg.geo.grid import Grid
from geoseg.geo.label_sources import RasterSource
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.nearest import integer_offset
from geoseg.geo.raster import Scene

logger = logging.getLogger(__name__)


def check_grid(labels: Labels, scene: Scene) -> None:
    """Refuse label rasters whose pixels are not those of the prediction.

    Args:
        labels: The labels; polygons lie on any grid.
        scene: The prediction.

    Raises:
        LabelError: If pixels differ in size, place or CRS; both grids are told in numbers.
    """
    source = labels.source
    if not isinstance(source, RasterSource):
        return
    own, other = source.scene.grid, scene.grid
    if (own.crs is None) != (other.crs is None) or integer_offset(own, other) is not None:
        return  # of one CRS and none another error tells
    raise LabelError(
        labels.path,
        f"lies on another grid ({_told(own)}) than {scene.path} ({_told(other)})",
        "Give --resample to take the nearest pixel of the labels",
    )


def check_names(path: str, legend: Legend, *, given: bool) -> None:
    """Compare the names that a class raster tells with those of the legend.

    Args:
        path: The class raster.
        legend: The legend in use.
        given: Whether the user gave it: then other names are told, and else refused, for two
            maps of unlike classes have no common scores.

    Raises:
        LabelError: If a value means another class, and the legend was not given.
    """
    try:
        own = Legend.open(path)
    except GeosegError:
        return  # it tells none
    names = {entry.value: entry.name for entry in legend.classes}
    unlike = [e for e in own.classes if names.get(e.value, e.name) != e.name]
    if not unlike:
        return
    listing = ", ".join(f'{e.value} is "{e.name}", not "{names[e.value]}"' for e in unlike[:5])
    problem = f"its classes are unlike those of the legend: {listing}"
    if given:
        logger.warning("%s: %s; the names given are used", path, problem)
        return
    raise LabelError(path, problem, "Evaluate maps of unlike classes apart, or give --legend")


def _told(grid: Grid) -> str:
    along_row, along_col = grid.res
    crs = "no CRS" if grid.crs is None else grid.crs.to_string()[:40]
    x, y = grid.transform @ (0, 0)
    return (
        f"{grid.width} x {grid.height} pixels of {along_row:.6g} x {along_col:.6g} from "
        f"({x:.10g}, {y:.10g}), {crs}"
    )
