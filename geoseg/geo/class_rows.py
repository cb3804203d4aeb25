"""Class values as they are streamed: block after block of whole rows, again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.geo.classes import class_values, strips
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.geo.values import count_values

Block = tuple[int, npt.NDArray[Any]]
"""First row, and class values (rows, width) from there on."""


class ClassRows(Protocol):
    """The class values of a raster of any height, of which only a block is in memory.

    Nodata is a value like any other here; who makes the rows says which (the legend's `ignore`).
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values; integers."""

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once.

        It may be called again, for the same values; where one block ends and the next begins may
        then be elsewhere.
        """


class ArrayRows:
    """Class values that are in memory.

    Args:
        values: (height, width) integers.
        rows: Rows in a block; None for all of them in one.
    """

    def __init__(self, values: npt.NDArray[Any], rows: int | None = None) -> None:
        self._values = values
        self._rows = max(rows or len(values), 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self._values.shape
        return height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._values.dtype

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once."""
        for row in range(0, len(self._values), self._rows):
            yield row, self._values[row : row + self._rows]


class ToldRows:
    """Hands rows on, and tells how many have been taken.

    Args:
        rows: The rows.
        advance: Called with the rows of each block once they have been dealt with.
    """

    def __init__(self, rows: ClassRows, advance: Callable[[int], None]) -> None:
        self._rows, self._advance = rows, advance

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._rows.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._rows.dtype

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once."""
        for top, values in self._rows.blocks():
            yield top, values
            self._advance(len(values))


class SceneRows:
    """The class values of a raster on disk, with the legend's `ignore` where there is no data.

    Args:
        scene: The class raster.
        legend: Its classes.
    """

    def __init__(self, scene: Scene, legend: Legend) -> None:
        self._scene, self._legend = scene, legend
        self._known = {*legend.values, legend.ignore}
        self._counts: Counter[int] = Counter()
        self._is_checked = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._scene.grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The legend's type of masks."""
        return np.dtype(self._legend.dtype)

    @property
    def is_sound(self) -> bool:
        """Whether all values that were read until now are in the legend."""
        return self._counts.keys() <= self._known

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once.

        Raises:
            SceneError: If the raster is broken.
            LabelError: If it holds values that are not in the legend; all of them are listed.
        """
        for window in strips(self._scene):
            values = self.read(window)
            # Behind an unknown value the rest is only counted, for the error.
            if self.is_sound:
                yield window.row_off, values
        self.check()

    def read(self, window: Window) -> npt.NDArray[Any]:
        """Values (rows, width) of a window; those that were not yet checked are counted."""
        raster = self._scene.read(window)
        if not self._is_checked:
            self._counts.update(count_values(raster.data[0], raster.valid))
        return class_values(raster.data[0], raster.valid, self._legend)

    def check(self) -> None:
        """Refuse values that are not in the legend, once all rows have been read.

        Raises:
            LabelError: If there are some; all of them are listed.
        """
        self._legend.check(self._counts, self._scene.path)
        self._is_checked = True
