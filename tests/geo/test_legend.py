"""Legends: what is refused, what is read, and that encoding is undone by decoding."""

from __future__ import annotations

import pickle
import tomllib

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from strategies import legends

from geoseg.errors import LabelError, LegendError
from geoseg.geo.legend import Legend, LegendClass

TOML = """
ignore = 255
[[classes]]
value = 0
name = "background"
color = "#000000"
[[classes]]
value = 1
name = "building"
color = "#E6194B"
from = ["yes", "house", 7]
[[classes]]
value = 9
name = 'tree "big"'
"""


@pytest.fixture
def legend() -> Legend:
    return Legend.from_dict(tomllib.loads(TOML))


def write_raster(path, data, colormap=None, nodata=None):
    profile = {"driver": "GTiff", "height": data.shape[0], "width": data.shape[1], "count": 1}
    transform = rasterio.Affine(1, 0, 500000, 0, -1, 4000000)
    with rasterio.open(
        path, "w", dtype=data.dtype, nodata=nodata, crs="EPSG:32632", transform=transform, **profile
    ) as dataset:
        if colormap:
            dataset.write_colormap(1, colormap)
        dataset.write(data, 1)
    return path


def test_toml_is_read_as_written(legend):
    assert legend.values == (0, 1, 9)
    assert legend.names == ("background", "building", 'tree "big"')
    assert legend.colors[1] == (0xE6, 0x19, 0x4B)
    assert legend.classes[1].sources == ("yes", "house", 7)
    assert (legend.ignore, legend.dtype, legend.count) == (255, "uint8", 3)
    assert legend.background == legend.classes[0]
    assert legend.foreground == legend.classes[1:]


def test_round_trips(legend, tmp_path):
    path = tmp_path / "legend.toml"
    path.write_text(legend.to_toml(), encoding="utf-8")
    assert Legend.open(path) == legend
    assert Legend.from_dict(legend.to_dict()) == legend
    assert pickle.loads(pickle.dumps(legend)) == legend


@given(legend=legends(), data=st.data())
def test_any_legend_makes_the_round_trips(legend, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "drawn.toml"
    path.write_text(legend.to_toml(), encoding="utf-8")
    assert Legend.open(path) == legend
    assert Legend.from_dict(legend.to_dict()) == legend
    known = st.sampled_from([*legend.values, legend.ignore])
    mask = np.array(data.draw(st.lists(known, min_size=1, max_size=9)), np.uint16)
    indices = legend.encode(mask)
    np.testing.assert_array_equal(legend.decode(indices), mask)
    places = [legend.values.index(v) if v != legend.ignore else legend.ignore_index for v in mask]
    assert indices.tolist() == places


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64"])
def test_encode_and_decode(legend, dtype):
    mask = np.array([[0, 1, 9], [255, 9, 0]], dtype)
    indices = legend.encode(mask)
    assert indices.tolist() == [[0, 1, 2], [255, 2, 0]]
    assert indices.dtype == np.uint8
    assert legend.decode(indices).tolist() == mask.tolist()
    assert legend.decode(indices).dtype == np.uint8


@pytest.mark.parametrize("bad", [2, 254, -1, 65536 + 9])
def test_encode_refuses_unknown_values_with_counts(legend, bad):
    mask = np.array([[0, bad, bad]], np.int64)
    with pytest.raises(LabelError, match=rf"{bad} \(2 pixels\)"):
        legend.encode(mask)


def test_wide_legend_is_uint16():
    legend = Legend.of_values(range(300))
    assert (legend.dtype, legend.ignore, legend.ignore_index) == ("uint16", 65535, 65535)
    mask = np.array([0, 299, 65535], np.uint16)
    assert legend.encode(mask).tolist() == [0, 299, 65535]
    assert legend.decode(legend.encode(mask)).tolist() == mask.tolist()
    assert len(set(legend.colors)) == 300


def test_value_255_needs_another_ignore():
    tables = [{"value": 255, "name": "snow"}]
    assert Legend.from_dict({"classes": tables}).ignore == 65535
    assert Legend.from_dict({"classes": tables}).dtype == "uint16"
    with pytest.raises(LegendError, match='also the value of class "snow"'):
        Legend.from_dict({"ignore": 255, "classes": tables})


def test_check_names_values_and_counts(legend):
    legend.check({0: 5, 255: 3, 9: 1}, "mask.tif")
    with pytest.raises(LabelError, match=r"mask.tif: .*7 \(40 pixels\), 3 \(2 pixels\)"):
        legend.check({3: 2, 7: 40, 1: 1}, "mask.tif")


def test_class_of(legend):
    assert legend.class_of("building").value == 1
    assert legend.class_of(9).name == legend.class_of("9").name == 'tree "big"'
    with pytest.raises(LegendError, match="0 background, 1 building"):
        legend.class_of("bilding")


BAD = {
    "double value": ('[[classes]]\nvalue=1\nname="a"\n[[classes]]\nvalue=1\nname="b"', "value 1"),
    "double name": ('[[classes]]\nvalue=1\nname="a"\n[[classes]]\nvalue=2\nname="a"', "name 'a'"),
    "colour": ('[[classes]]\nvalue=1\nname="a"\ncolor="red"', '"red" is no colour'),
    "colour type": ('[[classes]]\nvalue=1\nname="a"\ncolor=3', "3 is no colour"),
    "ignore": ('ignore=1\n[[classes]]\nvalue=1\nname="a"', "ignore = 1 is also"),
    "negative": ('[[classes]]\nvalue=-1\nname="a"', "is -1"),
    "too large": ('[[classes]]\nvalue=65535\nname="a"', "is 65535"),
    "fraction": ('[[classes]]\nvalue=1.5\nname="a"', "is 1.5"),
    "truth": ('[[classes]]\nvalue=true\nname="a"', "is True"),
    "no name": ("[[classes]]\nvalue=1", "has no name"),
    "empty name": ('[[classes]]\nvalue=1\nname=" "', "no readable name"),
    "no classes": ("ignore = 3", "has no classes"),
    "class key": ('[[classes]]\nvalue=1\nname="a"\ncolour="#ffffff"', 'Did you mean "color"'),
    "top key": ('ignored = 3\n[[classes]]\nvalue=1\nname="a"', 'Did you mean "ignore"'),
    "from": ('[[classes]]\nvalue=1\nname="a"\nfrom="x"', "is no list"),
    "from inside": ('[[classes]]\nvalue=1\nname="a"\nfrom=[["x"]]', "List text or numbers"),
    "from twice": (
        '[[classes]]\nvalue=1\nname="a"\nfrom=[3]\n[[classes]]\nvalue=2\nname="b"\nfrom=[3]',
        '3 means both "a" and "b"',
    ),
    "from is a name": (
        '[[classes]]\nvalue=1\nname="a"\nfrom=["b"]\n[[classes]]\nvalue=2\nname="b"',
        "'b' means both",
    ),
    "syntax": ("[[classes", "is not TOML"),
    "not tables": ("classes = [1]", "classes is no list"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_toml_is_refused_in_one_line(text, message, tmp_path):
    path = tmp_path / "legend.toml"
    path.write_text(text)
    with pytest.raises(LegendError) as caught:
        Legend.open(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(LegendError, match="does not exist"):
        Legend.open(tmp_path / "none.toml")


def test_colour_table_of_a_raster_tells_the_values_that_occur(tmp_path):
    data = np.array([[0, 3], [3, 200]], np.uint8)
    table = {0: (0, 0, 0, 255), 3: (10, 20, 30, 255), 7: (9, 9, 9, 255), 200: (1, 2, 3, 255)}
    legend = Legend.open(write_raster(tmp_path / "a.tif", data, table, nodata=200))
    assert legend.values == (0, 3)
    assert legend.names == ("background", "class_3")
    assert legend.classes[1].color == "#0a141e"


def test_raster_without_colours_is_no_legend(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((2, 2), np.uint8))
    with pytest.raises(LegendError, match="neither a colour table nor names"):
        Legend.open(path)
    broken = tmp_path / "b.tif"
    broken.write_bytes(b"not a raster")
    with pytest.raises(LegendError, match=r"b\.tif: is not a raster"):
        Legend.open(broken)


def test_category_names_take_colours_from_the_table(tmp_path):
    path = write_raster(
        tmp_path / "a.tif", np.ones((2, 2), np.uint8), {1: (255, 0, 0, 255), 2: (0, 0, 255, 255)}
    )
    (tmp_path / "a.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category></Category>'
        "<Category>road</Category><Category>sea &amp; lake</Category></CategoryNames>"
        "</PAMRasterBand></PAMDataset>"
    )
    legend = Legend.open(path)
    assert [(c.value, c.name, c.color) for c in legend.classes] == [
        (1, "road", "#ff0000"),
        (2, "sea & lake", "#0000ff"),
    ]


def test_doubled_names_get_their_value():
    legend = Legend.of_values([1, 2, 3], names={1: "field", 2: "field", 3: "wood"})
    assert legend.names == ("field_1", "field_2", "wood")


def test_class_colour_is_lower_case():
    assert LegendClass(value=1, name="a", color="#ABCDEF").color == "#abcdef"


def test_entities_in_a_style_are_refused(tmp_path):
    path = tmp_path / "a.qml"
    path.write_text('<!DOCTYPE q [<!ENTITY a "b">]><qgis>&a;</qgis>')
    with pytest.raises(LegendError, match="is not a style"):
        Legend.open(path)


def test_a_data_set_has_a_legend(tmp_path):
    legend = Legend.open("LoveDA")
    assert legend.names[:2] == ("background", "building")
    assert legend.class_of("building").sources == (2,)
    file = tmp_path / "mine.toml"
    file.write_text('title = "x"\n[legend]\nignore = 9\nclasses = [{ value = 0, name = "a" }]\n')
    assert Legend.open(file).ignore == 9


def test_names_lead_to_presets_only():
    for name in ("../presets/loveda", "presets/loveda", "loveda.toml", "nowhere", ""):
        with pytest.raises(LegendError):
            Legend.open(name)


def test_a_file_comes_before_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_raster(tmp_path / "loveda", np.zeros((2, 2), np.uint8), {0: (1, 2, 3, 255)})
    assert Legend.open("loveda").colors == [(1, 2, 3)]
