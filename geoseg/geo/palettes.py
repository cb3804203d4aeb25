"""Names and colours of pixel values, as QGIS styles and GDAL side files hold them.

Only reads: `geoseg.geo.style` writes the same files from a legend.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

from rasterio.enums import ColorInterp

from geoseg.errors import LegendError, SceneError
from geoseg.geo.gdal import open_dataset
from geoseg.geo.values import count_raster_values

RGB = tuple[int, int, int]

_COLORS = [
    *("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4"),
    *("#42d4f4", "#bfef45", "#f032e6", "#469990", "#9a6324"),
    *("#ffe119", "#800000", "#808000", "#000075", "#fabed4"),
    *("#aaffc3", "#dcbeff", "#ffd8b1", "#fffac8", "#a9a9a9"),
]
"""Twenty colours that people tell apart well, the most different first."""

_RAT_VALUE, _RAT_NAME, _RAT_MIN, _RAT_COLORS = 5, 2, 3, (6, 7, 8)
"""Usage codes of the columns of a GDAL raster attribute table."""

_MAX_XML_BYTES = 16 * 2**20
"""Styles are small; a larger file is not one, or is made to hurt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaletteEntry:
    """What a file tells of one pixel value."""

    value: int
    """The pixel value."""

    name: str = ""
    """Its name; empty where the file has none."""

    color: str | None = None
    """Its colour as `#rrggbb`; None where the file has none."""


def readable_color(index: int) -> str:
    """The colour of the `index`-th foreground class, as `#rrggbb`; never black.

    The first twenty come from a fixed list; later ones step round the hues by the golden angle.
    """
    if index < len(_COLORS):
        return _COLORS[index]
    step = index - len(_COLORS)
    red, green, blue = colorsys.hsv_to_rgb(step * 0.618034 % 1, 0.55 + 0.4 * (step % 2), 0.85)
    return hex_color((round(red * 255), round(green * 255), round(blue * 255)))


def hex_color(rgb: tuple[int, ...]) -> str:
    """Write red, green, blue (0-255; an alpha is left out) as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*rgb[:3])


def rgb_color(color: str) -> RGB:
    """Read `#rrggbb` into red, green, blue (0-255).

    Raises:
        LegendError: If the text is not of that form.
    """
    digits = color[1:] if color.startswith("#") and color.isascii() else ""
    if len(digits) != 6 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise LegendError("legend", f'"{color}" is no colour', 'Write it as "#rrggbb"')
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def read_qml(path: Path) -> list[PaletteEntry]:
    """Read the entries of a QGIS raster style of the paletted kind.

    Raises:
        LegendError: If the file is not such a style.
    """
    entries = [
        PaletteEntry(
            value=_integer(node.get("value", ""), path),
            name=node.get("label", ""),
            color=(node.get("color") or "")[:7] or None,
        )
        for node in _parse(path).iter("paletteEntry")
    ]
    if not entries:
        raise LegendError(
            path, "holds no palette", "Save the style of a raster drawn by paletted values"
        )
    return entries


def read_side_file(path: Path) -> list[PaletteEntry]:
    """Read names and colours from GDAL's `.aux.xml` beside a raster, of its first band.

    A raster attribute table is preferred to category names, which know no colours.

    Returns:
        The entries; none where the file holds neither.

    Raises:
        LegendError: If the file is not XML.
    """
    band = _parse(path).find("PAMRasterBand[@band='1']")
    if band is None:
        return []
    table = band.find("GDALRasterAttributeTable")
    if table is not None:
        return _read_attribute_table(table, path)
    names = [node.text or "" for node in band.findall("CategoryNames/Category")]
    return [PaletteEntry(value=value, name=name) for value, name in enumerate(names) if name]


def read_raster_palette(path: Path) -> list[PaletteEntry]:
    """Read what a raster and the files beside it tell of its values.

    In this order: the raster attribute table or category names in `.aux.xml`, the `.qml` of the
    same name, the colour table with the values that occur. The nodata value is left out.

    Raises:
        LegendError: If the file is no raster, or has none of these.
    """
    try:
        dataset = open_dataset(str(path))
    except SceneError as error:
        raise LegendError(path, error.problem, "Give a legend in TOML, QML or a raster") from error
    with dataset:
        is_paletted = dataset.colorinterp[0] == ColorInterp.palette
        colors = dataset.colormap(1) if is_paletted else {}
        nodata = dataset.nodata
    entries = _read_neighbours(path)
    if not entries and colors:
        entries = [PaletteEntry(value=value) for value in count_raster_values(path)]
    if not entries:
        raise LegendError(
            path, "has neither a colour table nor names of its values", "Give a legend in TOML"
        )
    return [
        replace(entry, color=entry.color or _table_entry(colors, entry.value))
        for entry in entries
        if entry.value != nodata
    ]


def _read_neighbours(path: Path) -> list[PaletteEntry]:
    """What the side files of a raster tell; nothing where there are none."""
    side_file, style = path.with_name(path.name + ".aux.xml"), path.with_suffix(".qml")
    entries = read_side_file(side_file) if side_file.is_file() else []
    return read_qml(style) if not entries and style.is_file() else entries


def _table_entry(colors: dict[int, tuple[int, ...]], value: int) -> str | None:
    return hex_color(colors[value]) if value in colors else None


def _read_attribute_table(table: ET.Element, path: Path) -> list[PaletteEntry]:
    usages = [int(node.findtext("Usage", "0")) for node in table.findall("FieldDefn")]
    value_column = next((usages.index(u) for u in (_RAT_VALUE, _RAT_MIN) if u in usages), None)
    if value_column is None:
        return []
    entries = []
    for row in table.findall("Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        entries.append(
            PaletteEntry(
                value=_integer(cells[value_column], path),
                name=cells[usages.index(_RAT_NAME)] if _RAT_NAME in usages else "",
                color=_table_color(cells, usages, path),
            )
        )
    return entries


def _table_color(cells: list[str], usages: list[int], path: Path) -> str | None:
    if not all(usage in usages for usage in _RAT_COLORS):
        return None
    return hex_color(tuple(_integer(cells[usages.index(usage)], path) for usage in _RAT_COLORS))


def _integer(text: str, path: Path) -> int:
    try:
        number = float(text)
        if number.is_integer():
            return int(number)
    except ValueError:
        pass
    raise LegendError(path, f'"{text}" is no whole number', "Class values are whole numbers")


def _parse(path: Path) -> ET.Element:
    """Parse a small XML file; entities are refused, which have no place in a style."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LegendError(path, error.strerror or str(error)) from error
    if len(content) > _MAX_XML_BYTES or b"<!ENTITY" in content:
        raise LegendError(path, "is not a style of QGIS or GDAL", "Give a legend in TOML")
    try:
        return ET.fromstring(content)  # entities were refused above
    except ET.ParseError as error:
        raise LegendError(path, f"is not XML ({error})", "Give a legend in TOML") from error
