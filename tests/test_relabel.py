"""The job `relabel` end to end: codings there and back, tables, votes, lists."""

import csv
import itertools
import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from scipy.io import savemat

import geoseg
from geoseg import Legend
from geoseg.errors import ConfigError, LabelError, LegendError, OutputError, SceneError
from geoseg.relabel import (
    ListOptions,
    RelabelOptions,
    RleOptions,
    lists,
    rle_decode,
    rle_encode,
    to_color,
    to_index,
    vote,
)
from geoseg_cli.main import main

LEGEND = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#000000"},
            {"value": 1, "name": "roof", "color": "#ff0000"},
            {"value": 2, "name": "road", "color": "#0000ff"},
        ]
    }
)
MASKS = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#000000"},
            {"value": 1, "name": "building", "color": "#ffffff"},
        ]
    }
)
COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
PLAIN = {"crs": None, "transform": None}


def draw(shape=(60, 70), values=(0, 1, 2), seed=0):
    return np.random.default_rng(seed).choice(values, shape).astype(np.uint8)


def save_png(path, array, palette=None, mode=None):
    image = Image.fromarray(array, mode) if mode else Image.fromarray(array)
    if palette is not None:
        image = image.convert("L")
        image.putpalette(palette)
    image.save(path)
    return str(path)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read().squeeze()


@pytest.mark.parametrize("first", ["png", "tif"])
@pytest.mark.parametrize("second", ["png", "tif"])
def test_values_to_colors_and_back(make_scene, tmp_path, first, second):
    values = draw((700, 600), (0, 1, 2, 255))
    transform = Affine(1.5, 0.25, 400_000, 0.25, -1.5, 5_000_000)
    source = make_scene(values[None], "values.tif", nodata=255, transform=transform)
    colors, back = tmp_path / f"colors.{first}", tmp_path / f"back.{second}"
    result = to_color([str(source)], colors, LEGEND)
    assert result.counts == to_index([str(colors)], back, LEGEND).counts
    assert sum(result.counts.values()) == values.size
    expected = np.append(COLORS, [[224, 224, 192]], axis=0)[np.minimum(values, 3)]
    assert np.array_equal(np.moveaxis(read(colors), 0, -1), expected)
    assert np.array_equal(read(back), values)
    for path in (colors, back):
        with rasterio.open(path) as dataset:
            assert dataset.transform == transform
            assert dataset.crs == rasterio.CRS.from_epsg(32632)
    assert Legend.open(back).colors[:3] == LEGEND.colors


def test_a_place_without_a_crs_is_kept(tmp_path):
    source = save_png(tmp_path / "a.png", COLORS[draw()])
    (tmp_path / "a.pgw").write_text("2\n0\n0\n-2\n500001\n5399999\n")
    to_index([source], tmp_path / "b.png", LEGEND)
    with rasterio.open(tmp_path / "b.png") as dataset:
        assert dataset.transform == Affine(2, 0, 500_000, 0, -2, 5_400_000)
        assert dataset.crs is None


def test_masks_of_0_and_255_are_ambiguous_until_told(tmp_path):
    mask = draw(values=(0, 1))
    source = save_png(tmp_path / "a.png", mask * np.uint8(255))
    with pytest.raises(ConfigError, match="0, 255 fit the legend both as values and as colours"):
        to_index([source], tmp_path / "b.png", MASKS)
    to_index([source], tmp_path / "b.png", MASKS, RelabelOptions(by="color"))
    assert np.array_equal(read(tmp_path / "b.png"), mask)
    to_index([source], tmp_path / "c.png", MASKS, RelabelOptions(by="value"))
    assert np.array_equal(read(tmp_path / "c.png"), mask * np.uint8(255))


def test_grays_in_one_band(tmp_path):
    source = save_png(tmp_path / "a.png", draw(values=(0, 1)))
    to_color([source], tmp_path / "b.png", MASKS, RelabelOptions(gray=True))
    assert np.array_equal(read(tmp_path / "b.png"), read(source) * 255)
    options = RelabelOptions(by="color")
    to_index([str(tmp_path / "b.png")], tmp_path / "c.png", MASKS, options)
    assert np.array_equal(read(tmp_path / "c.png"), read(source))


def test_grays_have_none_for_what_is_not_labelled(tmp_path):
    source = save_png(tmp_path / "a.png", draw(values=(0, 1, 255)))
    with pytest.raises(LabelError, match="pixels that are not labelled, and no gray"):
        to_color([source], tmp_path / "b.png", MASKS, RelabelOptions(gray=True))
    options = RelabelOptions(gray=True, ignore_color="#808080", by="color")
    to_color([source], tmp_path / "b.png", MASKS, options)
    assert sorted(np.unique(read(tmp_path / "b.png"))) == [0, 128, 255]
    to_index([str(tmp_path / "b.png")], tmp_path / "c.png", MASKS, options)
    assert np.array_equal(read(tmp_path / "c.png"), read(source))


def test_one_folder_is_read_in_one_way(tmp_path):
    """A mask without buildings could be both; its neighbour tells."""
    (tmp_path / "in").mkdir()
    save_png(tmp_path / "in" / "a.png", draw(values=(0,)))
    save_png(tmp_path / "in" / "b.png", draw(values=(0, 255)))
    save_png(tmp_path / "in" / "c.png", draw(values=(0, 1, 255)))
    to_index([str(tmp_path / "in")], tmp_path / "out", MASKS)
    for name in ("a", "b", "c"):
        assert np.array_equal(
            read(tmp_path / "out" / f"{name}.png"), read(tmp_path / "in" / f"{name}.png")
        )
    assert Legend.open(tmp_path / "out" / "legend.toml") == MASKS


def test_sources_of_the_legend(tmp_path):
    legend = Legend.from_dict(
        {
            "classes": [
                {"value": 0, "name": "other", "color": "#000000", "from": [7, 9]},
                {"value": 1, "name": "roof", "color": "#ff0000", "from": [3]},
            ]
        }
    )
    source = save_png(tmp_path / "a.png", np.array([[7, 9], [3, 255]], np.uint8))
    to_index([source], tmp_path / "b.png", legend)
    assert read(tmp_path / "b.png").tolist() == [[0, 0], [1, 255]]


def test_palette_in_another_order(tmp_path):
    values = draw()
    palette = COLORS[[2, 0, 1]].ravel().tolist()
    source = save_png(tmp_path / "a.png", values, palette)
    to_index([source], tmp_path / "b.png", LEGEND)
    assert np.array_equal(read(tmp_path / "b.png"), np.array([2, 0, 1])[values])


def test_palette_of_the_legend_is_read_by_value(tmp_path):
    """In a palette that other programs cut short, 255 is as black as the background."""
    values = draw(values=(0, 1, 2, 255))
    source = save_png(tmp_path / "a.png", values, COLORS.ravel().tolist() + [0] * 759)
    to_index([source], tmp_path / "b.png", LEGEND)
    assert np.array_equal(read(tmp_path / "b.png"), values)


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_pascal_voc(tmp_path, mode):
    """Its palette is that of the development kit: the bits of the class, three by three."""
    palette = np.zeros((256, 3), np.uint8)
    for value, bit in itertools.product(range(256), range(24)):
        if value >> bit & 1:
            palette[value, bit % 3] |= 128 >> bit // 3
    values = draw(values=(*range(21), 255))
    image = Image.fromarray(values)
    image.putpalette(palette.ravel().tolist())
    image.convert(mode).save(tmp_path / "a.png")
    to_index([str(tmp_path / "a.png")], tmp_path / "b.png", "voc-2012")
    assert np.array_equal(read(tmp_path / "b.png"), values)


def test_alpha_hides(tmp_path):
    values = draw()
    alpha = draw(values=(0, 255), seed=1)
    source = save_png(tmp_path / "a.png", np.dstack([COLORS[values], alpha]))
    to_index([source], tmp_path / "b.png", LEGEND)
    assert np.array_equal(read(tmp_path / "b.png"), np.where(alpha > 0, values, 255))


def test_sixteen_bits(make_scene, tmp_path):
    classes = [{"value": v, "name": f"c{v}", "color": f"#00{v:04x}"} for v in (0, 300, 1000)]
    legend = Legend.from_dict({"classes": classes})
    values = draw().astype(np.uint16) * 500
    values[values == 500] = 300
    for dtype in ("uint16", "int32", "int16"):
        source = make_scene(values[None].astype(dtype), f"{dtype}.tif")
        to_index([str(source)], tmp_path / f"{dtype}.png", legend)
        assert np.array_equal(read(tmp_path / f"{dtype}.png"), values)
        assert read(tmp_path / f"{dtype}.png").dtype == np.uint16
    to_color([str(tmp_path / "int32.png")], tmp_path / "c.png", legend)
    to_index([str(tmp_path / "c.png")], tmp_path / "d.png", legend)
    assert np.array_equal(read(tmp_path / "d.png"), values)


def test_unknown_colors_are_listed_with_all_their_pixels(tmp_path):
    colors = COLORS[draw((3000, 2000))]
    colors[::3000] = (1, 2, 3)
    colors[-2:] = (9, 9, 9)
    source = save_png(tmp_path / "a.png", colors)
    with pytest.raises(LabelError) as caught:
        to_index([source], tmp_path / "b.png", LEGEND)
    assert "#090909 (4000 pixels), #010203 (2000 pixels)" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("unknown", "becomes"), [("ignore", 255), ("background", 0), ("nearest", 1)]
)
def test_unknown_colors_where_they_are_let_pass(tmp_path, unknown, becomes):
    values = draw(values=(0, 1, 2))
    colors = COLORS[values]
    colors[5:7, 3] = (250, 1, 2)
    source = save_png(tmp_path / "a.png", colors)
    result = to_index([source], tmp_path / "b.png", LEGEND, RelabelOptions(unknown=unknown))
    values[5:7, 3] = becomes
    assert np.array_equal(read(tmp_path / "b.png"), values)
    assert result.unknown == {"#fa0102": 2}


def test_jpeg_is_refused_but_for_nearest(tmp_path, caplog):
    blocks = np.kron(draw((8, 8)), np.ones((32, 32), int))
    Image.fromarray(COLORS[blocks]).save(tmp_path / "a.jpg", quality=90)
    with pytest.raises(LabelError, match="compressed by JPEG, which changes colours"):
        to_index([str(tmp_path / "a.jpg")], tmp_path / "b.png", LEGEND)
    to_index(
        [str(tmp_path / "a.jpg")], tmp_path / "b.png", LEGEND, RelabelOptions(unknown="nearest")
    )
    assert "compressed by JPEG" in caplog.text
    assert (read(tmp_path / "b.png") == blocks).mean() > 0.97


def test_jpeg_inside_a_tiff(make_scene, tmp_path):
    data = np.moveaxis(COLORS[draw((64, 64))], -1, 0)
    for more in ({"photometric": "ycbcr"}, {}):
        source = make_scene(data, "a.tif", compress="jpeg", tiled=True, blockxsize=64,
                            blockysize=64, **more)  # fmt: skip
        with pytest.raises(LabelError, match="JPEG, which changes colours"):
            to_index([str(source)], tmp_path / "b.tif", LEGEND)


def test_matlab_files(tmp_path):
    (tmp_path / "cls").mkdir()
    masks = {name: draw((9, 7 + i), (0, 1, 2, 255)) for i, name in enumerate("ab")}
    for name, mask in masks.items():
        savemat(tmp_path / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": mask}})
    result = to_index(
        [str(tmp_path / "cls")], tmp_path / "out", LEGEND, compare=tmp_path / "compare.png"
    )
    assert result.files == 2
    for name, mask in masks.items():
        with Image.open(tmp_path / "out" / f"{name}.png") as image:
            assert image.mode == "P"
            assert image.getpalette()[:9] == COLORS.ravel().tolist()
            assert np.array_equal(np.array(image), mask)
    with Image.open(tmp_path / "compare.png") as image:
        assert image.size[0] > 600


def test_comparison_shows_both(tmp_path):
    values = np.repeat(np.repeat(draw((4, 5)), 100, 0), 100, 1)
    source = save_png(tmp_path / "a.png", COLORS[values])
    to_index([source], tmp_path / "b.png", LEGEND, compare=tmp_path / "c.png")
    to_color([str(tmp_path / "b.png")], tmp_path / "d.png", LEGEND, compare=tmp_path / "e.png")
    for name in ("c.png", "e.png"):
        with Image.open(tmp_path / name) as image:
            shown = np.array(image.convert("RGB")).reshape(-1, 3)
        for value, color in enumerate(COLORS):
            share = (shown == color).all(1).mean() / (values == value).mean()
            assert 0.4 < share < 1.2  # both pictures fill most of it
    with pytest.raises(OutputError, match="already exists"):
        to_index([source], tmp_path / "f.png", LEGEND, compare=tmp_path / "c.png")
    with pytest.raises(OutputError, match="is the output itself"):
        to_index([source], tmp_path / "f.png", LEGEND, compare=tmp_path / "f.png")


def test_labels_in_the_wrong_mode(make_scene, tmp_path):
    rgb = save_png(tmp_path / "rgb.png", COLORS[draw()])
    with pytest.raises(LabelError, match=r"rgb\.png: has colours already"):
        to_color([rgb], tmp_path / "b.png", LEGEND)
    with pytest.raises(ConfigError, match="red, green and blue"):
        to_index([rgb], tmp_path / "b.png", LEGEND, RelabelOptions(by="value"))
    cases = [((3, 8, 8), "uint16"), ((2, 8, 8), "uint8"), ((1, 8, 8), "float32")]
    for i, (shape, dtype) in enumerate(cases):
        source = make_scene(shape, f"{i}.tif", dtype=dtype)
        with pytest.raises(LabelError, match=f"{shape[0]} bands of {dtype}"):
            to_index([str(source)], tmp_path / "b.png", LEGEND)
    negative = make_scene(np.full((1, 8, 8), -3, np.int16), "n.tif")
    with pytest.raises(LabelError, match=r"no class has: -3 \(64 pixels\)"):
        to_index([str(negative)], tmp_path / "b.png", LEGEND)
    high = make_scene(np.full((1, 8, 8), 9, np.uint8), "h.tif")
    for job in (to_index, to_color):
        with pytest.raises(LabelError, match=r"not in the legend: 9 \(64 pixels\)"):
            job([str(high)], tmp_path / "b.png", LEGEND)


def test_outputs_are_refused_early(tmp_path):
    first = save_png(tmp_path / "a.png", draw())
    (tmp_path / "x").mkdir()
    second = save_png(tmp_path / "x" / "a.png", draw())
    with pytest.raises(OutputError, match="is one file for 2 images"):
        to_index([first, second], tmp_path / "b.png", LEGEND)
    with pytest.raises(SceneError, match="same stem"):
        to_index([first, second], tmp_path / "out", LEGEND)
    with pytest.raises(OutputError, match="not written as"):
        to_index([first], tmp_path / "b.jpg", LEGEND)
    with pytest.raises(OutputError, match="is the input itself"):
        to_index([first], first, LEGEND, RelabelOptions(overwrite=True))
    with pytest.raises(OutputError, match="holds other things"):
        to_index([first], tmp_path / "x", LEGEND, RelabelOptions(overwrite=True))
    with pytest.raises(OutputError, match=r"no legend\.toml|holds the input"):
        to_index([second], tmp_path / "x", LEGEND, RelabelOptions(overwrite=True))


def test_one_bad_image_leaves_no_folder(tmp_path):
    (tmp_path / "in").mkdir()
    save_png(tmp_path / "in" / "a.png", COLORS[draw()])
    save_png(tmp_path / "in" / "b.png", COLORS[draw()] + np.uint8(1))
    with pytest.raises(LabelError, match=r"b\.png: colours"):
        to_index([str(tmp_path / "in")], tmp_path / "out", LEGEND)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_masks_to_a_table_and_back(tmp_path):
    (tmp_path / "masks").mkdir()
    masks = {name: draw((50, 40), (0, 255), i) for i, name in enumerate(("b", "a", "c d"))}
    masks["a"][:] = 0
    for name, mask in masks.items():
        save_png(tmp_path / "masks" / f"{name}.png", mask)
    table = tmp_path / "table.csv"
    assert rle_encode([str(tmp_path / "masks")], table, RleOptions(suffix=".jpg")) == 3
    rows = list(csv.reader(table.read_text().splitlines(), delimiter="\t"))
    assert [row[0] for row in rows] == ["a.jpg", "b.jpg", "c d.jpg"]
    assert rows[0][1] == ""
    options = RleOptions(value=255, size=(50, 40))
    assert rle_decode(table, tmp_path / "out", options) == 3
    for name, mask in masks.items():
        assert np.array_equal(read(tmp_path / "out" / f"{name}.png"), mask)
    again = tmp_path / "again.csv"
    rle_encode([str(tmp_path / "out" / "*.png")], again, RleOptions(suffix=".jpg"))
    assert again.read_bytes() == table.read_bytes()


def test_table_in_the_order_of_a_sample(tmp_path):
    for i, name in enumerate("abc"):
        save_png(tmp_path / f"{name}.png", draw((5, 4), (0, 1), i))
    sample = tmp_path / "sample.csv"
    sample.write_text("c.jpg\t\na.jpg\t\n")
    table = tmp_path / "table.csv"
    rle_encode([str(tmp_path / "*.png")], table, sample=sample)
    assert [line.split("\t")[0] for line in table.read_text().splitlines()] == ["c.jpg", "a.jpg"]
    sample.write_text("z.jpg\t1 2\n")
    with pytest.raises(LabelError, match=r"names 1 images without a mask: z\.jpg"):
        rle_encode([str(tmp_path / "*.png")], tmp_path / "t.csv", sample=sample)


def test_sizes_of_masks_come_from_images(tmp_path):
    (tmp_path / "images").mkdir()
    shapes = {"a": (5, 9), "b": (7, 3)}
    for name, shape in shapes.items():
        Image.fromarray(draw((*shape, 3))).save(tmp_path / "images" / f"{name}.jpg")
    table = tmp_path / "table.csv"
    table.write_text("name,mask\na.jpg,1 45\nb.jpg,21 1\n")
    rle_decode(table, tmp_path / "out", images=tmp_path / "images")
    assert read(tmp_path / "out" / "a.png").shape == shapes["a"]
    assert read(tmp_path / "out" / "a.png").all()
    assert np.argwhere(read(tmp_path / "out" / "b.png")).tolist() == [[6, 2]]


def test_images_that_tell_the_sizes_are_never_replaced(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(draw((5, 9, 3))).save(images / "a.jpg")
    (images / "legend.toml").write_text("")  # as if it were such an output
    table = tmp_path / "table.csv"
    table.write_text("a.jpg\t1 45\n")
    with pytest.raises(OutputError, match="holds the input"):
        rle_decode(table, images, RleOptions(overwrite=True), images=images)
    assert sorted(path.name for path in images.iterdir()) == ["a.jpg", "legend.toml"]


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/tmp/a.jpg", "x/a.jpg", "..\\a.jpg", "..", "C:a.jpg"]
)
def test_names_that_climb_out_are_refused(tmp_path, name):
    table = tmp_path / "table.csv"
    table.write_text(f"{name}\t1 2\n")
    with pytest.raises(LabelError, match="is no file name"):
        rle_decode(table, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_broken_runs_name_the_image(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a.jpg\t1 2\nb.jpg\t3 4 5\n")
    with pytest.raises(LabelError, match=r"b\.jpg: run lengths hold 3 numbers"):
        rle_decode(table, tmp_path / "out")
    table.write_text("a.jpg\t1 2\nA.png\t3 4\n")
    with pytest.raises(LabelError, match="would be one file"):
        rle_decode(table, tmp_path / "out")


def test_masks_of_several_classes_need_a_value(tmp_path):
    source = save_png(tmp_path / "a.png", draw())
    with pytest.raises(LabelError, match="several classes: "):
        rle_encode([source], tmp_path / "t.csv")
    rle_encode([source], tmp_path / "t.csv", RleOptions(value=2))
    rle_decode(tmp_path / "t.csv", tmp_path / "out", RleOptions(size=(60, 70)))
    assert np.array_equal(read(tmp_path / "out" / "a.png"), draw() == 2)
    colored = save_png(tmp_path / "b.png", COLORS[draw()])
    with pytest.raises(LabelError, match="has colours, a mask is gray"):
        rle_encode([colored], tmp_path / "u.csv")
    gray = save_png(tmp_path / "c.png", np.dstack([draw(values=(0, 255))] * 3))
    rle_encode([gray], tmp_path / "u.csv")


def test_vote_over_files(make_scene, tmp_path):
    stack = np.stack([draw((700, 30), (0, 1, 2), i) for i in range(3)])
    hidden = draw((700, 30), (0, 1), 9).astype(bool)
    paths = [str(make_scene(one[None], f"{i}.tif", nodata=255)) for i, one in enumerate(stack[:2])]
    paths.append(str(make_scene(stack[2:], "2.tif", mask=~hidden)))
    result = vote(paths, tmp_path / "v.tif", legend=LEGEND)
    counts = np.stack([((stack == c) & ~np.stack([hidden * 0, hidden * 0, hidden]).astype(bool))
                       .sum(0) for c in range(3)])  # fmt: skip
    expected = np.where(counts.max(0) == 1, stack[0], counts.argmax(0))
    assert np.array_equal(read(tmp_path / "v.tif"), expected)
    assert result.counts == {
        name: int((expected == value).sum()) for value, name in enumerate(LEGEND.names)
    }
    with rasterio.open(tmp_path / "v.tif") as dataset, rasterio.open(paths[0]) as first:
        assert (dataset.crs, dataset.transform) == (first.crs, first.transform)
        assert dataset.nodata == 255
        assert dataset.colormap(1)[1] == (255, 0, 0, 255)
    vote(paths, tmp_path / "w.tif", legend=LEGEND, weights=[1, 5, 1])
    assert np.array_equal(read(tmp_path / "w.tif"), stack[1])


def test_nodata_does_not_vote(make_scene, tmp_path):
    paths = [
        str(make_scene(np.array([[[255, 255, 1]]], np.uint8), "a.tif", nodata=255)),
        str(make_scene(np.array([[[9, 2, 9]]], np.uint8), "b.tif", nodata=9)),
    ]
    vote(paths, tmp_path / "v.tif", legend=LEGEND)
    assert read(tmp_path / "v.tif").tolist() == [255, 2, 1]


def test_votes_that_make_no_sense(make_scene, tmp_path):
    values = draw()[None]
    a = str(make_scene(values, "a.tif"))
    moved = str(make_scene(values, "m.tif", transform=Affine(2, 0, 500_001, 0, -2, 5_400_000)))
    small = str(make_scene(values[:, :-1], "s.tif"))
    other = str(make_scene(values, "o.tif", crs="EPSG:32633"))
    wrong = str(make_scene(values + np.uint8(5), "w.tif"))
    out = tmp_path / "v.tif"
    for path in (moved, small, other):
        with pytest.raises(SceneError, match="lies on another grid than"):
            vote([a, path], out, legend=LEGEND)
    with pytest.raises(LabelError, match=r"w\.tif: values that are not in the legend: 7 \(1412"):
        vote([a, wrong], out, legend=LEGEND)
    with pytest.raises(ConfigError, match="3 for 2 rasters"):
        vote([a, wrong], out, legend=LEGEND, weights=[1, 1, 1])
    with pytest.raises(ConfigError, match="1 is given"):
        vote([a], out, legend=LEGEND)
    with pytest.raises(OutputError, match="is the input itself"):
        vote([a, wrong], a, legend=LEGEND, options=RelabelOptions(overwrite=True))
    assert not out.exists()


def test_legends_of_voters(make_scene, tmp_path):
    plain = [str(make_scene(draw(seed=i)[None], f"{i}.tif")) for i in range(2)]
    plain[1] = str(make_scene(draw(values=(0, 7))[None], "1.tif"))
    vote(plain, tmp_path / "p.tif")
    assert Legend.open(tmp_path / "p.tif").values == (0, 1, 2, 7)
    named = []
    for i, name in enumerate(("roof", "water")):
        legend = Legend.of_values([0, 1, 2], {1: name})
        path = tmp_path / f"n{i}.tif"
        to_index([plain[0]], path, legend)
        named.append(str(path))
    with pytest.raises(LegendError, match='value 1 is "water", elsewhere "roof"'):
        vote(named, tmp_path / "q.tif")
    vote(named, tmp_path / "q.tif", legend=LEGEND)


def test_lists_by_chance(tmp_path):
    for i in range(10):
        save_png(tmp_path / f"{i}.png", draw((4, 4)))
    images = [str(tmp_path / "*.png")]
    dealt = lists(images, tmp_path / "out", ListOptions(split=(0.5, 0.3, 0.2), seed=4))
    found = {s: (tmp_path / "out" / f"{s}.txt").read_text().split() for s in SPLITS}
    assert [len(found[s]) for s in SPLITS] == [5, 3, 2]
    assert sorted(itertools.chain(*found.values())) == [str(i) for i in range(10)]
    assert dealt.by == "file"
    with pytest.raises(OutputError, match="already exists"):
        lists(images, tmp_path / "out")
    lists(images, tmp_path / "out", ListOptions(split=(0.5, 0.5, 0), overwrite=True))
    assert (tmp_path / "out" / "test.txt").read_text() == ""


SPLITS = ("train", "val", "test")


def test_lists_by_region(make_scene, tmp_path):
    for row, col in itertools.product(range(6), range(6)):
        place = Affine(2, 0, 500_000 + 32 * col, 0, -2, 5_400_000 - 32 * row)
        make_scene((1, 16, 16), f"{row}{col}.tif", transform=place)
    options = ListOptions(split=(0.5, 0.25, 0.25), block=32)
    dealt = lists([str(tmp_path / "*.tif")], tmp_path / "out", options)
    assert dealt.by == "region"
    split_of = {
        stem: s for s in SPLITS for stem in (tmp_path / "out" / f"{s}.txt").read_text().split()
    }
    assert len(split_of) == 36
    for row, col in itertools.product(range(0, 6, 2), range(0, 6, 2)):
        assert len({split_of[f"{row + r}{col + c}"] for r in (0, 1) for c in (0, 1)}) == 1
    chance = lists([str(tmp_path / "*.tif")], tmp_path / "f", ListOptions(by="file"))
    assert chance.by == "file"


def test_lists_of_pairs(tmp_path):
    (tmp_path / "masks").mkdir()
    for i in range(3):
        save_png(tmp_path / f"{i}.png", draw((4, 4)))
        save_png(tmp_path / "masks" / f"{i}.png", draw((4, 4)))
    images, labels = [str(tmp_path / "*.png")], str(tmp_path / "masks")
    lists(images, tmp_path / "out", ListOptions(entry="pair"), labels=labels)
    line = (tmp_path / "out" / "val.txt").read_text().split()
    assert line[1] == line[0].replace("/", "/masks/") or line[1].endswith(f"masks/{line[0][-5:]}")
    (tmp_path / "masks" / "1.png").unlink()
    with pytest.raises(LabelError, match="has no labels"):
        lists(images, tmp_path / "out2", labels=labels)
    with pytest.raises(ConfigError, match="--labels"):
        lists(images, tmp_path / "out2", ListOptions(entry="pair"))
    assert not (tmp_path / "out2").exists()


def test_face():
    assert geoseg.relabel.to_index is to_index


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "legend.toml").write_text(LEGEND.to_toml())
    values = draw(values=(0, 1, 2, 255))
    save_png(tmp_path / "a.png", values)

    def run(words, code=0):
        assert main(["relabel", *words.split()]) == code
        return capsys.readouterr()

    run("to-color a.png -o c.png --legend legend.toml --compare d.png")
    assert "roof" in run("to-index c.png -o b.png --legend legend.toml --by auto").out
    assert np.array_equal(read("b.png"), values)
    told = json.loads(
        run("vote a.png b.png -o v.png --weights 2,1 --legend legend.toml --json").out
    )
    assert told["counts"]["ignore"] == (values == 255).sum()
    assert "1 masks" in run("rle-encode a.png -o t.csv --value 1 --suffix .jpg").out
    run("rle-decode t.csv -o masks --size 60,70 --value 255")
    assert np.array_equal(read("masks/a.png"), (values == 1) * 255)
    assert "dealt by file" in run("lists a.png b.png c.png -o l --split 0.4,0.3,0.3").out
    assert run("lists a.png -o l --split 1,0", 2).err.count("\n") == 1
    assert "HEIGHT,WIDTH" in run("rle-decode t.csv -o m --size 5", 2).err
    assert "--unknown" in run("to-index c.png -o e.png --legend legend.toml --unknown x", 2).err
