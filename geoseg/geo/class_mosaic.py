"""Class rasters side by side, streamed as if they were one.

Polygons over the borders of scenes are whole then without being joined afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.geo.class_rows import Block, SceneRows
from geoseg.geo.grid import Grid
from geoseg.geo.lattice import lay_out
from geoseg.geo.legend import Legend
from geoseg.geo.probabilities import Probabilities
from geoseg.geo.raster import Scene
from geoseg.geo.remote import file_name

_PIXELS = 1 << 22
"""Pixels in a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A scene on the grid of all."""

    path: str
    """The class raster."""

    row: int
    """Its first row there."""

    col: int
    """Its first column there."""

    shape: tuple[int, int]
    """Its height and width."""

    def shared(self, top: int, rows: int) -> tuple[Window, slice, slice] | None:
        """What the scene has of some rows of the grid of all.

        Args:
            top: The first of them.
            rows: How many.

        Returns:
            The window of the scene, and its rows and columns among them; None if it has nothing.
        """
        first, last = max(top, self.row), min(top + rows, self.row + self.shape[0])
        if first >= last:
            return None
        window = Window(0, first - self.row, self.shape[1], last - first)
        return window, slice(first - top, last - top), slice(self.col, self.col + self.shape[1])

    def overlaps(self, other: Place) -> bool:
        """Whether both have pixels of the grid in common."""
        apart = (
            self.row >= other.row + other.shape[0],
            other.row >= self.row + self.shape[0],
            self.col >= other.col + other.shape[1],
            other.col >= self.col + self.shape[1],
        )
        return not any(apart)


class ClassMosaic:
    """Class rasters on one lattice of pixels; where they overlap, the last with data counts.

    Args:
        scenes: The class rasters.
        legend: The classes of all of them.

    Raises:
        SceneError: If one has another CRS, or its pixels do not lie on those of the first.
    """

    def __init__(self, scenes: Sequence[Scene], legend: Legend) -> None:
        self.grid, self.places = _lay_out(scenes)
        self._legend = legend
        self._rows = [SceneRows(scene, legend) for scene in scenes]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The legend's type of masks."""
        return np.dtype(self._legend.dtype)

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once.

        Raises:
            SceneError: If a raster is broken.
            LabelError: If one holds values that are not in the legend.
        """
        height, width = self.shape
        step = max(_PIXELS // width, 1)
        for top in range(0, height, step):
            values = np.full((min(step, height - top), width), self._legend.ignore, self.dtype)
            for place, rows in zip(self.places, self._rows, strict=True):
                shared = place.shared(top, len(values))
                if shared is not None:
                    window, inner_rows, inner_cols = shared
                    found = rows.read(window)
                    here = values[inner_rows, inner_cols]
                    np.copyto(here, found, where=found != self._legend.ignore)
            if all(rows.is_sound for rows in self._rows):
                yield top, values
        for rows in self._rows:
            rows.check()

    def holders(self, top: int, rows: int) -> list[npt.NDArray[np.bool_] | None]:
        """Where each scene has a class in some rows; None where no other could have one as well.

        Args:
            top: The first of the rows.
            rows: How many.

        Returns:
            For each scene (its rows among them, its width); None for those without any.
        """
        found: list[npt.NDArray[np.bool_] | None] = []
        for place, reader in zip(self.places, self._rows, strict=True):
            shared = place.shared(top, rows)
            is_alone = not any(place.overlaps(other) for other in self.places if other != place)
            if shared is None or is_alone:
                found.append(None)
            else:
                found.append(reader.read(shared[0]) != self._legend.ignore)
        return found

    def names(self, boxes: npt.NDArray[np.float64]) -> list[str]:
        """File names of the scenes that polygons reach into.

        Args:
            boxes: (n, 4) first column and row, and last ones, of each polygon.

        Returns:
            (n,) names with commas between them.
        """
        listed = [""] * len(boxes)
        left, top, right, bottom = boxes.T
        for place in self.places:
            touched = (left < place.col + place.shape[1]) & (right > place.col)
            touched &= (top < place.row + place.shape[0]) & (bottom > place.row)
            name = file_name(place.path)
            for index in np.flatnonzero(touched):
                listed[index] += f", {name}" if listed[index] else name
        return listed


class MosaicFields:
    """What is averaged over the polygons of a mosaic, from probabilities of each scene.

    Args:
        mosaic: The class rasters.
        probabilities: One for each of them, on its grid; those of the scene that gave the class
            count.
        nodata: Value of pixels without a class.
        margin: Whether the margin to the second class is averaged too.
    """

    def __init__(
        self,
        mosaic: ClassMosaic,
        probabilities: Sequence[Probabilities],
        nodata: int,
        *,
        margin: bool,
    ) -> None:
        self._mosaic = mosaic
        self._readers = [each.fields(nodata, margin=margin) for each in probabilities]
        self._count = 2 if margin else 1

    def __call__(self, top: int, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Fields (1 or 2, rows, width) of class values (rows, width) from row `top` on."""
        found = np.full((self._count, *values.shape), np.nan, np.float32)
        holders = self._mosaic.holders(top, len(values))
        for place, held, reader in zip(self._mosaic.places, holders, self._readers, strict=True):
            shared = place.shared(top, len(values))
            if shared is not None:
                window, rows, cols = shared
                own = reader(int(window.row_off), values[rows, cols])
                np.copyto(found[:, rows, cols], own, where=True if held is None else held)
        return found


def _lay_out(scenes: Sequence[Scene]) -> tuple[Grid, list[Place]]:
    """The grid of all scenes, and where they are on it."""
    grid, corners = lay_out(
        [(scene.path, scene.grid) for scene in scenes],
        "Warp it onto the grid of the first, or leave --merge out",
    )
    places = [
        Place(path=scene.path, row=row, col=col, shape=scene.grid.shape)
        for scene, (row, col) in zip(scenes, corners, strict=True)
    ]
    return grid, places
