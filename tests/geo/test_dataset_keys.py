"""A legend that does not suit the labels is told when the description is read, with its file."""

import pytest

from geoseg.errors import LegendError
from geoseg.geo.dataset_description import parse_description

INDEX, COLOR = {"encoding": "index"}, {"encoding": "color"}
INDEX_CUT, COLOR_CUT = INDEX | {"threshold": 128}, COLOR | {"threshold": 128}
MAT, RLE = {"encoding": "mat", "variable": "S"}, {"encoding": "rle"}
ONE_KIND, KINDS = {"encoding": "polygons"}, {"encoding": "polygons", "field": "kind"}


def read(labels, sources=None, more=None, *, color="#ff0000", **others):
    roof = {"value": 1, "name": "roof", "color": color}
    roof |= {} if sources is None else {"from": sources}
    classes = [{"value": 0, "name": "ground"}, roof, *(more or [])]
    part = {"images": "i/*.png", "labels": "m/{stem}.png"}
    tables = {
        "title": "x",
        "labels": labels,
        "legend": {"classes": classes},
        "splits": {"train": part, **others},
    }
    return parse_description(tables, "x", subject="my/roofs.toml")


@pytest.mark.parametrize(
    ("labels", "sources"),
    [
        (INDEX, None),
        (INDEX, [7, "8", 9.0]),
        (INDEX_CUT, [255]),
        (MAT, [7]),
        (COLOR, None),
        (COLOR, ["#00ff00"]),
        (COLOR_CUT, ["#00ff00"]),
        (RLE, None),
        (ONE_KIND, None),
        (KINDS, ["house", 7, 0.5, "#ff0000"]),
    ],
    ids=str,
)
def test_what_labels_may_hold_is_taken(labels, sources):
    assert read(labels, sources).legend.names == ("ground", "roof")


@pytest.mark.parametrize(
    ("labels", "sources", "parts"),
    [
        (INDEX, ["house"], ["'house'", '"index" cannot hold', "List whole numbers"]),
        (INDEX, ["#ff0000"], ["'#ff0000'", "List whole numbers"]),
        (INDEX, [1.5], ["1.5", "List whole numbers"]),
        (INDEX_CUT, [1], ["lists 1,", "List 0 or 255"]),
        (INDEX_CUT, None, ['no label can mean class "roof"', "List 0 or 255"]),
        (MAT, ["house"], ["'house'", '"mat" cannot hold']),
        (COLOR, [7], ["lists 7,", '"color" cannot hold', 'List colours ("#rrggbb")']),
        (COLOR_CUT, ["#00fe00"], ["'#00fe00'", "of 0 and 255"]),
        (RLE, [7], ["lists 7,", '"rle" cannot hold', "Leave `from` out"]),
        (ONE_KIND, ["house"], ["'house'", '"polygons" cannot hold', "Leave `from` out"]),
    ],
    ids=str,
)
def test_what_labels_cannot_hold_is_refused(labels, sources, parts):
    with pytest.raises(LegendError) as error:
        read(labels, sources)
    text = str(error.value)
    assert text.startswith("my/roofs.toml: ")
    assert [part for part in parts if part not in text] == []
    assert ".." not in text.removeprefix("my/")


def test_a_colour_that_the_threshold_takes_away_is_refused():
    assert read(COLOR, color="#ff8000").legend.count == 2
    with pytest.raises(LegendError, match=r'^my/roofs.toml: no label can mean class "roof"'):
        read(COLOR_CUT, color="#ff8000")


def test_an_entry_for_either_of_two_encodings_is_taken():
    val = {"images": "v/*.png", "labels": "m/{stem}.png", "labels_as": COLOR}
    assert read(INDEX, [7, "#00ff00"], val=val).legend.count == 2
    with pytest.raises(LegendError, match='encoding "color" and "index" cannot hold'):
        read(INDEX, ["house"], val=val)
    # images without labels have no encoding
    with pytest.raises(LegendError, match="'#00ff00'"):
        read(INDEX, ["#00ff00"], test={"images": "t/*.png", "labels_as": COLOR})


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (INDEX | {"ignore": [1]}, '`ignore` of the labels lists 1, which also means class "roof"'),
        (COLOR | {"ignore": ["#000000"]}, 'lists #000000, which also means class "ground"'),
        (RLE, "run lengths tell one class from background"),
        (ONE_KIND, "polygons may be any of 3 classes .*field of \\[labels\\]"),
        (COLOR, "#ff0000 is the colour of two classes"),
    ],
    ids=str,
)
def test_contradictions_are_told_with_the_file(labels, problem):
    wall = {"value": 2, "name": "wall", "color": "#0000ff" if "ignore" in labels else "#ff0000"}
    with pytest.raises(LegendError, match=f"^my/roofs.toml: .*{problem}"):
        read(labels, more=[wall])
