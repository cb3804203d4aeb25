"""Styles: what is written is what GDAL and `Legend.open` read."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given
from strategies import legends

from geoseg.geo.legend import Legend
from geoseg.geo.palettes import hex_color, read_side_file
from geoseg.geo.style import polygon_qml, raster_attribute_xml, raster_colormap, raster_qml

LEGEND = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#000000"},
            {"value": 1, "name": 'tile & "slate" <roof>', "color": "#dc1e1e"},
            {"value": 5, "name": "Straße", "color": "#00ff7f"},
        ]
    }
)


def plain(legend):
    return [(c.value, c.name, c.color) for c in legend.classes]


def test_qml_is_read_back(tmp_path):
    path = tmp_path / "a.qml"
    path.write_text(raster_qml(LEGEND), encoding="utf-8")
    assert plain(Legend.open(path)) == plain(LEGEND)
    alphas = [node.get("alpha") for node in ET.parse(path).iter("paletteEntry")]
    assert alphas == ["0", "255", "255"]


def test_style_that_is_no_palette_is_refused(tmp_path):
    path = tmp_path / "a.qml"
    path.write_text(polygon_qml(LEGEND), encoding="utf-8")
    with pytest.raises(Exception, match="holds no palette"):
        Legend.open(path)


def test_attribute_table_is_read_back(tmp_path):
    path = tmp_path / "a.tif.aux.xml"
    path.write_text(raster_attribute_xml(LEGEND, {0: 7, 5: 2}), encoding="utf-8")
    assert [(e.value, e.name, e.color) for e in read_side_file(path)] == plain(LEGEND)
    rows = [[f.text for f in row] for row in ET.parse(path).iter("Row")]
    assert [row[1] for row in rows] == ["7", "0", "2"]
    assert [row[-1] for row in rows] == ["0", "255", "255"]
    names = [node.text or "" for node in ET.parse(path).iter("Category")]
    assert names == ["background", 'tile & "slate" <roof>', "", "", "", "Straße"]


def test_legend_of_a_styled_raster(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"height": 1, "width": 3, "count": 1, "dtype": "uint8", "nodata": 255}
    transform = rasterio.Affine(1, 0, 9, 0, -1, 9)
    with rasterio.open(path, "w", "GTiff", transform=transform, crs="EPSG:3857", **profile) as made:
        made.write_colormap(1, raster_colormap(LEGEND))
        made.write(np.array([[[0, 1, 255]]], np.uint8))
    assert plain(Legend.open(path))[1] == (1, "class_1", "#dc1e1e")
    (tmp_path / "a.tif.aux.xml").write_text(raster_attribute_xml(LEGEND), encoding="utf-8")
    assert plain(Legend.open(path)) == plain(LEGEND)
    with rasterio.open(path) as read:
        assert read.colormap(1)[1] == (0xDC, 0x1E, 0x1E, 255)
        assert read.read().tolist() == [[[0, 1, 255]]]


def test_high_values_have_no_category_names():
    text = raster_attribute_xml(Legend.of_values([0, 60000]))
    assert "<Category" not in text
    assert "<F>60000</F>" in text


def test_polygon_style_names_every_class():
    root = ET.fromstring(polygon_qml(LEGEND).split("\n", 1)[1])
    categories = [(n.get("value"), n.get("label")) for n in root.iter("category")]
    assert categories == [("0", "background"), ("1", 'tile & "slate" <roof>'), ("5", "Straße")]
    colors = [n.get("value") for n in root.iter("Option") if n.get("name") == "color"]
    assert colors == ["0,0,0,0", "220,30,30,255", "0,255,127,255"]
    assert root.find("renderer-v2").get("attr") == "class_id"


@given(legend=legends())
def test_any_legend_is_read_back(legend, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    (folder / "drawn.qml").write_text(raster_qml(legend), encoding="utf-8")
    assert plain(Legend.open(folder / "drawn.qml")) == plain(legend)
    (folder / "drawn.aux.xml").write_text(raster_attribute_xml(legend), encoding="utf-8")
    read = read_side_file(folder / "drawn.aux.xml")
    assert [(e.value, e.name, e.color) for e in read] == plain(legend)
    colors = {value: hex_color(rgba) for value, rgba in raster_colormap(legend).items()}
    colors.pop(legend.ignore, None)
    assert colors == {c.value: c.color for c in legend.classes if c.value <= 255}
