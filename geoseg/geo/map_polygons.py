"""Polygons of a map, as they take the place of its connected regions among its objects."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError
from geoseg.geo.grid import Grid
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend

logger = logging.getLogger(__name__)

FIELD = "class_name"
"""Attribute that tells the class, by default: that of the polygons which geoseg writes."""

_NONE = -1
"""Stands for the class of ground without a polygon."""

Indices = npt.NDArray[Any]


class MapPolygons:
    """The objects that a map was turned into: regularised roofs, fields, trees.

    Args:
        path: Vector file of polygons.
        legend: The classes.
        field: Attribute that tells the class, as labels tell it.
        assume_crs: CRS of a file that has none; `none` takes it in plain pixels.

    Raises:
        LabelError: If it cannot be read, holds no polygons, has no such field, or classes that
            are not in the legend.
    """

    def __init__(self, path: str, legend: Legend, field: str, assume_crs: str | None) -> None:
        options = LabelOptions(field=field, assume_crs=assume_crs)
        self._labels = Labels.open(path, legend, options)
        self._path = path

    def begin(self, path: str, grid: Grid) -> None:
        """Turn to a map; one that they do not touch is told of.

        Args:
            path: The map, for the message.
            grid: Where it lies.

        Raises:
            LabelError: If only one of both has a CRS.
        """
        if not self._labels.touches(grid):
            logger.warning("%s: has no object, as %s does not touch it", path, self._path)

    def show(self, grid: Grid, prediction: Indices) -> tuple[Indices, Indices]:
        """What stands in place of the map.

        Args:
            grid: A part of the map.
            prediction: (height, width) class indices of the map there.

        Returns:
            (height, width) class indices int64 of the polygons, -1 where there is none and the
            ignored index where the map is unknown; and the number of each polygon, from 1.

        Raises:
            LabelError: If the file is a raster.
        """
        numbers = self._labels.numbers(grid)
        if numbers is None:
            raise LabelError(self._path, "is a raster", "Give the polygons of the map")
        legend = self._labels.legend
        classes = legend.encode(self._labels.mask(grid)).astype(np.int64)
        classes[numbers == 0] = _NONE
        classes[prediction == legend.ignore_index] = legend.ignore_index
        return classes, numbers
