"""The legend: which pixel value means which class, by what name and in what colour."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError, LegendError
from geoseg.geo.legend_files import preset_legend, read_legend
from geoseg.geo.palettes import (
    RGB,
    PaletteEntry,
    hex_color,
    read_qml,
    read_raster_palette,
    readable_color,
    rgb_color,
)
from geoseg.geo.toml_text import toml_value
from geoseg.geo.values import count_values, list_counts, look_up

Source = str | int | float
MAX_VALUE = 65534
"""Largest value of a class; 65535 is left for `ignore`."""

_NARROW_IGNORE, _WIDE_IGNORE = 255, 65535


@dataclass(frozen=True, kw_only=True)
class LegendClass:
    """One class of a legend."""

    value: int
    """Pixel value in masks and class rasters, 0 to 65534."""

    name: str
    """Name, unique in its legend."""

    color: str
    """Colour as `#rrggbb`, lower case."""

    sources: tuple[Source, ...] = ()
    """Attribute values or raster values of labels that mean this class (`from` in TOML)."""

    def __post_init__(self) -> None:
        _check_integer(self.value, f'value of class "{self.name}"', MAX_VALUE)
        if not _is_readable(self.name):
            raise LegendError("legend", f"class {self.value} has no readable name", "Give it one")
        rgb_color(self.color)
        object.__setattr__(self, "color", self.color.lower())
        for source in self.sources:
            if not isinstance(source, str | int | float):
                raise LegendError(
                    "legend",
                    f'from of class "{self.name}" holds {source!r}',
                    "List text or numbers",
                )


@dataclass(frozen=True, kw_only=True)
class Legend:
    """All classes of a mask, in the order of the network's channels."""

    classes: tuple[LegendClass, ...]
    """The classes; their place is their channel index."""

    ignore: int = _NARROW_IGNORE
    """Mask value that no loss and no metric sees."""

    def __post_init__(self) -> None:
        if not self.classes:
            raise LegendError("legend", "has no classes", "Add a [[classes]] table for each")
        _check_integer(self.ignore, "ignore", _WIDE_IGNORE)
        _refuse_double("value", [c.value for c in self.classes])
        _refuse_double("name", [c.name for c in self.classes])
        if self.ignore in self.values:
            raise LegendError(
                "legend",
                f'ignore = {self.ignore} is also the value of class "{self._name(self.ignore)}"',
                f"Set ignore to a value that no class has, such as {_default_ignore(self.values)}",
            )
        self._check_sources()

    @property
    def values(self) -> tuple[int, ...]:
        """Pixel values of the classes, in channel order."""
        return tuple(c.value for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in channel order."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> list[RGB]:
        """Red, green, blue (0-255) of the classes, in channel order."""
        return [rgb_color(c.color) for c in self.classes]

    @property
    def count(self) -> int:
        """Number of classes, which is that of the network's channels."""
        return len(self.classes)

    @property
    def dtype(self) -> Literal["uint8", "uint16"]:
        """The type of masks and class rasters of this legend."""
        return "uint8" if max(self.values) < 255 and self.ignore <= 255 else "uint16"

    @property
    def index_dtype(self) -> Literal["uint8", "uint16"]:
        """The type of arrays of channel indices."""
        return "uint8" if self.count <= _NARROW_IGNORE else "uint16"

    @property
    def ignore_index(self) -> int:
        """What stands for `ignore` among channel indices: 255 (65535 past 255 classes)."""
        return _NARROW_IGNORE if self.index_dtype == "uint8" else _WIDE_IGNORE

    @property
    def background(self) -> LegendClass | None:
        """The class of ground that no label covers: value 0 and no `from`."""
        return next((c for c in self.classes if c.value == 0 and not c.sources), None)

    @property
    def foreground(self) -> tuple[LegendClass, ...]:
        """The classes but the background."""
        return tuple(c for c in self.classes if c != self.background)

    def class_of(self, name_or_value: str | int) -> LegendClass:
        """The class of that name, or else of that value.

        Raises:
            LegendError: If there is none; the classes are listed.
        """
        text = str(name_or_value)
        for key in (lambda c: c.name, lambda c: str(c.value)):
            for entry in self.classes:
                if key(entry) == text:
                    return entry
        choices = ", ".join(f"{c.value} {c.name}" for c in self.classes)
        raise LegendError(text, f"is no class of the legend ({choices})", "Name one of these")

    def encode(self, mask: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
        """Turn class values into channel indices.

        Args:
            mask: Class values and `ignore`, of any shape and integer type.

        Returns:
            Channel indices, same shape, `index_dtype`, with `ignore_index` for `ignore`.

        Raises:
            LabelError: If the mask holds a value that is neither; values and counts are listed.
        """
        table, known = self._encoding
        if mask.dtype.itemsize > 2 or mask.dtype.kind != "u":
            mask = self._narrow(mask)
        if not look_up(known, mask).all():
            self.check(count_values(mask), "mask")
        indices: npt.NDArray[np.integer[Any]] = look_up(table, mask)
        return indices

    def decode(self, indices: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
        """Turn channel indices into class values; the other way of `encode`.

        Args:
            indices: Channel indices and `ignore_index`, any shape.

        Returns:
            Class values, same shape, of type `dtype`.
        """
        table = np.full(self.ignore_index + 1, self.ignore, self.dtype)
        table[: self.count] = self.values
        values: npt.NDArray[np.integer[Any]] = table[indices]
        return values

    def check(self, counts: Mapping[int, int], subject: object) -> None:
        """Refuse values that are no class.

        Args:
            counts: Pixels (or features) of each value found.
            subject: The file they were found in.

        Raises:
            LabelError: If some are neither a class nor `ignore`; values and counts are listed.
        """
        known = {*self.values, self.ignore}
        unknown = {value: n for value, n in counts.items() if value not in known}
        if unknown:
            raise LabelError(
                subject,
                f"values that are not in the legend: {list_counts(unknown, 'pixels')}",
                f"Add them to the legend, or to the `from` of a class ({', '.join(self.names)})",
            )

    @classmethod
    def open(cls, path: str | Path) -> Legend:
        """Read a legend from TOML, a QGIS style (`.qml`) or a raster with names or colours.

        Args:
            path: The file; the TOML may also describe a data set. Or the name of a data set
                that geoseg knows, such as `loveda`.

        Raises:
            LegendError: If the file is missing, is of no such kind, or contradicts itself.
        """
        path = Path(path).expanduser()
        if not path.exists() and (tables := preset_legend(str(path))) is not None:
            return cls.from_dict(tables)
        if not path.is_file():
            raise LegendError(path, "does not exist", "Give a legend in TOML, QML or a raster")
        try:
            if path.suffix.lower() == ".toml":
                return cls.from_dict(read_legend(path))
            if path.suffix.lower() == ".qml":
                return cls._of_entries(read_qml(path))
            return cls._of_entries(read_raster_palette(path))
        except LegendError as error:
            if error.subject != "legend":
                raise
            raise LegendError(path, error.problem, error.cure) from error

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Legend:
        """Make a legend of what TOML or JSON holds: `ignore` and `classes`.

        Raises:
            LegendError: If a key is unknown or missing, or a value is wrong.
        """
        _check_keys(content, ("ignore", "classes"), "legend")
        tables = content.get("classes", [])
        if not isinstance(tables, list) or not all(isinstance(t, Mapping) for t in tables):
            raise LegendError("legend", "classes is no list", "Write a [[classes]] table for each")
        classes = tuple(_read_class(table, place) for place, table in enumerate(tables))
        ignore = content.get("ignore", _default_ignore([c.value for c in classes]))
        return cls(classes=classes, ignore=ignore)

    def to_dict(self) -> dict[str, Any]:
        """The legend as plain lists and dictionaries, with the keys of the TOML file."""
        classes = []
        for entry in self.classes:
            table: dict[str, Any] = {"value": entry.value, "name": entry.name}
            table["color"] = entry.color
            if entry.sources:
                table["from"] = list(entry.sources)
            classes.append(table)
        return {"ignore": self.ignore, "classes": classes}

    def to_toml(self) -> str:
        """The legend as the text of a TOML file, which `open` reads."""
        lines = [f"ignore = {self.ignore}"]
        for table in self.to_dict()["classes"]:
            lines += ["", "[[classes]]"]
            lines += [f"{key} = {toml_value(value)}" for key, value in table.items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def of_values(
        cls,
        values: Iterable[int],
        names: Mapping[int, str] | None = None,
        colormap: Mapping[int, tuple[int, ...]] | None = None,
    ) -> Legend:
        """Make a legend of the values found in a raster.

        Args:
            values: Pixel values; they are sorted.
            names: Names of some of them; the rest are called `class_<value>` (0: background).
            colormap: Colours (red, green, blue, 0-255); the rest get readable ones (0: black).

        Raises:
            LegendError: If there are no values, or one is outside 0 to 65534.
        """
        names, colormap = names or {}, colormap or {}
        entries = [
            PaletteEntry(
                value=value,
                name=names.get(value, ""),
                color=hex_color(colormap[value]) if value in colormap else None,
            )
            for value in sorted(set(values))
        ]
        return cls._of_entries(entries)

    @classmethod
    def _of_entries(cls, entries: Sequence[PaletteEntry]) -> Legend:
        names = _unique_names(entries)
        classes, colored = [], 0
        for entry, name in zip(entries, names, strict=True):
            color = entry.color
            if color is None and entry.value == 0:
                color = "#000000"
            elif color is None:
                color, colored = readable_color(colored), colored + 1
            classes.append(LegendClass(value=entry.value, name=name, color=color))
        return cls(classes=tuple(classes), ignore=_default_ignore([c.value for c in classes]))

    @cached_property
    def _encoding(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Channel index of every 16-bit value, and which of them are known."""
        table = np.full(_WIDE_IGNORE + 1, self.ignore_index, self.index_dtype)
        known = np.zeros(_WIDE_IGNORE + 1, bool)
        table[list(self.values)] = range(self.count)
        known[[*self.values, self.ignore]] = True
        return table, known

    def _narrow(self, mask: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint16]:
        """A mask of another integer type as uint16, which must lose nothing."""
        narrow = mask.astype(np.uint16)
        if not np.array_equal(narrow, mask):
            self.check(count_values(mask), "mask")
        return narrow

    def _name(self, value: int) -> str:
        return next(c.name for c in self.classes if c.value == value)

    def _check_sources(self) -> None:
        """Refuse a `from` that two classes claim, or that is the name of another class."""
        owners: dict[Source, str] = {}
        for entry in self.classes:
            for source in entry.sources:
                owner = owners.setdefault(source, entry.name)
                if source in self.names and source != entry.name:
                    owner = str(source)
                if owner != entry.name:
                    raise LegendError(
                        "legend",
                        f'{source!r} means both "{owner}" and "{entry.name}"',
                        "Leave it in the `from` of one class",
                    )


def _read_class(table: Mapping[str, Any], place: int) -> LegendClass:
    _check_keys(table, ("value", "name", "color", "from"), f"class {place + 1}")
    for key in ("value", "name"):
        if key not in table:
            raise LegendError("legend", f"class {place + 1} has no {key}", f"Add {key} = ...")
    color = table.get("color", "#000000" if table["value"] == 0 else readable_color(place))
    sources = table.get("from", [])
    if not isinstance(color, str):
        raise LegendError("legend", f"{color!r} is no colour", 'Write it as "#rrggbb"')
    if not isinstance(sources, list):
        raise LegendError("legend", f"from = {sources!r} is no list", "Write from = [...]")
    return LegendClass(
        value=table["value"], name=table["name"], color=color, sources=tuple(sources)
    )


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            nearest = difflib.get_close_matches(str(key).lower(), known, n=1)
            cure = f'Did you mean "{nearest[0]}"' if nearest else f"Known are {', '.join(known)}"
            raise LegendError("legend", f'unknown key "{key}" in {where}', cure)


def _check_integer(value: object, what: str, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
        raise LegendError(
            "legend", f"{what} is {value!r}", f"Give a whole number from 0 to {highest}"
        )


def _is_readable(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip()) and name.isprintable()


def _refuse_double(what: str, items: Sequence[object]) -> None:
    double = next((item for item in items if items.count(item) > 1), None)
    if double is not None:
        raise LegendError("legend", f"two classes have the {what} {double!r}", "Change one of them")


def _default_ignore(values: Sequence[object]) -> int:
    wide = any(isinstance(value, int) and value >= _NARROW_IGNORE for value in values)
    return _WIDE_IGNORE if wide else _NARROW_IGNORE


def _unique_names(entries: Sequence[PaletteEntry]) -> list[str]:
    """Names of all entries; values are added to those that are missing or doubled."""
    given = [entry.name.strip() for entry in entries]
    names = []
    for entry, name in zip(entries, given, strict=True):
        if not name:
            name = "background" if entry.value == 0 and "background" not in given else "class"
        plain = name == "background" or (name in given and given.count(name) == 1)
        names.append(name if plain else f"{name}_{entry.value}")
    return names
