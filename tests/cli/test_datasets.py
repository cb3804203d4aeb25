"""`geoseg datasets` on a small data set of one's own."""

import json
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geoseg.geo.dataset_description import preset_names
from geoseg.geo.tileset import TileSet
from geoseg_cli.main import main

ROOFS = """
title = "Roofs of our town"
labels.encoding = "index"
legend.classes = [{ value = 0, name = "ground" }, { value = 1, name = "roof", from = [255] }]
[splits.train]
images = "train/images/*.png"
labels = "train/masks/{stem}.png"
[splits.val]
images = "val/images/*.png"
labels = "val/masks/{stem}.png"
"""


@pytest.fixture
def roofs(place):
    """`roofs/` and `roofs.toml`, the example of docs/datasets.md, in the folder of the test."""
    (place / "roofs.toml").write_text(ROOFS)
    for split in ("train", "val"):
        for kind, bands in (("images", 3), ("masks", 1)):
            folder = place / "roofs" / split / kind
            folder.mkdir(parents=True)
            data = np.full((bands, 8, 8), 255, np.uint8)
            data[:, :2] = 0
            profile = {"driver": "PNG", "width": 8, "height": 8, "count": bands, "dtype": "uint8"}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(folder / f"{split}1.png", "w", **profile) as dataset:
                    dataset.write(data)
    return place


def run(words, capfd, code=0):
    capfd.readouterr()
    assert main(words.split()) == code
    return capfd.readouterr()


def test_the_list_is_told(capfd):
    lines = run("datasets list", capfd).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == preset_names()
    listed = json.loads(run("datasets list --json", capfd).out)
    assert {d["name"]: d["classes"] for d in listed if d["name"] == "loveda"} == {"loveda": 7}


def test_a_preset_is_shown(capfd):
    out = run("datasets show loveda", capfd).out
    for part in ("LoveDA", "0.3 m", "Train/*/images_png/*.png", "#9f81b7  barren", "255", "2522"):
        assert part in out
    shown = json.loads(run("datasets show loveda --json", capfd).out)
    assert shown["legend"]["classes"][4]["from"] == [5]


def test_the_example_is_checked_and_tiled(roofs, capfd):
    out = run("datasets check roofs.toml roofs", capfd).out
    assert "ground 25.0%, roof 75.0%" in out
    report = json.loads(run("datasets check roofs.toml roofs --json", capfd).out)
    assert report["class_pixels"]["train"] == {"ground": 16, "roof": 48}
    assert report["faults"] == []
    out = run("datasets tile roofs.toml roofs -o new --size 4 --format png -j 1", capfd).out
    assert "8 tiles -> new" in out
    tiles = TileSet.open("new")
    assert (len(tiles.split("train")), len(tiles.split("val"))) == (4, 4)
    described = run("datasets tile roofs.toml roofs -o new --overwrite --json -q", capfd).out
    assert json.loads(described)["tiles"] == {"train": 1, "val": 1, "test": 0}


def test_the_example_is_drawn(roofs, capfd):
    out = run("datasets show roofs.toml roofs --sheet roofs.png", capfd).out
    assert "Roofs of our town" in out
    assert (roofs / "roofs.png").read_bytes().startswith(b"\x89PNG")


def test_faults_are_told_and_end_with_two(roofs, capfd):
    (roofs / "roofs" / "val" / "masks" / "val1.png").unlink()
    told = run("datasets check roofs.toml roofs", capfd, code=2)
    assert "missing label: 1" in told.out
    assert "val/images/val1.png: has no labels: no val/masks/val1.png" in told.out
    assert told.err == "Error: roofs: 1 fault in roofs. Mend them.\n"
    told = run("datasets check roofs.toml roofs --json", capfd, code=2)
    assert [fault["kind"] for fault in json.loads(told.out)["faults"]] == ["missing label"]


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("show lovda", ["lovda"], "Did you mean loveda"),
        ("check loveda nowhere", ["nowhere: does not exist"], "Give the folder that holds LoveDA"),
        ("check loveda scene.tif", ["scene.tif: is a file"], "Give the folder"),
        ("show roofs.toml roofs", ["--sheet"], ""),
        ("show roofs.toml roofs --sheet a.jpg", ["a.jpg"], "Name it .png"),
        ("show roofs.toml tiles --sheet a.png", ["tiles"], "check"),
        ("check no.toml roofs", ["no.toml: does not exist"], "Check the path"),
        ("tile roofs.toml roofs -o tiles", ["tiles: already exists"], "--overwrite"),
        ("tile roofs.toml roofs -o new --size 0", ["--size"], ""),
        ("tile roofs.toml roofs -o new --val-share 0.5", ["a val split of its own"], "out"),
        ("tile roofs.toml roofs -o new --weight sky=1 --method balanced", ["sky"], ""),
        ("tile roofs.toml tiles -o new", ["2 faults: ", "no image of train"], "--skip-faults"),
    ],
)
def test_bad_input_is_refused_in_a_line(roofs, refuse, words, parts, cure):
    refuse(f"datasets {words}", *parts, cure=cure)


def test_a_list_that_leads_out_is_refused(roofs, refuse):
    text = ROOFS.partition("[splits")[0]
    text += '[splits.train]\nlist = "all.txt"\nlist_of = "pairs"\n'
    (roofs / "roofs.toml").write_text(text)
    (roofs / "roofs" / "all.txt").write_text("../scene.tif ../classes.tif\n")
    refuse("datasets check roofs.toml roofs", "all.txt: line 1", "leads out", cure='no ".." in it')
