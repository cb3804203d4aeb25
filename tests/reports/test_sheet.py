"""Contact sheets: which tiles are shown, and that classes and bands are drawn as they are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_sets import make_tiles

from geoseg.errors import ConfigError, OutputError, TileSetError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.stats import BandStats
from geoseg.geo.tileset import TileSet
from geoseg.reports.sheet import Sheet, SheetTile, choose_tiles, draw_sheet, draw_tileset_sheet

GEOSEG = Path(sys.executable).with_name("geoseg")
LEGEND = Legend(
    classes=(
        LegendClass(value=1, name="land", color="#11cc22"),
        LegendClass(value=4, name="water", color="#2233dd"),
        LegendClass(value=9, name="never seen", color="#dd22aa"),
    )
)


def make_sheet(*, sides=(30, 50), bands=3, legend=LEGEND, **more):
    tiles = []
    for place, side in enumerate(sides):
        mask = np.full((side, side), 1, np.uint8)
        mask[:, side // 2 :] = 4
        mask[: side // 3] = 255
        image = np.random.default_rng(place).integers(0, 999, (bands, side, side))
        valid = np.ones((side, side), bool)
        tiles.append(SheetTile(name=f"tile {place}", image=image, valid=valid, mask=mask))
    counts = {"train": {"land": 700, "water": 300}, "val": {"land": 10}, "test": {}}
    return Sheet(title="A set", tiles=tiles, legend=legend, class_counts=counts, **more)


def colors_of(path):
    with Image.open(path) as picture:
        return {color: count for count, color in picture.convert("RGB").getcolors(1 << 24)}


def stats_of(bands):
    values = np.arange(bands) + 1.0
    return BandStats(
        count=(5,) * bands, mean=tuple(values), std=tuple(values / 3), min=tuple(values - 1),
        max=tuple(values + 5), p2=tuple(values - 0.5), p98=tuple(values + 3),
    )  # fmt: skip


def test_masks_and_legend_have_the_colours_of_the_classes(tmp_path):
    colors = colors_of(draw_sheet(make_sheet(stats=stats_of(3)), tmp_path / "sheet.png"))
    land, water, unseen = (colors[color] for color in LEGEND.colors)
    assert land > 5000
    assert water > 5000
    assert 20 < unseen < 400  # in the legend alone


@pytest.mark.parametrize("bands", [1, 2, 13, 224])
def test_any_bands_are_drawn_and_many_of_them_do_not_make_it_endless(tmp_path, bands):
    sheet = make_sheet(bands=bands, stats=stats_of(bands), band_names=("",) * bands)
    with Image.open(draw_sheet(sheet, tmp_path / "sheet.png")) as picture:
        assert picture.width == 1500
        assert picture.height < 1300


def test_of_many_classes_the_most_common_are_listed(tmp_path):
    classes = tuple(
        LegendClass(value=value, name=f"class {value}", color=f"#{value:02x}8040")
        for value in range(1, 151)
    )
    legend = Legend(classes=classes)
    sheet = make_sheet(legend=legend)
    counts = {"all": {entry.name: entry.value for entry in classes}}
    many = Sheet(title="Many", tiles=sheet.tiles, legend=legend, class_counts=counts)
    colors = colors_of(draw_sheet(many, tmp_path / "sheet.png"))
    assert (150, 0x80, 0x40) in colors
    assert (90, 0x80, 0x40) not in colors


def test_tiles_without_bands_statistics_or_counts_are_drawn(tmp_path):
    sheet = Sheet(title="", tiles=[], legend=LEGEND, class_counts={})
    assert draw_sheet(sheet, tmp_path / "sheet.png").is_file()


def test_each_class_and_each_split_is_shown(tmp_path):
    labels = np.full((64, 64), 1)
    labels[50:54, 50:54] = 4  # one tile alone
    tiles = TileSet.open(make_tiles(tmp_path, labels=labels, split=(0.5, 0.25, 0.25)))
    shown = choose_tiles(tiles, 4)
    assert len(shown) == 4
    assert any(tile.class_shares[1] for tile in shown)
    assert {tile.split for tile in shown} == {"train", "val", "test"}
    assert len({tile.name for tile in choose_tiles(tiles, 10)}) == 10
    assert choose_tiles(tiles, 99) == list(tiles.tiles)
    assert len(choose_tiles(tiles, 1)) == 1


@pytest.mark.parametrize("format_", ["tif", "npy"])
def test_the_command_draws_a_tile_set(tmp_path, format_):
    root = make_tiles(tmp_path, format_=format_)
    words = [GEOSEG, "info", root, "--sheet", tmp_path / "sheet.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tileset" in done.stdout
    colors = colors_of(tmp_path / "sheet.png")
    assert colors[(0, 255, 0)] > 5000
    assert colors[(0, 0, 255)] > 5000
    again = subprocess.run(words, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_what_cannot_be_drawn_is_refused(tmp_path):
    root = make_tiles(tmp_path)
    with pytest.raises(OutputError, match=r"written as \"\.jpg\""):
        draw_tileset_sheet(root, tmp_path / "sheet.jpg")
    with pytest.raises(ConfigError, match="count: is 0"):
        draw_tileset_sheet(root, tmp_path / "sheet.png", count=0)
    with pytest.raises(TileSetError, match="is no tile set"):
        draw_tileset_sheet(tmp_path, tmp_path / "sheet.png")
    words = [GEOSEG, "info", root, root, "--sheet", tmp_path / "sheet.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "one PATH" in done.stderr
