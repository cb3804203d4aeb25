import json
import shutil

import numpy as np
import pytest

from geoseg.errors import TileSetError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.tileset import TileSet, share_columns, tile_paths
from geoseg.tile import TileOptions, tile


@pytest.fixture
def made(make_scene, tmp_path):
    scene = make_scene((2, 64, 64), "a.tif", names=("red", "nir"))
    labels = make_scene(np.arange(64 * 64).reshape(1, 64, 64).astype("uint8") % 3, "labels.tif")
    options = TileOptions(size=16, split=(0.5, 0.25, 0.25))
    return tile([str(scene)], str(labels), tmp_path / "tiles", options)


def edit_card(tiles, **changes):
    file = tiles.root / "tileset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_opens_as_it_was_made(made):
    opened = TileSet.open(made.root)
    assert opened == made
    assert opened.band_names == ("red", "nir")
    assert opened.bands == 2
    assert [t.split for t in opened.tiles] == sorted(
        (t.split for t in opened.tiles), key=["train", "val", "test"].index
    )
    assert len(opened.split("train")) == 8
    assert opened.fingerprint == made.fingerprint


def test_lists_decide_what_is_in_it(made):
    before = made.fingerprint
    names = (made.root / "train.txt").read_text().splitlines()
    (made.root / "train.txt").write_text("\n".join(names[1:]) + "\n\n")
    opened = TileSet.open(made.root)
    assert [t.name for t in opened.split("train")] == names[1:]
    assert opened.fingerprint != before
    (made.root / "val.txt").unlink()
    assert TileSet.open(made.root).split("val") == []


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "..", "a/b", ".hidden", "a\\b", "~", "a b", "x\x00"]
)
def test_names_cannot_lead_out_of_the_folder(made, name):
    with (made.root / "train.txt").open("a") as file:
        file.write(f"{name}\n")
    with pytest.raises(TileSetError):
        TileSet.open(made.root)
    with pytest.raises(TileSetError):
        tile_paths(made.root, name, "tif")


def test_format_cannot_lead_out_of_the_folder(made):
    edit_card(made, format="tif/../../x")
    with pytest.raises(TileSetError, match="format"):
        TileSet.open(made.root)


def test_damage_is_told_in_one_line(made, tmp_path):
    with pytest.raises(TileSetError, match="no tile set"):
        TileSet.open(tmp_path / "nowhere")
    first = made.tiles[0]
    first.image.write_bytes(first.image.read_bytes()[:100])
    with pytest.raises(TileSetError, match=first.image.name):
        made.read_tile(first)
    first.image.unlink()
    with pytest.raises(TileSetError, match="1 images are missing"):
        TileSet.open(made.root)
    (made.root / "index.gpkg").write_bytes(b"no database")
    with pytest.raises(TileSetError, match=r"index\.gpkg"):
        TileSet.open(made.root)
    (made.root / "tileset.json").write_text("{")
    with pytest.raises(TileSetError, match=r"tileset\.json"):
        TileSet.open(made.root)


@pytest.mark.parametrize("key", ["legend", "stats", "bands", "dtype", "nodata", "crs", "sources"])
def test_missing_entries_are_told(made, key):
    card = json.loads((made.root / "tileset.json").read_text())
    del card[key]
    (made.root / "tileset.json").write_text(json.dumps(card))
    with pytest.raises(TileSetError, match=key):
        TileSet.open(made.root)


def test_later_formats_are_refused(made):
    edit_card(made, format_version=2)
    with pytest.raises(TileSetError, match="version 2"):
        TileSet.open(made.root)


def test_unknown_and_double_names_are_refused(made):
    listed = (made.root / "val.txt").read_text()
    (made.root / "val.txt").write_text(listed + "other\n")
    with pytest.raises(TileSetError, match="other"):
        TileSet.open(made.root)
    (made.root / "val.txt").write_text(listed + listed)
    with pytest.raises(TileSetError, match="twice"):
        TileSet.open(made.root)


def test_a_tile_of_another_shape_is_refused(made):
    first, second = made.tiles[:2]
    shutil.copy(second.mask, first.image)
    with pytest.raises(TileSetError, match="expected"):
        made.read_tile(first)


def test_unknown_split_is_refused(made):
    with pytest.raises(TileSetError, match="dev"):
        made.split("dev")


def test_columns_differ_even_for_sqlite():
    classes = tuple(
        LegendClass(value=i, name=name, color="#000000")
        for i, name in enumerate(["tree", "Tree", "road"])
    )
    columns = share_columns(Legend(classes=classes))
    assert columns == ["share_tree_0", "share_Tree_1", "share_road"]
