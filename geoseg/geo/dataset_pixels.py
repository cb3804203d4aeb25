"""Labels that tell something for each pixel of one image: numbers, colours, run lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import LabelError, SceneError
from geoseg.geo.gdal import file_stamp
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.mat_labels import read_mat_labels
from geoseg.geo.matching import pack_colors
from geoseg.geo.nearest import integer_offset
from geoseg.geo.raster import Scene
from geoseg.geo.rle import decode_runs
from geoseg.geo.values import count_values, list_counts

_STRIP_PIXELS = 4 << 20
_SMALL = 1 << 16
_KEPT_ARRAYS = 16
"""Decoded MATLAB files and run lengths that are kept for the next window of the same image."""

Keys = npt.NDArray[np.integer[Any]]
"""What stands in a label file: numbers, or colours packed as 0xRRGGBB."""

Bools = npt.NDArray[np.bool_]


class Reader(Protocol):
    """Reads what stands in a label file."""

    def read(self, window: Window) -> tuple[Keys, Bools]:
        """Keys (height, width), and where there are any.

        Raises:
            SceneError: If the file is broken there, or has changed.
            LabelError: If what it holds are no classes.
        """


@dataclass(frozen=True, kw_only=True)
class PixelSource:
    """A label for each pixel of one image; it lies on the image's own grid and no other."""

    path: str
    """The label file, or the table and the name in it, for messages."""

    grid: Grid
    """Of the image."""

    legend: Legend
    """The classes."""

    table: dict[int, int]
    """Class value, or `ignore`, of each key that is known."""

    reader: Reader
    """Gives the keys."""

    by_color: bool = False
    """Whether keys are colours."""

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        """Class values (height, width) of a part of the image.

        Raises:
            LabelError: If they hold what means no class, or the grid is not a part of the image.
        """
        offset = integer_offset(self.grid, grid)
        if offset is None:
            raise LabelError(self.path, "lies on another grid", "Read the image at its own pixels")
        keys, valid = self._read(Window(offset[1], offset[0], grid.width, grid.height))
        mask = np.full(grid.shape, self.legend.ignore, self.legend.dtype)
        classes, known = self._lookup(keys[valid])
        if not known.all():
            self.check()
        mask[valid] = classes
        return mask

    def touches(self, grid: Grid) -> bool:
        """Whether it is of the same image."""
        return integer_offset(self.grid, grid) is not None

    def check(self) -> None:
        """Read all labels and refuse what means no class.

        Raises:
            LabelError: If there is any; all of it is listed with its pixels.
        """
        unknown = self.count()[1]
        if unknown:
            what = "colours" if self.by_color else "values"
            names = ", ".join(self.legend.names)
            raise LabelError(
                self.path,
                f"{what} that are not in the legend: {list_counts(unknown, 'pixels')}",
                f"Add them to the `from` of a class ({names}), or to `ignore` of [labels]",
            )

    def count(self) -> tuple[dict[int, int], dict[str, int]]:
        """Count the pixels of the whole image.

        Returns:
            Pixels of each class value and of `ignore`; and of what means no class, as written.
        """
        known: Counter[int] = Counter({self.legend.ignore: 0})
        unknown: Counter[str] = Counter()
        for window in strips(self.grid):
            keys, valid = self._read(window)
            known[self.legend.ignore] += int(valid.size - np.count_nonzero(valid))
            keys = keys[valid]
            classes, is_known = self._lookup(keys)
            known.update(count_values(classes[is_known]))
            for key, pixels in count_values(keys[~is_known]).items():
                unknown[f"#{key:06x}" if self.by_color else str(key)] += pixels
        return dict(known), dict(unknown)

    def _read(self, window: Window) -> tuple[Keys, Bools]:
        try:
            return self.reader.read(window)
        except SceneError as error:
            raise LabelError(error.subject, error.problem, error.cure) from error

    @cached_property
    def _known(self) -> tuple[Keys, npt.NDArray[Any]]:
        """Keys in ascending order, and the class value of each."""
        keys = sorted(self.table)
        classes = np.array([self.table[key] for key in keys], self.legend.dtype)
        return np.array(keys, np.int64), classes

    @cached_property
    def _small(self) -> tuple[npt.NDArray[Any], Bools]:
        """Class value of each number of 16 bits, and which of them are known."""
        classes = np.full(_SMALL, self.legend.ignore, self.legend.dtype)
        known = np.zeros(_SMALL, np.bool_)
        for key, value in self.table.items():
            if 0 <= key < _SMALL:
                classes[key], known[key] = value, True
        return classes, known

    def _lookup(self, keys: Keys) -> tuple[npt.NDArray[Any], Bools]:
        """The class value of each key, and which keys are known."""
        if keys.dtype in (np.uint8, np.uint16):
            return self._small[0].take(keys), self._small[1].take(keys)
        known, classes = self._known
        place = np.minimum(np.searchsorted(known, keys), known.size - 1)
        return classes[place], known[place] == keys


@dataclass(frozen=True, kw_only=True)
class RasterReader:
    """Numbers or colours of a label image."""

    scene: Scene
    by_color: bool
    threshold: int | None

    def read(self, window: Window) -> tuple[Keys, Bools]:
        """As `Reader.read`.

        Raises:
            SceneError: If the file is broken there, or has changed.
            LabelError: If it holds fractions.
        """
        raster = self.scene.read(window)
        data = raster.data
        if data.dtype.kind == "f" and not np.array_equal(np.floor(data), data):
            raise LabelError(self.scene.path, "holds fractions, not classes", "Round it first")
        if self.threshold is not None:
            data = np.where(data >= self.threshold, np.uint8(255), np.uint8(0))
        if self.by_color:
            return pack_colors(data), raster.valid
        return (data[0].astype(np.int64) if data.dtype.kind == "f" else data[0]), raster.valid


@dataclass(frozen=True, kw_only=True)
class MatReader:
    """Numbers of a MATLAB file."""

    path: str
    variable: str

    def read(self, window: Window) -> tuple[Keys, Bools]:
        """As `Reader.read`.

        Raises:
            SceneError: If the file is no longer there.
            LabelError: If it holds no such array.
        """
        array = read_mat(self.path, self.variable, file_stamp(self.path))
        keys = array[window.toslices()]
        return keys, np.ones(keys.shape, np.bool_)


@dataclass(frozen=True, kw_only=True)
class RleReader:
    """0 and 1 of run lengths."""

    subject: str
    runs: str
    shape: tuple[int, int]

    def read(self, window: Window) -> tuple[Keys, Bools]:
        """As `Reader.read`.

        Raises:
            LabelError: If the run lengths are none of such an image.
        """
        array = decode(self.runs, self.shape, self.subject)
        keys = array[window.toslices()].astype(np.uint8)
        return keys, np.ones(keys.shape, np.bool_)


def strips(grid: Grid) -> Iterator[Window]:
    """Windows of whole rows that cover a grid, of some megapixels each."""
    rows = max(_STRIP_PIXELS // grid.width, 1)
    for top in range(0, grid.height, rows):
        yield Window(0, top, grid.width, min(rows, grid.height - top))


@lru_cache(_KEPT_ARRAYS)
def read_mat(
    path: str,
    variable: str,
    stamp: tuple[int, int],  # noqa: ARG001 - tells a changed file
) -> npt.NDArray[Any]:
    """The array (height, width) of a MATLAB file; the last ones are kept.

    Raises:
        LabelError: If there is none.
    """
    return read_mat_labels(path, variable)


@lru_cache(_KEPT_ARRAYS)
def decode(runs: str, shape: tuple[int, int], subject: str) -> Bools:
    """The mask (height, width) of run lengths; the last ones are kept.

    Raises:
        LabelError: If they are broken.
    """
    return decode_runs(runs, shape, subject)
