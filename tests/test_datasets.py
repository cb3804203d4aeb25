"""Data sets described in TOML, checked and tiled with their own splits."""

import json
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from geoseg.datasets import DatasetTileOptions, check_dataset, list_datasets, tile_dataset
from geoseg.errors import ConfigError, LabelError, OutputError

DESCRIPTION = """
title = "Roofs"
labels.encoding = "index"
images.resolution = 0.5
legend.classes = [{ value = 0, name = "ground" }, { value = 1, name = "roof", from = [255] }]
[splits.train]
images = "train/*.png"
labels = "masks/{stem}.png"
[splits.val]
images = "val/*.png"
labels = "masks/{stem}.png"
"""
SIZES = {"train/a": (8, 8), "train/b": (12, 8), "val/c": (8, 8), "val/d": (5, 6)}


def write(path, data, **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    profile = {"driver": "PNG", "dtype": data.dtype, **shape, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(data)


@pytest.fixture
def roofs(tmp_path):
    """Four images of several sizes in `roofs/`, described by `roofs.toml`; their arrays."""
    arrays = {}
    for seed, (name, shape) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 255, (3, *shape)).astype(np.uint8)
        mask = rng.integers(0, 2, shape).astype(np.uint8)
        write(tmp_path / "roofs" / f"{name}.png", image)
        write(tmp_path / "roofs" / "masks" / f"{name[-1]}.png", mask[None] * np.uint8(255))
        arrays[name[-1]] = image, mask
    (tmp_path / "roofs.toml").write_text(DESCRIPTION)
    return arrays


def cut(folder, size=8, **options):
    options = DatasetTileOptions(size=size, jobs=1, **options)
    return tile_dataset(folder / "roofs.toml", folder / "roofs", folder / "tiles", options)


def names(tiles, split):
    return [tile.name for tile in tiles.split(split)]


def test_the_list_tells_all_presets():
    names = [description.name for description in list_datasets()]
    assert "loveda" in names
    assert names == sorted(names)


def test_official_splits_and_pixels_reach_the_tiles(roofs, tmp_path):
    tiles = cut(tmp_path)
    assert names(tiles, "train") == ["a_r00000_c00000", "b_r00000_c00000", "b_r00004_c00000"]
    assert names(tiles, "val") == ["c_r00000_c00000", "d_r00000_c00000"]
    for tile in tiles.tiles:
        image, mask = roofs[tile.name[0]]
        rows, cols = slice(tile.row, tile.row + tile.height), slice(0, tile.width)
        data, found, valid = tiles.read_tile(tile)
        np.testing.assert_array_equal(data[:, : tile.height, : tile.width], image[:, rows, cols])
        np.testing.assert_array_equal(found[: tile.height, : tile.width], mask[rows, cols])
        assert valid[: tile.height, : tile.width].all()
    padded = tiles.split("val")[1]
    _, mask, valid = tiles.read_tile(padded)
    assert (padded.height, padded.width) == (5, 6)
    assert (mask[5:] == 255).all()
    assert not valid[:, 6:].any()


def test_the_card_tells_the_data_set(roofs, tmp_path):
    tiles = cut(tmp_path, stride=4)
    assert tiles.resolution == 0.5
    assert tiles.crs is None
    assert tiles.band_names == ("red", "green", "blue")
    assert tiles.options["dataset"] == "roofs"
    assert tiles.options["stride"] == 4
    counted = tiles.class_counts["val"]
    assert sum(counted.values()) == 8 * 8 + 5 * 6
    assert counted["roof"] == sum(int(roofs[name][1].sum()) for name in "cd")
    train = np.concatenate([roofs["a"][0].reshape(3, -1), roofs["b"][0].reshape(3, -1)], axis=1)
    card = json.loads((tiles.root / "tileset.json").read_text())
    assert card["stats"]["max"] == train.max(axis=1).tolist()


def test_georeferenced_images_keep_their_place_and_splits(tmp_path):
    place = {"driver": "GTiff", "crs": "EPSG:32632"}
    for i, name in enumerate(("train/a", "val/b")):  # they share half of their ground
        transform = Affine(2, 0, 500_000 + 8 * i, 0, -2, 5_400_000)
        data = np.ones((3, 8, 8), np.uint16)
        write(tmp_path / "roofs" / f"{name}.tif", data, transform=transform, **place)
        write(tmp_path / "roofs" / "masks" / f"{name[-1]}.png", np.zeros((1, 8, 8), np.uint8))
    text = DESCRIPTION.replace("train/*.png", "train/*.tif").replace("val/*.png", "val/*.tif")
    (tmp_path / "roofs.toml").write_text(text)
    tiles = cut(tmp_path)
    assert (names(tiles, "train"), names(tiles, "val")) == (
        ["a_r00000_c00000"],
        ["b_r00000_c00000"],
    )
    assert tiles.crs.to_epsg() == 32632
    assert tiles.dtype == "uint16"
    with rasterio.open(tiles.split("val")[0].image) as dataset:
        assert dataset.transform == Affine(2, 0, 500_008, 0, -2, 5_400_000)


def test_threads_do_not_matter(roofs, tmp_path):
    folders = []
    for jobs in (1, 3):
        options = DatasetTileOptions(size=4, stride=2, jobs=jobs)
        tiles = tile_dataset(
            tmp_path / "roofs.toml", tmp_path / "roofs", tmp_path / f"tiles{jobs}", options
        )
        files = sorted(path for path in tiles.root.rglob("*") if path.is_file())
        folders.append({path.relative_to(tiles.root): path.read_bytes() for path in files})
    assert folders[0] == folders[1]


def test_balanced_windows_are_drawn_per_image(roofs, tmp_path):
    tiles = cut(tmp_path, size=4, method="balanced", count=3, weights={"roof": 1.0})
    assert len(tiles.split("train")) == 6
    assert len(tiles.split("val")) == 6


def test_faults_are_refused_with_how_to_see_them(roofs, tmp_path):
    (tmp_path / "roofs" / "masks" / "a.png").unlink()
    with pytest.raises(LabelError) as error:
        cut(tmp_path)
    assert "1 fault: train/a.png: has no labels" in str(error.value)
    assert "geoseg datasets check" in str(error.value)
    assert "--skip-faults" in str(error.value)
    assert not (tmp_path / "tiles").exists()


def test_faults_may_be_passed_over(roofs, tmp_path, caplog):
    write(tmp_path / "roofs" / "masks" / "a.png", np.full((1, 8, 8), 7, np.uint8))
    write(tmp_path / "roofs" / "masks" / "c.png", np.zeros((1, 4, 8), np.uint8))
    tiles = cut(tmp_path, skip_faults=True)
    assert {tile.name[0] for tile in tiles.tiles} == {"b", "d"}
    assert "left out for 2 faults" in caplog.text


def test_a_share_of_train_becomes_val_where_there_is_none(roofs, tmp_path):
    with pytest.raises(ConfigError, match="Roofs has a val split of its own"):
        cut(tmp_path, val_share=0.5)
    (tmp_path / "roofs.toml").write_text(DESCRIPTION.partition("[splits.val]")[0])
    for name in "cd":
        (tmp_path / "roofs" / "masks" / f"{name}.png").unlink()
    tiles = cut(tmp_path, val_share=0.5)
    train, val = ({tile.name[0] for tile in tiles.split(s)} for s in ("train", "val"))
    assert sorted([*train, *val]) == ["a", "b"]
    with pytest.raises(ConfigError, match="leaves one split empty"):
        cut(tmp_path, val_share=0.1, overwrite=True)


def test_outputs_are_guarded(roofs, tmp_path):
    cut(tmp_path)
    with pytest.raises(OutputError, match="already exists"):
        cut(tmp_path)
    cut(tmp_path, overwrite=True)
    with pytest.raises(OutputError):
        tile_dataset(tmp_path / "roofs.toml", tmp_path / "roofs", tmp_path / "roofs")


def test_without_a_train_tile_there_is_no_tile_set(roofs, tmp_path):
    for name in "ab":
        (tmp_path / "roofs" / "train" / f"{name}.png").unlink()
    with pytest.raises(ConfigError, match="no train tile is left"):
        cut(tmp_path, skip_faults=True)
    assert not (tmp_path / "tiles").exists()


def test_png_holds_no_sixteen_bits(roofs, tmp_path):
    for name, shape in SIZES.items():
        write(tmp_path / "roofs" / f"{name}.png", np.ones((3, *shape), np.uint16))
    with pytest.raises(ConfigError, match="png holds 1 or 3 bands of uint8"):
        cut(tmp_path, format="png")


@pytest.mark.parametrize("key", ["min_valid", "min_labelled", "val_share"])
def test_shares_are_shares(key):
    with pytest.raises(ConfigError, match=f"--{key.replace('_', '-')}"):
        DatasetTileOptions(**{key: 2})


def test_a_check_tells_what_it_found(roofs, tmp_path):
    report = check_dataset(tmp_path / "roofs.toml", tmp_path / "roofs", jobs=1)
    assert report.faults == ()
    assert report.pairs == {"train": 2, "val": 2}
    assert report.sizes == {"8 x 8": 2, "12 x 8": 1, "5 x 6": 1}
    for split, found in (("train", "ab"), ("val", "cd")):
        ones = sum(int(roofs[name][1].sum()) for name in found)
        assert report.class_pixels[split]["roof"] == ones
