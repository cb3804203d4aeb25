"""Colours and names of classes for GIS programs: colour table, GDAL side file, QGIS styles.

QGIS prefers a `.qml` to the attribute table, and that to the colour table; GeoPackages hold their
style inside. A colour table knows no transparency, so the background is made transparent by the
other two.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from geoseg.geo.legend import Legend, LegendClass

_QGIS_VERSION = "3.22.0"
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
_OUTLINE = "35,35,35,160"

_COLUMNS = (
    ("Value", 0, 5),
    ("Histogram", 1, 1),
    ("Class", 2, 2),
    ("Red", 0, 6),
    ("Green", 0, 7),
    ("Blue", 0, 8),
    ("Alpha", 0, 9),
)
"""Columns of GDAL's attribute table: name, type (0 integer, 1 real, 2 text), usage."""


def raster_colormap(legend: Legend) -> dict[int, tuple[int, int, int, int]]:
    """The colour table of a class raster of 8 bits; wider ones have none.

    Returns:
        Value (0-255) to red, green, blue, alpha (0-255). `ignore` is transparent.
    """
    colors = {value: (*rgb, 255) for value, rgb in zip(legend.values, legend.colors, strict=True)}
    entries = {**colors, legend.ignore: (0, 0, 0, 0)}
    return {value: color for value, color in entries.items() if value <= 255}


def raster_attribute_xml(legend: Legend, counts: Mapping[int, int] | None = None) -> str:
    """The text of a class raster's `.aux.xml`: category names and attribute table.

    Args:
        legend: The classes.
        counts: Pixels of each value, if they are known.
    """
    return "\n".join(
        [
            '<PAMDataset><PAMRasterBand band="1">',
            *class_elements(legend, counts),
            "</PAMRasterBand></PAMDataset>",
            "",
        ]
    )


def class_elements(legend: Legend, counts: Mapping[int, int] | None = None) -> list[str]:
    """Category names and attribute table, as GDAL has them inside a band's XML.

    Args:
        legend: The classes.
        counts: Pixels of each value, if they are known.
    """
    columns = [
        f'<FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type>'
        f"<Usage>{usage}</Usage></FieldDefn>"
        for index, (name, kind, usage) in enumerate(_COLUMNS)
    ]
    pixels = counts or {}
    rows = [
        f'<Row index="{index}">{_table_row(entry, legend, pixels.get(entry.value, 0))}</Row>'
        for index, entry in enumerate(legend.classes)
    ]
    return [
        *_category_names(legend),
        '<GDALRasterAttributeTable tableType="thematic">',
        *columns,
        *rows,
        "</GDALRasterAttributeTable>",
    ]


def raster_qml(legend: Legend) -> str:
    """The text of a QGIS style for a class raster; `Legend.open` reads it back."""
    entries = [
        f'<paletteEntry value="{entry.value}" label={quoteattr(entry.name)} '
        f'color="{entry.color}" alpha="{_alpha(entry, legend)}"/>'
        for entry in legend.classes
    ]
    return "\n".join(
        [
            _DOCTYPE,
            f'<qgis version="{_QGIS_VERSION}" styleCategories="Symbology"><pipe>',
            '<rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">',
            "<rasterTransparency/>",
            "<colorPalette>",
            *entries,
            "</colorPalette></rasterrenderer>",
            '<brightnesscontrast brightness="0" contrast="0" gamma="1"/>',
            '<huesaturation saturation="0" grayscaleMode="0" colorizeOn="0"/>',
            '<rasterresampler maxOversampling="2"/>',
            "</pipe><blendMode>0</blendMode></qgis>",
            "",
        ]
    )


def polygon_qml(legend: Legend, field: str = "class_id") -> str:
    """The text of a QGIS style for polygons, coloured by the class value in `field`.

    Of the background only outlines are drawn.
    """
    categories = [
        f'<category value="{entry.value}" label={quoteattr(entry.name)} symbol="{index}" '
        'render="true" type="long"/>'
        for index, entry in enumerate(legend.classes)
    ]
    symbols = [
        _fill_symbol(index, (*rgb, _alpha(entry, legend)))
        for index, (entry, rgb) in enumerate(zip(legend.classes, legend.colors, strict=True))
    ]
    return "\n".join(
        [
            _DOCTYPE,
            f'<qgis version="{_QGIS_VERSION}" styleCategories="Symbology">',
            f'<renderer-v2 type="categorizedSymbol" attr={quoteattr(field)}>',
            "<categories>",
            *categories,
            "</categories>",
            "<symbols>",
            *symbols,
            "</symbols>",
            "</renderer-v2>",
            "<blendMode>0</blendMode><featureBlendMode>0</featureBlendMode>",
            "<layerGeometryType>2</layerGeometryType></qgis>",
            "",
        ]
    )


def _alpha(entry: LegendClass, legend: Legend) -> int:
    """The background lets the scene below show through; every other class is opaque."""
    return 0 if entry == legend.background and legend.count > 1 else 255


def _category_names(legend: Legend) -> list[str]:
    """Names by position, from value 0; left out where a high value would make a long list."""
    if max(legend.values) > 255:
        return []
    names = dict(zip(legend.values, legend.names, strict=True))
    listed = [escape(names.get(value, "")) for value in range(max(legend.values) + 1)]
    lines = [f"<Category>{name}</Category>" for name in listed]
    return ["<CategoryNames>", *lines, "</CategoryNames>"]


def _table_row(entry: LegendClass, legend: Legend, count: int) -> str:
    rgb = legend.colors[legend.classes.index(entry)]
    cells = [entry.value, count, escape(entry.name), *rgb, _alpha(entry, legend)]
    return "".join(f"<F>{cell}</F>" for cell in cells)


def _fill_symbol(index: int, rgba: tuple[int, int, int, int]) -> str:
    options = {
        "color": ",".join(str(part) for part in rgba),
        "outline_color": _OUTLINE,
        "outline_style": "solid",
        "outline_width": "0.2",
        "outline_width_unit": "MM",
        "style": "solid",
    }
    inner = "".join(
        f'<Option type="QString" name="{name}" value="{value}"/>' for name, value in options.items()
    )
    return (
        f'<symbol type="fill" name="{index}" alpha="0.7" clip_to_extent="1" force_rhr="0">'
        f'<layer class="SimpleFill" enabled="1" pass="0" locked="0">'
        f'<Option type="Map">{inner}</Option></layer></symbol>'
    )
