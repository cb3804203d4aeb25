"""One label image made into another file, window by window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from geoseg.errors import LabelError
from geoseg.geo.cog import RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.label_images import (
    LabelImage,
    band_color_keys,
    color_keys,
    iterate,
    value_keys,
)
from geoseg.geo.legend import Legend
from geoseg.geo.png_writer import driver_by_suffix, writer_by_suffix
from geoseg.geo.raster_profile import RasterProfile
from geoseg.geo.recolor import (
    ColorTable,
    IndexTable,
    Reading,
    Unknown,
    free_color,
    key_name,
    pack,
    tally,
    unpack,
)
from geoseg.geo.style import raster_attribute_xml, raster_colormap, raster_qml
from geoseg.geo.values import count_values

Look = Callable[[Path], None]
"""Looks at a file that has no name yet, and may refuse it."""

LEGEND_FILE = "legend.toml"
"""Lies in every folder of relabelled images, and tells one that may be replaced."""


@dataclass(frozen=True, kw_only=True)
class Recolored:
    """What an image held."""

    counts: Counter[int]
    """Pixels of each class value that was written or read, `ignore` among them."""

    unknown: Counter[str]
    """Pixels of each value or colour that is not in the legend, as people write it."""


class IndexTables:
    """The tables by which label images become class values; each is made once.

    Args:
        legend: The classes.
        reading: Whether one-band images hold values or colours.
        unknown: What becomes of the rest.
        unlabelled: Packed colour of pixels that are not labelled.
        told: Whether the user named that colour, so that others may be nearest to it.

    Raises:
        LegendError: If two classes have one colour, or there is no background and it is asked for.
    """

    def __init__(
        self, legend: Legend, reading: Reading, unknown: Unknown, unlabelled: int, *, told: bool
    ) -> None:
        self.legend = legend
        self._reading = reading
        self._unknown: Unknown = unknown
        by_color = color_keys(legend, unlabelled)
        own = {key: value for key, value in by_color.items() if told or key != unlabelled}
        self._by_color, self._points = by_color, own
        self._shared: dict[bool, IndexTable] = {}

    def table_of(self, image: LabelImage) -> IndexTable:
        """The table for an image; a palette of its own makes one of its own."""
        if image.palette and self._reading == "color":
            return self._band_table(image)
        if image.is_rgb not in self._shared:
            self._shared[image.is_rgb] = self._make(image)
        return self._shared[image.is_rgb]

    def _make(self, image: LabelImage) -> IndexTable:
        if image.is_rgb:
            return IndexTable(self._by_color, self.legend, "color", self._unknown, self._points)
        if self._reading == "color":
            return self._band_table(image)
        known = value_keys(self.legend)
        points = {key: value for key, value in known.items() if value != self.legend.ignore}
        return IndexTable(known, self.legend, "value", self._unknown, points)

    def _band_table(self, image: LabelImage) -> IndexTable:
        known = band_color_keys(image, self._by_color)
        points = band_color_keys(image, self._points)
        return IndexTable(known, self.legend, "value", self._unknown, points)


def write_index(
    image: LabelImage, table: IndexTable, path: Path, *, overwrite: bool, look: Look | None = None
) -> Recolored:
    """Write the class values of a label image.

    Args:
        image: What is read.
        table: What means what.
        path: `.tif` or `.png` to write; legends of 8 bits give it a palette.
        overwrite: Whether an existing file may be replaced.
        look: Called with the finished file before it gets its name.

    Raises:
        LabelError: If something is not in the legend and that is refused; all is listed.
        OutputError: If the file must not or cannot be written there.
        SceneError: If the image is damaged.
        WorkError: If the file system fails.
    """
    legend = table.legend
    counts: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    to = writer_by_suffix(path, class_profile(image.grid, legend, path), overwrite=overwrite)
    with _publishing(to, look):
        for window, keys, valid in iterate(image):
            values, unknown = table.convert(keys, valid)
            tally(lost, unknown)
            if lost and table.unknown == "refuse":
                continue  # only to count the rest
            counts.update(count_values(values))
            to.write(values[None], window)
        table.refuse(lost, image.path)
        add_side_files(to, legend, counts)
    return Recolored(counts=counts, unknown=_named(lost, table.reading))


def write_colors(
    image: LabelImage, table: ColorTable, path: Path, *, overwrite: bool, look: Look | None = None
) -> Recolored:
    """Write the colours of an image of class values.

    Args:
        image: What is read; one band.
        table: The colours.
        path: `.tif` or `.png` to write.
        overwrite: Whether an existing file may be replaced.
        look: Called with the finished file before it gets its name.

    Raises:
        LabelError: If values are not in the legend and that is refused; all are listed. If there
            are pixels that are not labelled, and no gray for them.
        OutputError: If the file must not or cannot be written there.
        SceneError: If the image is damaged.
        WorkError: If the file system fails.
    """
    profile = RasterProfile(
        grid=image.grid, count=table.bands, is_rgb=table.bands == 3, overview_resampling="nearest"
    )
    counts: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    to = writer_by_suffix(path, profile, overwrite=overwrite)
    with _publishing(to, look):
        for window, values, valid in iterate(image):
            colors, unknown = table.convert(values, valid)
            tally(lost, unknown)
            if lost and table.unknown == "refuse":
                continue
            counts.update(_shown(values, valid, table.legend))
            to.write(colors, window)
        table.refuse(lost, image.path)
        if counts[table.legend.ignore] and not table.holds_ignore:
            raise LabelError(
                image.path,
                f"has {counts[table.legend.ignore]} pixels that are not labelled, and no gray "
                "stands for them",
                "Give one, such as --ignore-color '#808080'",
            )
    return Recolored(counts=counts, unknown=_named(lost, "value"))


@contextmanager
def _publishing(to: RasterWriter, look: Look | None) -> Iterator[None]:
    """Commit a raster when the block ends, once it was looked at."""
    try:
        yield
    except BaseException:
        to.abort()
        raise
    with to.committing() as finished:
        if look is not None:
            look(finished)


def class_profile(grid: Grid, legend: Legend, path: Path) -> RasterProfile:
    """What a class raster is to be. A PNG has no nodata value: `ignore` is a value there."""
    is_png = driver_by_suffix(path) == "PNG"
    colors = raster_colormap(legend)
    if is_png:  # Where nothing hides it, `ignore` must not look like a black class.
        void = unpack(free_color({pack(color) for color in legend.colors}))
        colors[legend.ignore] = (*void, 255)
    return RasterProfile(
        grid=grid,
        dtype=legend.dtype,
        nodata=None if is_png else legend.ignore,
        colormap=colors if legend.dtype == "uint8" else None,
    )


def add_side_files(writer: RasterWriter, legend: Legend, counts: Counter[int]) -> None:
    """Put names and style beside a class raster that a GIS will open: a GeoTIFF."""
    if driver_by_suffix(writer.path) == "GeoTIFF":
        writer.sidecars[".aux.xml"] = raster_attribute_xml(legend, counts)
        writer.sidecars[".qml"] = raster_qml(legend)


def _shown(values: npt.NDArray[Any], valid: npt.NDArray[Any], legend: Legend) -> Counter[int]:
    counts = Counter(count_values(values[valid]))
    known = Counter({value: counts[value] for value in legend.values if counts[value]})
    known[legend.ignore] = values.size - known.total()
    return known


def _named(lost: Counter[int], reading: Reading) -> Counter[str]:
    return Counter({key_name(key, reading): count for key, count in lost.items()})
