"""Classes laid over a scene, half transparent."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import SceneError
from geoseg.geo.classes import open_classes
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Raster, Scene


def read_classes_onto(path: str, scene: Scene, grid: Grid, assume_crs: str | None = None) -> Raster:
    """Read a class raster as it lies on a scene, by its nearest pixels.

    Args:
        path: The class raster, on any grid.
        scene: What it is laid over.
        grid: The pixels of the scene that are drawn.
        assume_crs: CRS of a raster that has none.

    Raises:
        SceneError: If it holds no classes, cannot be laid over the scene, or lies elsewhere.
    """
    classes = open_classes(path, "none" if scene.grid.crs is None else assume_crs)
    if None in (classes.grid.crs, scene.grid.crs):
        if classes.grid.shape != scene.grid.shape:
            height, width = classes.grid.shape
            raise SceneError(
                path,
                f"has {width} x {height} pixels, {scene.path} {scene.grid.width} x "
                f"{scene.grid.height}, and one of both has no CRS",
                "Give classes of the scene's pixels, or with a CRS",
            )
        raster = classes.read(shape=None if grid.shape == classes.grid.shape else grid.shape)
    else:
        raster = classes.read_onto(grid)
    if not raster.valid.any():
        raise SceneError(path, f"tells nothing of {scene.path}", "Check the extent of both")
    return raster


def class_colors(raster: Raster, legend: Legend) -> npt.NDArray[np.uint8]:
    """Red, green, blue, alpha of class values; what is no class is transparent.

    Returns:
        (height, width, 4).
    """
    picture = np.zeros((*raster.grid.shape, 4), np.uint8)
    for value, color in zip(legend.values, legend.colors, strict=True):
        picture[(raster.data[0] == value) & raster.valid] = (*color, 255)
    return picture


def overlay(
    picture: npt.NDArray[Any], raster: Raster, legend: Legend, opacity: float
) -> npt.NDArray[np.uint8]:
    """Lay the colours of classes over a picture; the background stays as it is.

    Args:
        picture: Red, green, blue, alpha (height, width, 4), 0 to 255.
        raster: Class values of the same pixels.
        legend: The classes.
        opacity: From 0, unseen, to 1, nothing shines through.

    Returns:
        (height, width, 4).
    """
    colors = class_colors(raster, legend)
    if legend.background is not None:
        colors[raster.data[0] == legend.background.value, 3] = 0
    share = (opacity / 255) * colors[..., 3:]
    covered = np.array(picture, np.float64)
    seen = covered[..., 3:] > 0
    mixed = (1 - share) * covered[..., :3] + share * colors[..., :3]
    covered[..., :3] = np.where(seen, mixed, colors[..., :3])
    covered[..., 3:] = np.where(seen, covered[..., 3:], 255 * share)
    return np.asarray(np.rint(covered), np.uint8)
