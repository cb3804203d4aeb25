"""Bad input of `relabel` is refused in one line, and leaves nothing behind."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

INDEX = "relabel to-index {} -o out.png --legend legend.toml"
DECODE = "relabel rle-decode table.csv -o out --size 4,5"


@pytest.fixture
def picture(place):
    """`picture("a.png", array)`: an image of those pixels."""

    def make(name, array):
        Image.fromarray(np.asarray(array, np.uint8)).save(place / name)

    return make


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no line"),
        ("a.jpg\t1 2 3\n", "a.jpg: run lengths hold 3 numbers, an odd count"),
        ("a.jpg\t1 2\nb.jpg\t3 x\n", "b.jpg: run lengths hold 'x'"),
        ("a.jpg\t0 2\n", "run `0 2` leaves the 4 x 5 pixels"),
        ("a.jpg\t20 2\n", "run `20 2` leaves"),
        ("a.jpg\t1 3 3 2\n", "run `3 2` overlaps the one before"),
        ("a.jpg\t1 0\n", "run `1 0` is empty"),
        ("a.jpg\t1 2\na.jpg\t5 2\n", "names a.jpg twice (line 2)"),
        ("../a.jpg\t1 2\n", "names '../a.jpg', which is no file name"),
    ],
)
def test_tables(refuse, place, content, told):
    (place / "table.csv").write_text(content)
    refuse(DECODE, told)


def test_table_without_the_header_that_is_named(refuse, place):
    (place / "table.csv").write_text("a.jpg\t1 2\n")
    refuse(f"{DECODE} --name-column file", "has no column 'file'", cure="first two columns")


def test_no_table(refuse, place):
    refuse(DECODE, "table.csv: no such file", cure="Check the path")
    (place / "table.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    refuse(DECODE, "table.csv: is no text")


def test_folder_of_other_things_is_not_replaced(refuse, place):
    (place / "table.csv").write_text("a.jpg\t1 2\n")
    (place / "out").mkdir()
    (place / "out" / "mine.txt").write_text("mine")
    refuse(DECODE, "out: already exists", cure="--overwrite")
    refuse(f"{DECODE} --overwrite", "holds other things, no legend.toml")


def test_unknown_colors(refuse, picture):
    picture("rgb.png", np.full((4, 5, 3), 7))
    refuse(INDEX.format("rgb.png"), "not in the legend: #070707 (20 pixels)", cure="--unknown")


def test_values_above_the_legend(refuse, picture):
    picture("high.png", [[0, 1], [9, 9]])
    refuse(INDEX.format("high.png"), "not in the legend: 9 (2 pixels)", cure="--unknown")
    refuse(
        "relabel to-color high.png -o out.png --legend legend.toml",
        "not in the legend: 9 (2 pixels)",
        cure="--unknown",
    )


def test_wrong_modes(refuse, place, picture):
    picture("rgb.png", np.zeros((4, 5, 3)))
    refuse(f"{INDEX.format('rgb.png')} --by value", "red, green and blue", cure="--by color")
    refuse("relabel to-color rgb.png -o o.png --legend legend.toml", "has colours already")
    Image.fromarray(np.zeros((4, 5), np.float32)).save(place / "f.tif")
    refuse(INDEX.format("f.tif"), "1 bands of float32")
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(place / "a.jpg")
    refuse(INDEX.format("a.jpg"), "compressed by JPEG", cure="--unknown nearest")


def test_ambiguous_masks(refuse, place, picture):
    (place / "legend.toml").write_text(
        '[[classes]]\nvalue = 0\nname = "ground"\ncolor = "#000000"\n'
        '[[classes]]\nvalue = 1\nname = "roof"\ncolor = "#ffffff"\n'
    )
    picture("mask.png", [[0, 255], [255, 0]])
    refuse(INDEX.format("mask.png"), "0, 255 fit the legend both", cure="--by value or --by color")


def test_doubled_stems(refuse, place, picture):
    picture("a.png", [[0]])
    picture("a.bmp", [[0]])
    refuse("relabel to-index a.png a.bmp -o out --legend legend.toml", "same stem")
    refuse(INDEX.format("a.png a.bmp"), "is one file for 2 images", cure="without a suffix")
    refuse("relabel lists a.png a.bmp -o lists", "same stem")


def test_matlab_files(refuse, place):
    (place / "a.mat").write_bytes(b"MATLAB")
    refuse(INDEX.format("a.mat"), "a.mat: is not a MATLAB file")
    savemat(place / "b.mat", {"GTinst": {"Segmentation": np.zeros((3, 4), np.uint8)}})
    refuse(INDEX.format("b.mat"), "b.mat: has 0 arrays", cure="GTinst.Segmentation")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_images(refuse, place, picture, share):
    picture("a.png", np.random.default_rng(0).integers(0, 2, (90, 90)))
    whole = (place / "a.png").read_bytes()
    (place / "a.png").write_bytes(whole[: int(len(whole) * share)])
    refuse(INDEX.format("a.png"), "a.png: is cut short", cure="Restore the file")


def test_votes(refuse, place, picture):
    picture("a.png", [[0, 1], [1, 0]])
    picture("b.png", [[0, 1, 0], [1, 0, 1]])
    refuse("relabel vote a.png -o v.tif", "1 is given", cure="two or more")
    refuse("relabel vote a.png b.png -o v.tif", "b.png: lies on another grid than a.png")
    refuse("relabel vote a.png b.png -o v.tif --weights 1", "1 for 2 rasters")
    refuse("relabel vote a.png ./a.png -o v.tif", "./a.png: is given twice", cure="--weights")
    refuse("relabel vote classes.tif a.png -o v.tif", "lies on another grid")


def test_lists(refuse, picture):
    picture("a.png", [[0]])
    picture("b.png", [[0]])
    refuse("relabel lists a.png b.png -o l", "2 images cannot fill 3 splits")
    refuse("relabel lists a.png b.png -o l --split 1,1,0", "sums to 2")
    refuse("relabel lists a.png b.png -o l --by region", "has no CRS", cure="--by file")
    refuse("relabel lists a.png b.png -o l --split 0.5,0.5,0 --labels none", "does not exist")
