"""Tables of colours and values against a dictionary asked pixel by pixel."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geoseg.errors import ConfigError, LabelError, LegendError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.recolor import (
    ColorTable,
    IndexTable,
    ignore_color,
    key_name,
    pack,
    pack_rgb,
    tally,
    unpack,
)

LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="background", color="#000000"),
        LegendClass(value=3, name="roof", color="#ff0000"),
        LegendClass(value=7, name="road", color="#00ff00"),
    )
)
COLORS = {0x000000: 0, 0xFF0000: 3, 0x00FF00: 7}
VOID = 0xE0E0C0
SHOWN = np.ones((2, 2), bool)


def test_colors_are_packed_as_they_are_written():
    assert pack((0xE0, 0x10, 0xC0)) == 0xE010C0
    assert unpack(0xE010C0) == (0xE0, 0x10, 0xC0)
    data = np.array([[[1, 255]], [[2, 0]], [[3, 128]]], np.uint8)
    assert pack_rgb(data).tolist() == [[0x010203, 0xFF0080]]
    assert data.tolist() == [[[1, 255]], [[2, 0]], [[3, 128]]]


def test_the_void_of_voc_is_the_color_of_what_is_not_labelled():
    assert unpack(ignore_color(LEGEND)) == (224, 224, 192)
    assert ignore_color(LEGEND, "#808080") == 0x808080


def test_the_color_of_what_is_not_labelled_is_no_class():
    taken = Legend(classes=(LegendClass(value=0, name="a", color="#e0e0c0", sources=("#e0e0c1",)),))
    assert ignore_color(taken) == 0xE0E0C2
    with pytest.raises(LegendError, match="is the colour of a class"):
        ignore_color(taken, "#e0e0c1")


@given(
    arrays.arrays(
        np.uint32, (3, 4), elements=st.sampled_from([*COLORS, VOID, 0x010203, 0xFE0000, 0xFFFFFF])
    ),
    arrays.arrays(bool, (3, 4)),
    st.sampled_from(["refuse", "ignore", "background"]),
)
def test_colors_become_values(keys, valid, unknown):
    table = IndexTable({**COLORS, VOID: 255}, LEGEND, "color", unknown)
    values, lost = table.convert(keys, valid)
    other = 0 if unknown == "background" else 255
    known = {**COLORS, VOID: 255}
    expected, counts = np.full(keys.shape, 255), {}
    for place in np.ndindex(keys.shape):
        key = int(keys[place])
        if valid[place]:
            expected[place] = known.get(key, other)
            if key not in known:
                counts[key] = counts.get(key, 0) + 1
    assert np.array_equal(values, expected)
    assert values.dtype == np.uint8
    assert lost == counts


@given(arrays.arrays(np.uint8, (3, 3, 5)))
def test_nearest_color(data):
    table = IndexTable(COLORS, LEGEND, "color", "nearest")
    values, lost = table.convert(pack_rgb(data), np.ones((3, 5), bool))
    wide = data.astype(float)
    distances = [
        sum((wide[i] - rgb[i]) ** 2 for i in range(3)) for rgb in map(unpack, sorted(COLORS))
    ]
    expected = np.array([COLORS[c] for c in sorted(COLORS)])[np.argmin(distances, axis=0)]
    assert np.array_equal(values, expected)
    assert sum(lost.values()) == sum(key not in COLORS for key in pack_rgb(data).ravel().tolist())


def test_nearest_passes_over_what_is_no_point():
    table = IndexTable({**COLORS, VOID: 255}, LEGEND, "color", "nearest", COLORS)
    values, _ = table.convert(np.array([[0xC0E0C1, VOID], [0xFE0000, 0]]), SHOWN)
    assert values.tolist() == [[7, 255], [3, 0]]


def test_nearest_value():
    table = IndexTable({0: 0, 255: 3}, LEGEND, "value", "nearest")
    values, lost = table.convert(np.array([[0, 127], [128, 254]]), SHOWN)
    assert values.tolist() == [[0, 0], [3, 3]]
    assert lost == {127: 1, 128: 1, 254: 1}


def test_wide_legends():
    classes = tuple(
        LegendClass(value=i, name=str(i), color=f"#{i:06x}", sources=(i,)) for i in range(1000)
    )
    legend = Legend(classes=classes, ignore=65535)
    table = IndexTable({i: i for i in range(1000)}, legend, "value", "ignore")
    values, lost = table.convert(np.array([[0, 999], [255, 1000]], np.uint16), SHOWN)
    assert values.tolist() == [[0, 999], [255, 65535]]
    assert values.dtype == np.uint16
    assert lost == {1000: 1}


def test_unknown_is_refused_with_its_counts():
    table = IndexTable(COLORS, LEGEND, "color")
    with pytest.raises(LabelError) as caught:
        table.refuse({0x010203: 4, 0xABCDEF: 9}, "a.png")
    assert "colours that are not in the legend: #abcdef (9 pixels), #010203 (4" in str(caught.value)
    table.refuse({}, "a.png")
    IndexTable(COLORS, LEGEND, "color", "ignore").refuse({1: 2}, "a.png")


def test_a_photograph_is_not_listed_color_by_color():
    counts = Counter()
    for start in range(0, 1 << 18, 1 << 14):
        tally(counts, dict.fromkeys(range(start, start + (1 << 14)), 2))
    assert counts.total() == 1 << 19
    assert len(counts) < 1 << 17
    assert key_name(max(counts, key=counts.__getitem__), "color") == "others"


def test_background_must_be_there():
    legend = Legend(classes=(LegendClass(value=1, name="a", color="#000000"),))
    with pytest.raises(LegendError, match="no class called background"):
        IndexTable({}, legend, "value", "background")


def test_a_background_with_sources_is_one():
    background = LegendClass(value=2, name="Background", color="#000000", sources=(9,))
    table = IndexTable({}, Legend(classes=(background,)), "value", "background")
    assert table.convert(np.zeros((2, 2), int), SHOWN)[0].tolist() == [[2, 2], [2, 2]]


@given(
    arrays.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 3, 7, 255, 9])),
    arrays.arrays(bool, (3, 4)),
    st.sampled_from(["refuse", "ignore", "background"]),
)
def test_values_become_colors(values, valid, unknown):
    table = ColorTable(LEGEND, VOID, unknown)
    colors, lost = table.convert(values, valid)
    by_value = {value: unpack(color) for color, value in COLORS.items()}
    for place in np.ndindex(values.shape):
        value = int(values[place])
        other = (0, 0, 0) if unknown == "background" and value == 9 else unpack(VOID)
        expected = by_value.get(value, other) if valid[place] else unpack(VOID)
        assert tuple(colors[(slice(None), *place)].tolist()) == expected
    assert lost.get(9, 0) == ((values == 9) & valid).sum()
    assert set(lost) <= {9}


def test_values_to_colors_and_back():
    values = np.array([[0, 3], [7, 255]], np.uint8)
    colors, _ = ColorTable(LEGEND, VOID).convert(values, SHOWN)
    back, lost = IndexTable({**COLORS, VOID: 255}, LEGEND, "color").convert(pack_rgb(colors), SHOWN)
    assert np.array_equal(back, values)
    assert not lost


def test_grays():
    legend = Legend.from_dict(
        {"classes": [{"value": i, "name": str(i), "color": f"#{c}"} for i, c in enumerate(GRAYS)]}
    )
    table = ColorTable(legend, 0x808080, gray=True)
    colors, _ = table.convert(np.array([[0, 1], [1, 255]]), SHOWN)
    assert colors.tolist() == [[[0, 255], [255, 128]]]
    assert table.holds_ignore
    assert not ColorTable(legend, VOID, gray=True).holds_ignore


GRAYS = ["000000", "ffffff"]


def test_what_makes_no_sense():
    with pytest.raises(ConfigError, match="nearest is for colours"):
        ColorTable(LEGEND, VOID, "nearest")
    with pytest.raises(LegendError, match="no gray"):
        ColorTable(LEGEND, VOID, gray=True)
    with pytest.raises(ConfigError, match="refuse, ignore, background, nearest"):
        IndexTable(COLORS, LEGEND, "color", "drop")
    double = Legend.from_dict(
        {"classes": [{"value": i, "name": str(i), "color": "#123456"} for i in (0, 1)]}
    )
    with pytest.raises(LegendError, match="colour of two classes"):
        ColorTable(double, VOID)
