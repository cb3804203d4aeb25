"""What `relabel` leaves behind: a map and its picture together, or neither."""

import importlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from geoseg import Legend
from geoseg.errors import ConfigError, WorkError
from geoseg.relabel import RelabelOptions, to_color, to_index

LEGEND = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#000000"},
            {"value": 1, "name": "roof", "color": "#ff0000"},
            {"value": 2, "name": "road", "color": "#0000ff"},
        ]
    }
)
COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
NAMED = [(0, "#010203"), (1, "#a0b0c0"), (2, "#405060")]
VALUES = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)


def save(path, array):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)
    return str(path)


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path):
    return save(tmp_path / "in" / "a.png", COLORS[VALUES])


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def break_drawing(monkeypatch):
    def fail(*_):
        raise WorkError("picture", "cannot be drawn")

    monkeypatch.setattr(importlib.import_module("geoseg.relabel"), "draw_comparisons", fail)


@pytest.mark.parametrize("name", ["b.png", "b.tif", "b"])
@pytest.mark.parametrize("work", [to_index, to_color])
def test_a_picture_that_fails_leaves_no_map(source, out, monkeypatch, name, work):
    if work is to_color:
        source = save(out.parent / "in" / "v.png", VALUES)
    break_drawing(monkeypatch)
    with pytest.raises(WorkError, match="cannot be drawn"):
        work([source], out / name, LEGEND, compare=out / "c.png")
    assert names(out) == []


def test_a_picture_that_fails_leaves_the_old_map(source, out, monkeypatch):
    to_index([source], out / "b.tif", LEGEND)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    break_drawing(monkeypatch)
    other = save(out.parent / "in" / "z.png", COLORS[0 * VALUES])
    options = RelabelOptions(overwrite=True)
    with pytest.raises(WorkError, match="cannot be drawn"):
        to_index([other], out / "b.tif", LEGEND, options, compare=out / "c.png")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("name", ["b.png", "b.tif"])
def test_a_map_and_its_picture(source, out, name):
    to_index([source], out / name, LEGEND, compare=out / "c.png")
    assert {name, "c.png"} <= set(names(out))
    assert not [file for file in names(out) if file.startswith(".")]
    assert np.array_equal(read(out / name), VALUES)
    assert read(out / "c.png").shape[0] > 200


def test_a_folder_with_its_legend_becomes_colours(out, tmp_path):
    legend = Legend.from_dict(
        {"ignore": 9, "classes": [{"value": v, "name": f"n{v}", "color": c} for v, c in NAMED]}
    )
    colors = np.array([list(bytes.fromhex(color[1:])) for _, color in NAMED], np.uint8)
    source = save(tmp_path / "in" / "a.png", colors[VALUES])
    to_index([source], out / "index", legend)
    for given in (str(out / "index"), str(out / "index" / "a.png")):
        result = to_color([given], out / "back.png", options=RelabelOptions(overwrite=True))
        assert set(result.counts) == {"n0", "n1", "n2"}
        assert np.array_equal(read(out / "back.png"), read(source))
    # images of several folders have no one legend beside them
    other = save(tmp_path / "other" / "b.png", VALUES)
    result = to_color([other, str(out / "index" / "a.png")], out / "c")
    assert "n1" not in result.counts


@pytest.mark.parametrize("work", [to_index, to_color])
@pytest.mark.parametrize("name", ["v.png", "v.tif", "v.mat"])
def test_a_crs_that_is_none_is_refused(tmp_path, out, work, name, make_scene):
    if name == "v.mat":
        savemat(tmp_path / name, {"S": VALUES})
    else:
        make_scene(VALUES[None], name, driver="PNG" if name == "v.png" else "GTiff", crs=None)
    with pytest.raises(ConfigError, match="'nonsense' is no CRS"):
        work([str(tmp_path / name)], out / "b.png", LEGEND, RelabelOptions(assume_crs="nonsense"))
    assert names(out) == []
