"""What stands in the labels of a described data set, and the class that each of it means."""

from __future__ import annotations

import numpy as np

from geoseg.errors import LegendError
from geoseg.geo.dataset_tables import (
    ColorLabels,
    Description,
    Encoding,
    IndexLabels,
    MatLabels,
    PolygonLabels,
    RleLabels,
)
from geoseg.geo.legend import Legend, Source
from geoseg.geo.matching import pack_colors, raster_colors, raster_values, source_kind
from geoseg.geo.palettes import rgb_color

_ENDS = {0, 255}
"""All that a threshold leaves of numbers, and of red, green and blue."""


def number_keys(legend: Legend, encoding: IndexLabels | ColorLabels | MatLabels) -> dict[int, int]:
    """Class value, or `ignore`, of each number that labels may hold.

    Raises:
        LegendError: If `ignore` of the labels lists a number of a class.
    """
    table = raster_values(legend)
    for value in encoding.ignore:
        _claim(table, int(value), legend, str(value))
    return table


def color_keys(legend: Legend, encoding: IndexLabels | ColorLabels | MatLabels) -> dict[int, int]:
    """Class value, or `ignore`, of each colour, packed as 0xRRGGBB, that labels may hold.

    Raises:
        LegendError: If two classes have one colour, or `ignore` of the labels lists one's.
    """
    table = raster_colors(legend)
    for color in map(str, encoding.ignore):
        packed = pack_colors(np.array(rgb_color(color)).reshape(3, 1)).item()
        _claim(table, packed, legend, color)
    return table


def check_meanings(description: Description) -> None:
    """Refuse a legend that does not suit the labels, before any file is opened.

    Raises:
        LegendError: If an entry of `from` cannot stand in labels of these encodings, no label can
            mean a class, or labels would mean two classes.
    """
    legend = description.legend
    parts = [part for split in description.used_splits for part in description.parts(split)]
    encodings = {description.encoding_of(p) for p in parts if p.labels or p.list_of == "pairs"}
    if not encodings:
        return
    for entry in legend.classes:
        for source in entry.sources:
            if not any(_may_hold(encoding, source) for encoding in encodings):
                raise LegendError(
                    "legend",
                    f'`from` of class "{entry.name}" lists {source!r}, '
                    f"which {_names(encodings)} cannot hold",
                    _wanted(encodings),
                )
    meant = set[int]().union(*(_meant(encoding, legend) for encoding in encodings))
    for entry in legend.classes:
        if entry.value not in meant:
            raise LegendError(
                "legend", f'no label can mean class "{entry.name}"', _wanted(encodings)
            )


def _may_hold(encoding: Encoding, source: Source) -> bool:
    """Whether labels of an encoding may hold what an entry of `from` names."""
    kind = source_kind(source)
    if isinstance(encoding, PolygonLabels):
        return encoding.field is not None
    if isinstance(encoding, ColorLabels):
        return kind == "color" and _survives(encoding, rgb_color(str(source)))
    if isinstance(encoding, IndexLabels):
        return kind == "number" and _survives(encoding, (int(source),))
    return isinstance(encoding, MatLabels) and kind == "number"


def _survives(encoding: IndexLabels | ColorLabels, values: tuple[int, ...]) -> bool:
    return encoding.threshold is None or set(values) <= _ENDS


def _meant(encoding: Encoding, legend: Legend) -> set[int]:
    """The class values that labels of an encoding can mean.

    Raises:
        LegendError: If the legend is none for such labels.
    """
    if isinstance(encoding, RleLabels):
        check_two_classes(legend)
        return set(legend.values)
    if isinstance(encoding, PolygonLabels):
        if encoding.field is None and len(legend.foreground) != 1:
            raise LegendError(
                "legend",
                f"polygons may be any of {legend.count} classes ({', '.join(legend.names)})",
                "Name the attribute that tells them apart: field of [labels]",
            )
        return set(legend.values)
    if isinstance(encoding, MatLabels):
        return set(number_keys(legend, encoding).values())
    if isinstance(encoding, IndexLabels):
        numbers = number_keys(legend, encoding)
        return {value for key, value in numbers.items() if _survives(encoding, (key,))}
    colors = color_keys(legend, encoding)
    return {value for key, value in colors.items() if _survives(encoding, _unpack(key))}


def check_two_classes(legend: Legend) -> None:
    """Refuse a legend that is none for run lengths.

    Raises:
        LegendError: If it is not one class and background.
    """
    if legend.background is None or len(legend.foreground) != 1:
        raise LegendError(
            "legend", "run lengths tell one class from background", "Give these two classes"
        )


def _unpack(color: int) -> tuple[int, int, int]:
    return color >> 16, color >> 8 & 255, color & 255


def _names(encodings: set[Encoding]) -> str:
    listing = " and ".join(sorted({f'"{each.encoding}"' for each in encodings}))
    return f"labels of encoding {listing}"


def _wanted(encodings: set[Encoding]) -> str:
    """What `from` may list, as a cure."""
    wanted = set()
    for each in encodings:
        cut = isinstance(each, IndexLabels | ColorLabels) and each.threshold is not None
        if isinstance(each, ColorLabels):
            wanted.add(f'colours ("#rrggbb"){" of 0 and 255" if cut else ""}')
        elif isinstance(each, IndexLabels | MatLabels):
            wanted.add("0 or 255, which a threshold makes" if cut else "whole numbers")
        elif isinstance(each, PolygonLabels) and each.field is not None:
            wanted.add("values of the attribute")
    return f"List {' or '.join(sorted(wanted))}" if wanted else "Leave `from` out"


def _claim(table: dict[int, int], key: int, legend: Legend, text: str) -> None:
    if table.setdefault(key, legend.ignore) != legend.ignore:
        name = legend.class_of(table[key]).name
        raise LegendError(
            "legend",
            f'`ignore` of the labels lists {text}, which also means class "{name}"',
            "Leave it out there, or give that class its own `from`",
        )
