"""LoveDA: land cover in two kinds of landscape, masks with 0 for no data."""

import numpy as np
import pytest

from geoseg.geo.dataset_description import open_description

MASK = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
VALUES = np.array([[255, 0, 1, 2], [3, 4, 5, 6]])


@pytest.fixture
def loveda(layout):
    for split, kind, name in (("Train", "Rural", 0), ("Train", "Urban", 1), ("Val", "Rural", 2)):
        layout.image(f"{split}/{kind}/images_png/{name}.png", (3, 2, 4))
        layout.index(f"{split}/{kind}/masks_png/{name}.png", MASK)
    layout.image("Test/Urban/images_png/3.png", (3, 2, 4))
    return layout


def test_classes_are_the_published_ones():
    description = open_description("loveda")
    assert description.legend.count == 7  # arXiv 2110.08733
    assert description.legend.ignore == 255
    parts = description.splits.train + description.splits.val
    assert [part.pairs for part in parts] == [2522, 1669]


def test_all_of_it_is_found(loveda, check):
    report = check("loveda")
    assert report.faults == ()
    assert report.pairs == {"train": 2, "val": 1, "test": 0}
    assert report.unlabelled["test"] == 1
    assert set(report.class_pixels["train"].values()) == {2}
    assert report.ignored == {"train": 2, "val": 1, "test": 0}


def test_splits_and_values_reach_the_tiles(loveda, tile, masks):
    tiles = tile("loveda", size=4)
    assert tiles.legend.count == 7
    assert tiles.band_names == ("red", "green", "blue")
    assert tiles.resolution == 0.3
    train, val = masks(tiles, "train"), masks(tiles, "val")
    assert [name for name, _, _ in train] == ["0", "1"]
    assert [name for name, _, _ in val] == ["2"]
    for mask in (*train.values(), *val.values()):
        np.testing.assert_array_equal(mask, VALUES)
