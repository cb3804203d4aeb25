"""Contact sheets of data sets on disk."""

import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from geoseg.errors import LabelError, OutputError
from geoseg.geo.dataset_description import parse_description
from geoseg.reports import dataset_sheet
from geoseg.reports.dataset_sheet import draw_dataset_sheet

TABLES = {
    "title": "Roofs",
    "labels": {"encoding": "index"},
    "legend": {"classes": [{"value": 0, "name": "ground"}, {"value": 1, "name": "roof"}]},
    "splits": {
        split: {"images": f"{split}/*.png", "labels": "masks/{stem}.png"}
        for split in ("train", "val")
    },
}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = data.shape
    profile = {"driver": "PNG", "count": count, "height": height, "width": width}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", dtype=data.dtype, **profile) as dataset:
            dataset.write(data)


@pytest.fixture
def root(tmp_path):
    """Twelve train images and one of val, of several sizes."""
    root = tmp_path / "roofs"
    for i in range(13):
        shape = (10 + i, 20)
        split = "val" if i == 12 else "train"
        image = np.random.default_rng(i).integers(0, 255, (3, *shape)).astype(np.uint8)
        write(root / split / f"{i:02d}.png", image)
        write(root / "masks" / f"{i:02d}.png", (image[:1] > 99).astype(np.uint8))
    return root


@pytest.fixture
def drawn(monkeypatch):
    """The sheets that are drawn, as values."""
    sheets, draw = [], dataset_sheet.draw_sheet

    def keep(sheet, *arguments, **more):
        sheets.append(sheet)
        return draw(sheet, *arguments, **more)

    monkeypatch.setattr(dataset_sheet, "draw_sheet", keep)
    return sheets


def test_images_lie_evenly_over_the_splits(root, tmp_path, drawn):
    path = draw_dataset_sheet(parse_description(TABLES, "x"), root, tmp_path / "a.png", count=5)
    (sheet,) = drawn
    assert [tile.name for tile in sheet.tiles] == [
        "train  00", "train  03", "train  06", "train  08", "train  11", "val  12",
    ]  # fmt: skip
    assert "train 12 pairs, val 1 pairs" in sheet.subtitle
    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_labels_classes_and_bands_are_those_of_the_files(root, tmp_path, drawn):
    draw_dataset_sheet(parse_description(TABLES, "x"), root, tmp_path / "a.png", count=100)
    (sheet,) = drawn
    assert len(sheet.tiles) == 13
    for i, tile in enumerate(sheet.tiles):
        np.testing.assert_array_equal(tile.mask, tile.image[0] > 99)
        assert tile.image.shape == (3, 10 + i, 20)
    train = [tile.mask for tile in sheet.tiles[:12]]
    ones = sum(int(mask.sum()) for mask in train)
    pixels = sum(mask.size for mask in train)
    assert sheet.class_counts["train"] == {"ground": pixels - ones, "roof": ones}
    values = np.concatenate([tile.image.reshape(3, -1) for tile in sheet.tiles], axis=1)
    np.testing.assert_allclose(sheet.stats.mean, values.mean(axis=1))


def test_large_images_are_thinned_out(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(dataset_sheet, "_SIDE", 8)
    monkeypatch.setattr("geoseg.geo.dataset_pixels._STRIP_PIXELS", 5 * 33)
    rows, cols = np.mgrid[:31, :33]
    mask = ((rows // 5 + cols // 5) % 2).astype(np.uint8)
    write(tmp_path / "roofs" / "train" / "a.png", np.stack([mask] * 3))
    write(tmp_path / "roofs" / "masks" / "a.png", mask[None])
    draw_dataset_sheet(parse_description(TABLES, "x"), tmp_path / "roofs", tmp_path / "a.png")
    (tile,) = drawn[0].tiles
    np.testing.assert_array_equal(tile.mask, mask[::5, ::5])
    assert tile.image.shape == (3, 7, 7)


def test_what_cannot_be_shown_is_told(root, tmp_path):
    description = parse_description(TABLES, "x")
    with pytest.raises(OutputError, match="Name it"):
        draw_dataset_sheet(description, root, tmp_path / "a.jpg")
    with pytest.raises(LabelError, match=r"no image that can be shown \(.*no image of train"):
        draw_dataset_sheet(description, tmp_path, tmp_path / "a.png")
