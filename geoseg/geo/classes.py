"""Class rasters: opened, checked, and read with the legend that they bring along."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import LegendError, SceneError
from geoseg.geo.gdal import open_dataset
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.values import count_raster_values

logger = logging.getLogger(__name__)

_PIXELS = 1 << 22
"""Pixels read at a time."""

_NO_NEWS = ("AREA_OR_POINT",)
"""Tags that GDAL gives to any raster."""


def open_classes(path: str, assume_crs: str | None = None) -> Scene:
    """Open a class raster; one without a CRS is taken as a plain image.

    Args:
        path: The raster.
        assume_crs: CRS of a raster that has none.

    Raises:
        SceneError: If it cannot be read, has several bands, or holds fractions.
        ConfigError: If `assume_crs` is no CRS.
    """
    if assume_crs is None:
        with open_dataset(path) as dataset:
            assume_crs = "none" if dataset.crs is None else None
    scene = Scene.open(path, SceneOptions(assume_crs=assume_crs, resampling="nearest"))
    check_classes(scene.dtype, path)
    if scene.count != 1:
        raise SceneError(path, f"has {scene.count} bands, classes have one", "Give a class raster")
    return scene


def check_classes(dtype: npt.DTypeLike, subject: object = "class raster") -> None:
    """Refuse values that are no classes.

    Raises:
        SceneError: If the type is not an integer.
    """
    if np.dtype(dtype).kind not in "ui":
        raise SceneError(
            subject,
            f"holds {np.dtype(dtype).name} numbers, not classes",
            "Give a raster of whole numbers, such as predict writes",
        )


def legend_of_classes(scene: Scene, legend: Legend | str | Path | None = None) -> Legend:
    """The legend of a class raster.

    Args:
        scene: The class raster.
        legend: A legend, or the file that tells it; None takes what the raster and the files
            beside it tell, else a class per value, named by it.

    Raises:
        LegendError: If a legend file is given that cannot be read.
        LabelError: If the raster cannot be read.
        SceneError: If it tells no legend, and its values are no classes.
    """
    if isinstance(legend, Legend):
        return legend
    if legend is not None:
        return Legend.open(legend)
    try:
        return Legend.open(scene.path)
    except LegendError as error:
        legend = _legend_of_values(scene.path)
        logger.info("%s: %s; classes are named by their values", scene.path, error.problem)
        return legend


def _legend_of_values(path: str) -> Legend:
    values = list(count_raster_values(path)) or [0]
    try:
        return Legend.of_values(values)
    except LegendError as error:
        raise SceneError(
            path,
            f"holds values from {min(values)} to {max(values)}, classes are 0 to 65534",
            "Give a class raster",
        ) from error


def tags_of(scene: Scene) -> dict[str, str]:
    """What a class raster tells of how it was made: model, windows, and the like.

    Raises:
        SceneError: If it cannot be read.
    """
    with open_dataset(scene.path) as dataset:
        return {key: str(value) for key, value in dataset.tags().items() if key not in _NO_NEWS}


def strips(scene: Scene) -> list[Window]:
    """Windows of whole rows, from the top down, that keep memory bounded.

    Their heights are whole blocks of the file where these are not too large.
    """
    height, width = scene.grid.shape
    rows = max(_PIXELS // width, 1)
    block = scene.block_rows()
    rows = max(rows // block * block, min(block, rows))
    return [Window(0, row, width, min(rows, height - row)) for row in range(0, height, rows)]


def class_values(
    data: npt.NDArray[Any], valid: npt.NDArray[np.bool_], legend: Legend
) -> npt.NDArray[Any]:
    """Class values in the legend's type, with `ignore` where there is no data.

    Args:
        data: (height, width) values that the legend knows, where valid.
        valid: (height, width) True where there is data.
        legend: The classes.
    """
    if not valid.any():  # most of a large mosaic may be empty
        return np.full(valid.shape, legend.ignore, legend.dtype)
    data = data.astype(legend.dtype, copy=False)
    return np.where(valid, data, data.dtype.type(legend.ignore))
