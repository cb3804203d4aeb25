"""Which class a value of the labels means: an attribute, a raster value or a colour."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError, LegendError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.palettes import readable_color, rgb_color
from geoseg.geo.values import list_counts

NULL = "null"
"""How a missing attribute is written in `from`."""

_MOST_VALUES = 254
"""More different attribute values than this do not make a legend by themselves."""


def match_attributes(
    attributes: Iterable[object], legend: Legend, subject: str, field: str
) -> npt.NDArray[np.uint16]:
    """Turn attribute values into class values.

    A value means the class whose `from` lists it, else the class of that name, else, for a class
    without `from`, the class of that value. Numbers and their text are the same; a missing value
    is `null`.

    Args:
        attributes: One value per feature.
        legend: The classes.
        subject: The file they come from, for the error.
        field: The attribute's name, for the error.

    Returns:
        Class values (n,).

    Raises:
        LabelError: If some mean no class; all such values are listed with their counts.
    """
    table = {str(entry.value): entry.value for entry in legend.classes if not entry.sources}
    table |= {entry.name: entry.value for entry in legend.classes}
    table |= _source_values(legend)
    classes: list[int] = []
    unknown: Counter[str] = Counter()
    for attribute in attributes:
        keys = _keys(attribute)
        found = next((table[key] for key in keys if key in table), None)
        if found is None:
            unknown[keys[0]] += 1
        classes.append(found or 0)
    if unknown:
        cure = f"Add them to the `from` of a class ({', '.join(legend.names)})"
        if NULL in unknown:
            cure += f'; "{NULL}" stands for features without a value'
        raise LabelError(
            subject,
            f'field "{field}" has values that are not in the legend: '
            f"{list_counts(unknown, 'features')}",
            cure,
        )
    return np.array(classes, dtype=np.uint16)


def raster_values(legend: Legend) -> dict[int, int]:
    """Which raster value means which class value: numbers in `from`, or a class' own value.

    Words in `from` are for polygons and leave a class its own value; numbers and colours, which
    tell what a raster holds, take its place. `ignore` means itself, unless a class claims it.
    """
    own = {str(c.value): c.value for c in legend.classes if not any(map(_is_of_rasters, c.sources))}
    table = {str(legend.ignore): legend.ignore} | own | _source_values(legend)
    return {int(key): value for key, value in table.items() if _is_integer(key)}


def raster_colors(legend: Legend) -> dict[int, int]:
    """Which colour, packed as 0xRRGGBB, means which class value; `from` may list more colours.

    Raises:
        LegendError: If two classes have the same colour.
    """
    table: dict[int, int] = {}
    for entry in legend.classes:
        listed = [str(s) for s in entry.sources if str(s).startswith("#")]
        for color in (entry.color, *listed):
            packed = pack_colors(np.array(rgb_color(color)).reshape(3, 1)).item()
            if table.setdefault(packed, entry.value) != entry.value:
                raise LegendError(
                    color, "is the colour of two classes, and the labels are colours", "Change one"
                )
    return table


def pack_colors(colors: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Colours (3, ...) of 0 to 255 as single numbers 0xRRGGBB (...)."""
    red, green, blue = colors.astype(np.int64)
    packed: npt.NDArray[np.int64] = red << 16 | green << 8 | blue
    return packed


def legend_of_attributes(attributes: Iterable[object], subject: str, field: str) -> Legend:
    """Make a legend of the different values of an attribute: 0 background, then 1, 2, ...

    Raises:
        LabelError: If there are more than 254 different values.
    """
    found: dict[str, object] = {}
    for attribute in attributes:
        found.setdefault(_keys(attribute)[0], attribute)
    if len(found) > _MOST_VALUES:
        raise LabelError(
            subject,
            f'field "{field}" has {len(found)} different values, too many for classes',
            "Choose another field, or give a legend that maps them by `from`",
        )
    return legend_of_names(sorted(found, key=_number_first))


def legend_of_names(names: Iterable[str]) -> Legend:
    """A legend of the background and the classes of these attribute values, in this order."""
    classes = [LegendClass(value=0, name="background", color="#000000")]
    for index, name in enumerate(names):
        shown = name if name.strip() and name.isprintable() else f"class_{index + 1}"
        shown = f"{shown}_class" if shown == "background" else shown
        classes.append(
            LegendClass(value=index + 1, name=shown, color=readable_color(index), sources=(name,))
        )
    return Legend(classes=tuple(classes))


def _source_values(legend: Legend) -> dict[str, int]:
    return {_keys(s)[0]: entry.value for entry in legend.classes for s in entry.sources}


def _keys(value: object) -> tuple[str, ...]:
    """The texts that stand for a value, the plainest first."""
    if isinstance(value, bool | np.bool_):
        return ("true", "1") if value else ("false", "0")
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else (NULL,)
    if isinstance(value, int | np.integer):
        return (str(int(value)),)
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return (NULL,)
        return (str(int(value)) if float(value).is_integer() else repr(float(value)),)
    text = str(value)
    return (NULL,) if text in ("None", "<NA>", "NaT") else (text,)


def source_kind(source: object) -> Literal["color", "number", "word"]:
    """What an entry of `from` is: a colour, a whole number (also as text), or anything else."""
    text = _keys(source)[0]
    if text.startswith("#"):
        return "color"
    return "number" if _is_integer(text) else "word"


def names_numbers(legend: Legend) -> bool:
    """Whether some `from` lists numbers, as values or as their text."""
    return any(_is_number(_keys(s)[0]) for entry in legend.classes for s in entry.sources)


def _is_of_rasters(source: object) -> bool:
    """Whether an entry of `from` is a number or a colour, which rasters hold, and no word."""
    text = _keys(source)[0]
    return text.startswith("#") or _is_number(text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _number_first(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
