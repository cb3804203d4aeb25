"""Reading descriptions of data sets: presets and files of one's own."""

import copy
from importlib import resources

import pytest

from geoseg.errors import ConfigError, LegendError
from geoseg.geo.dataset_description import open_description, parse_description, preset_names

GOOD = {
    "title": "Roofs",
    "labels": {"encoding": "index"},
    "legend": {"classes": [{"value": 0, "name": "ground"}, {"value": 1, "name": "roof"}]},
    "splits": {"train": {"images": "images/*.png", "labels": "masks/{stem}.png"}},
}


def changed(path, value):
    tables = copy.deepcopy(GOOD)
    *places, last = path.split(".")
    table = tables
    for place in places:
        table = table[place]
    table[last] = value
    return tables


def test_defaults_are_filled_in():
    description = parse_description(GOOD, "roofs")
    (part,) = description.parts("train")
    assert description.images.bands == ("red", "green", "blue")
    assert (part.name, part.unlabelled, part.only) == ("{stem}", "refuse", ())
    assert description.used_splits == ("train",)
    assert description.encoding_of(part).encoding == "index"


def test_a_part_may_have_an_encoding_of_its_own():
    part = {**GOOD["splits"]["train"], "labels_as": {"encoding": "mat", "variable": "S"}}
    description = parse_description(changed("splits.train", [GOOD["splits"]["train"], part]), "x")
    kinds = [description.encoding_of(each).encoding for each in description.parts("train")]
    assert kinds == ["index", "mat"]


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("titel", "x", ["unknown key titel", "Did you mean title"]),
        ("splits.train.label", "x", ["splits.train.0.label", "Did you mean labels"]),
        ("labels.ignor", [0], ["unknown key labels.ignor", "Did you mean ignore"]),
        ("labels.encoding", "png", ["labels", "index, color, rle, polygons, mat"]),
        ("labels.threshold", 0, ["labels.threshold = 0"]),
        ("labels.ignore", ["#000000"], ["labels.ignore"]),
        ("labels", {"encoding": "color", "ignore": ["black"]}, ["'black' is no colour"]),
        ("labels", {"encoding": "mat"}, ["labels.variable is missing"]),
        ("splits.train.images", "../images/*.png", ["splits.train.0.images", "leads out"]),
        ("splits.train.labels", "/etc/passwd", ["splits.train.0.labels", "leads out"]),
        ("splits.train.labels", "C:\\masks\\{stem}.png", ["leads out"]),
        ("splits.train.list", "a/../../x.txt", ["splits.train.0.list", "leads out"]),
        ("splits.train.labels", "masks/{2}.png", ["{2}", "{1}"]),
        ("splits.train.name", "{name}", ["{name}", "{stem}"]),
        ("splits.train.labels", "m/{.png", ["'m/{.png' holds a brace without its partner"]),
        ("splits.train.labels", "m/{stem}}.png", ["brace without its partner", "{stem}"]),
        ("splits.train.labels", "m/{{stem}}.png", ["brace without its partner"]),
        ("splits.train.labels", "m/{}.png", ["holds {}", "{stem}"]),
        ("splits.train.name", "{stem", ["brace without its partner", "{stem}"]),
        ("splits.train.images", "", ["splits.train.0.images", "is empty"]),
        ("labels", {"encoding": "rle", "key": "{x}"}, ["labels.key", "holds {x}", "{file}"]),
        ("labels", {"encoding": "rle", "key": "{x"}, ["labels.key", "brace without its partner"]),
        ("labels", {}, ["labels.encoding is missing", "index, color, rle, polygons, mat."]),
        ("splits.train.labels_as", {}, ["splits.train.0.labels_as.encoding is missing"]),
        ("splits.train", {"labels": "m/{stem}.png"}, ["images is missing"]),
        ("splits", {}, ["splits", "[splits.train]"]),
        ("roots", [".."], ["roots", "leads out"]),
        ("images", {"bands": ["red", "red"]}, ["images.bands", "a name of its own"]),
        ("images", {"resolution": -1}, ["images.resolution"]),
    ],
)
def test_wrong_keys_and_values_are_named(path, value, parts):
    with pytest.raises(ConfigError) as error:
        parse_description(changed(path, value), "roofs")
    assert [part for part in parts if part not in str(error.value)] == []
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    # a path with ".." may be quoted, but no sentence ends in more than its full stop
    assert not text.endswith("..")
    assert "= ." not in text
    assert "without." not in text


def test_a_wrong_legend_is_told_with_the_file():
    with pytest.raises(LegendError, match=r"^mine: .*no classes"):
        parse_description(changed("legend", {"classes": []}), "x", subject="mine")


def test_files_of_ones_own_are_read_by_path(tmp_path):
    file = tmp_path / "roofs.toml"
    file.write_text(
        'title = "Roofs"\nlabels.encoding = "index"\n'
        '[legend]\nclasses = [{ value = 0, name = "a" }]\n[splits.train]\nimages = "*.png"\n'
    )
    assert open_description(file).name == "roofs"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"title = ", "is not valid TOML"), (b"\xff\xfe", "is not UTF-8")],
)
def test_files_that_are_no_toml_are_refused(tmp_path, content, problem):
    file = tmp_path / "roofs.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        open_description(file)


def test_what_is_not_there_is_told():
    with pytest.raises(ConfigError, match=r"no.toml: does not exist"):
        open_description("./no.toml")
    with pytest.raises(ConfigError, match="Did you mean loveda"):
        open_description("lovda")


def test_names_of_presets_are_taken_in_any_manner():
    assert open_description("LoveDA").name == "loveda"
    assert open_description("whu_building").name == open_description("WHU-Building").name


@pytest.mark.parametrize("name", preset_names())
def test_presets_tell_where_they_come_from(name):
    description = open_description(name)
    assert description.about.page.startswith("http")
    assert description.about.sources
    assert description.parts("train")


def test_presets_lie_in_the_package():
    files = [e.name for e in (resources.files("geoseg") / "presets").iterdir()]
    assert "loveda.toml" in files
    assert [f for f in files if not f.endswith(".toml") and f != "__pycache__"] == []
