"""The labels of a described data set: any encoding, as class values on the image's own pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import LabelError, LegendError, SceneError
from geoseg.geo.dataset_pairs import Pair, runs_of
from geoseg.geo.dataset_tables import (
    ColorLabels,
    IndexLabels,
    MatLabels,
    PolygonLabels,
    RleLabels,
)
from geoseg.geo.gdal import file_stamp
from geoseg.geo.grid import Grid
from geoseg.geo.label_sources import LabelSource, PolygonSource
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend
from geoseg.geo.mat_labels import read_mat_labels
from geoseg.geo.matching import pack_colors, raster_colors, raster_values
from geoseg.geo.nearest import integer_offset
from geoseg.geo.palettes import rgb_color
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.rle import decode_runs
from geoseg.geo.values import count_values, list_counts
from geoseg.geo.vector import has_shapes

_STRIP_PIXELS = 4 << 20
_KEPT_ARRAYS = 16
"""Decoded MATLAB files and run lengths that are kept for the next window of the same image."""

Keys = npt.NDArray[np.int64]
"""What stands in a label file: numbers, or colours packed as 0xRRGGBB."""

Bools = npt.NDArray[np.bool_]


class _Reader(Protocol):
    """Reads what stands in a label file."""

    def read(self, window: Window) -> tuple[Keys, Bools]:
        """Keys (height, width), and where there are any."""


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

    reader: _Reader
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
        for window in _strips(self.grid):
            keys, valid = self._read(window)
            known[self.legend.ignore] += int(valid.size - np.count_nonzero(valid))
            for key, pixels in count_values(keys[valid]).items():
                if key in self.table:
                    known[self.table[key]] += pixels
                else:
                    unknown[f"#{key:06x}" if self.by_color else str(key)] += pixels
        return dict(known), dict(unknown)

    def _read(self, window: Window) -> tuple[Keys, Bools]:
        try:
            return self.reader.read(window)
        except SceneError as error:
            raise LabelError(error.subject, error.problem, error.cure) from error

    @cached_property
    def _known(self) -> tuple[Keys, npt.NDArray[Any]]:
        keys = sorted(self.table)
        classes = np.array([self.table[key] for key in keys], self.legend.dtype)
        return np.array(keys, np.int64), classes

    def _lookup(self, keys: Keys) -> tuple[npt.NDArray[Any], Bools]:
        known, classes = self._known
        place = np.minimum(np.searchsorted(known, keys), known.size - 1)
        return classes[place], known[place] == keys


@dataclass(frozen=True, kw_only=True)
class _RasterReader:
    """Numbers or colours of a label image."""

    scene: Scene
    by_color: bool
    threshold: int | None

    def read(self, window: Window) -> tuple[Keys, Bools]:
        raster = self.scene.read(window)
        data = raster.data
        if data.dtype.kind == "f" and not np.array_equal(np.floor(data), data):
            raise LabelError(self.scene.path, "holds fractions, not classes", "Round it first")
        if self.threshold is not None:
            data = np.where(data >= self.threshold, 255, 0)
        if self.by_color:
            return pack_colors(data), raster.valid
        return data[0].astype(np.int64), raster.valid


@dataclass(frozen=True, kw_only=True)
class _MatReader:
    """Numbers of a MATLAB file."""

    path: str
    variable: str

    def read(self, window: Window) -> tuple[Keys, Bools]:
        array = _read_mat(self.path, self.variable, file_stamp(self.path))
        keys = array[window.toslices()].astype(np.int64)
        return keys, np.ones(keys.shape, np.bool_)


@dataclass(frozen=True, kw_only=True)
class _RleReader:
    """0 and 1 of run lengths."""

    subject: str
    runs: str
    shape: tuple[int, int]

    def read(self, window: Window) -> tuple[Keys, Bools]:
        array = _decode(self.runs, self.shape, self.subject)
        keys = array[window.toslices()].astype(np.int64)
        return keys, np.ones(keys.shape, np.bool_)


class _Background:
    """An image without any polygon."""

    def __init__(self, value: int, dtype: str) -> None:
        self.value, self.dtype = value, dtype

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        return np.full(grid.shape, self.value, self.dtype)

    def touches(self, grid: Grid) -> bool:  # noqa: ARG002 - as every source
        return True

    def check(self) -> None:
        """There is nothing to refuse."""


def open_labels(pair: Pair, scene: Scene, legend: Legend) -> Labels:
    """Look at the labels of an image.

    Args:
        pair: The image and where its labels are.
        scene: The image at its own pixels.
        legend: The classes.

    Raises:
        LabelError: If they cannot be read, are of another kind or size than expected.
        LegendError: If the legend does not suit the encoding.
    """
    source: LabelSource
    encoding = pair.encoding
    if isinstance(encoding, PolygonLabels):
        return _open_polygons(pair, scene, legend, encoding)
    if isinstance(encoding, RleLabels):
        source = _open_runs(pair, scene, legend, encoding)
    elif isinstance(encoding, MatLabels):
        source = _open_mat(pair, scene, legend, encoding)
    else:
        source = _open_raster(pair, scene, legend, encoding)
    return Labels(path=pair.labels, legend=legend, source=source)


def count_classes(labels: Labels, scene: Scene) -> tuple[dict[int, int], dict[str, int]]:
    """Count the pixels of an image's labels.

    Returns:
        Pixels of each class value and of `ignore`; and of what means no class, as written.

    Raises:
        LabelError: If they cannot be read.
    """
    if isinstance(labels.source, PixelSource):
        return labels.source.count()
    counts: Counter[int] = Counter({labels.legend.ignore: 0})
    for window in _strips(scene.grid):
        counts.update(count_values(labels.mask(scene.grid.crop(window))))
    return dict(counts), {}


class SizeError(LabelError):
    """Labels of another size than their image."""


def _open_raster(
    pair: Pair, scene: Scene, legend: Legend, encoding: IndexLabels | ColorLabels
) -> PixelSource:
    by_color = isinstance(encoding, ColorLabels)
    band = encoding.band if isinstance(encoding, IndexLabels) else None
    labels = _open_label_image(pair.labels, band, expand=by_color)
    wanted = 3 if by_color else 1
    if labels.count != wanted or (by_color and labels.dtype != "uint8"):
        found = f"has {labels.count} bands of {labels.dtype}"
        if by_color:
            raise LabelError(
                pair.labels, f"{found}, colours are expected", 'Say encoding = "index"'
            )
        raise LabelError(
            pair.labels, f"{found}, numbers are expected", 'Say encoding = "color", or band = 1'
        )
    _check_size(pair, labels.grid.shape, scene)
    table = _colors(legend, encoding) if by_color else _numbers(legend, encoding)
    if labels.nodata is not None and not by_color and float(labels.nodata).is_integer():
        table.setdefault(int(labels.nodata), legend.ignore)
    # A nodata value hides no class: the description says what a number means.
    labels = replace(labels, grid=scene.grid, nodata_values=(None,) * labels.count)
    reader = _RasterReader(scene=labels, by_color=by_color, threshold=encoding.threshold)
    return PixelSource(
        path=pair.labels,
        grid=scene.grid,
        legend=legend,
        table=table,
        reader=reader,
        by_color=by_color,
    )


def _open_label_image(path: str, band: int | None, *, expand: bool) -> Scene:
    options = SceneOptions(
        bands=None if band is None else (band,),
        resampling="nearest",
        assume_crs="none",
        expand_palette=expand,
    )
    try:
        return Scene.open(path, options)
    except SceneError as error:
        raise LabelError(error.subject, error.problem, error.cure) from error


def _open_mat(pair: Pair, scene: Scene, legend: Legend, encoding: MatLabels) -> PixelSource:
    array = _read_mat(pair.labels, encoding.variable, file_stamp(pair.labels))
    _check_size(pair, array.shape, scene)
    return PixelSource(
        path=pair.labels,
        grid=scene.grid,
        legend=legend,
        table=_numbers(legend, encoding),
        reader=_MatReader(path=pair.labels, variable=encoding.variable),
    )


def _open_runs(pair: Pair, scene: Scene, legend: Legend, encoding: RleLabels) -> PixelSource:
    if legend.background is None or len(legend.foreground) != 1:
        raise LegendError(
            "legend", "run lengths tell one class from background", "Give these two classes"
        )
    subject = f"{pair.labels}, {pair.key}"
    runs = runs_of(pair.labels, encoding)[pair.key]
    _decode(runs, scene.grid.shape, subject)
    return PixelSource(
        path=subject,
        grid=scene.grid,
        legend=legend,
        table={0: legend.background.value, 1: legend.foreground[0].value},
        reader=_RleReader(subject=subject, runs=runs, shape=scene.grid.shape),
    )


def _open_polygons(pair: Pair, scene: Scene, legend: Legend, encoding: PolygonLabels) -> Labels:
    if not has_shapes(pair.labels, encoding.layer):
        fill = legend.ignore if legend.background is None else legend.background.value
        empty = _Background(fill, legend.dtype)
        return Labels(path=pair.labels, legend=legend, source=empty)
    options = LabelOptions(field=encoding.field, layer=encoding.layer, buffer=encoding.buffer)
    labels = Labels.open(pair.labels, legend, options)
    source = labels.source
    if isinstance(source, PolygonSource) and scene.grid.crs is None and source.crs is not None:
        raise LabelError(pair.labels, "has a CRS, but the image has none", "Georeference the image")
    if not labels.touches(scene.grid):
        raise LabelError(pair.labels, "lies away from its image", "Check the CRS of both")
    return labels


def _numbers(legend: Legend, encoding: IndexLabels | ColorLabels | MatLabels) -> dict[int, int]:
    """What each number means."""
    table = raster_values(legend)
    for value in encoding.ignore:
        _claim(table, int(value), legend, str(value))
    return table


def _colors(legend: Legend, encoding: IndexLabels | ColorLabels | MatLabels) -> dict[int, int]:
    """What each packed colour means."""
    table = raster_colors(legend)
    for color in map(str, encoding.ignore):
        packed = pack_colors(np.array(rgb_color(color)).reshape(3, 1)).item()
        _claim(table, packed, legend, color)
    return table


def _claim(table: dict[int, int], key: int, legend: Legend, text: str) -> None:
    if table.setdefault(key, legend.ignore) != legend.ignore:
        name = legend.class_of(table[key]).name
        raise LegendError(
            "labels.ignore", f'{text} also means class "{name}"', "Give that class its own `from`"
        )


def _check_size(pair: Pair, shape: tuple[int, ...], scene: Scene) -> None:
    if tuple(shape) != scene.grid.shape:
        height, width = scene.grid.shape
        raise SizeError(
            pair.labels, f"has {shape[0]} x {shape[1]} pixels, its image {height} x {width}"
        )


def _strips(grid: Grid) -> Iterator[Window]:
    rows = max(_STRIP_PIXELS // grid.width, 1)
    for top in range(0, grid.height, rows):
        yield Window(0, top, grid.width, min(rows, grid.height - top))


@lru_cache(_KEPT_ARRAYS)
def _read_mat(path: str, variable: str, stamp: tuple[int, int]) -> npt.NDArray[Any]:  # noqa: ARG001
    return read_mat_labels(path, variable)


@lru_cache(_KEPT_ARRAYS)
def _decode(runs: str, shape: tuple[int, int], subject: str) -> Bools:
    return decode_runs(runs, shape, subject)
