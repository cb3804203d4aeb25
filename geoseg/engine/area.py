"""The area of interest: what of a scene is to be predicted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from geoseg.engine.pipeline import visible
from geoseg.engine.strips import Hide
from geoseg.errors import LabelError
from geoseg.geo.geometry import burn
from geoseg.geo.raster import Raster, Scene

logger = logging.getLogger(__name__)


def hide_outside(path: str | Path | None, scenes: Sequence[Scene]) -> list[Hide]:
    """What stays valid of each scene; a scene that the area does not touch is warned about.

    Args:
        path: Polygon file of the area; None hides nothing.
        scenes: Scenes on the grids of their outputs.

    Raises:
        LabelError: If the area cannot be read, has no CRS where a scene has one (or the other
            way), or touches none of the scenes.
    """
    if path is None:
        return [visible] * len(scenes)
    areas = [_read(path, scene.grid.crs) for scene in scenes]
    pairs = list(zip(scenes, areas, strict=True))
    missed = [scene.path for scene, area in pairs if not area.intersects(scene.grid.footprint())]
    if len(missed) == len(scenes):
        raise LabelError(
            path, f"does not touch {', '.join(missed[:3])}", "Check the CRS and extent of both"
        )
    for scene in missed:
        logger.warning("%s: lies outside of %s; nothing is predicted there", scene, path)
    return [_inside(area) for area in areas]


def hide_in(path: str | Path | None, scene: Scene) -> Hide:
    """What stays valid of one scene, of which it is known that the area may miss it.

    Args:
        path: Polygon file of the area; None hides nothing.
        scene: On the grid of its outputs.

    Raises:
        LabelError: If the area cannot be read.
    """
    return visible if path is None else _inside(_read(path, scene.grid.crs))


def _inside(area: BaseGeometry) -> Hide:
    def hide(raster: Raster) -> npt.NDArray[np.bool_]:
        return raster.valid & (burn([(area, 1)], raster.grid, fill=0, dtype="uint8") > 0)

    return hide


def _read(path: str | Path, crs: CRS | None) -> BaseGeometry:
    from geoseg.geo.vector import read_area  # geopandas: half a second, for most runs in vain

    return read_area(str(path), crs)
