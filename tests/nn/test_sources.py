"""Tile sets as a source of training: what is in which part, what is refused."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from small_sets import LEGEND, form, make_tiles, write_scene

import geoseg
from geoseg.errors import ConfigError, TileSetError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.tileset import TileSet
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import SampleDataset, make_loader
from geoseg.nn.sampling import EpochSampler
from geoseg.nn.sources import open_tiles
from geoseg.tile import TileOptions


def test_tiles_of_one_set(tmp_path):
    data = open_tiles(DataConfig(tiles=(make_tiles(tmp_path),)))
    assert len(data.train) + len(data.val) == 16
    assert data.samples == len(data.train)
    assert (data.shape, data.dtype, data.band_names) == ((16, 16), "uint16", ("red", "nir"))
    assert data.resolution == pytest.approx(1, rel=1e-3)
    names = [{s.read(i, None).name for i in range(len(s))} for s in (data.train, data.val)]
    assert not names[0] & names[1]


@pytest.mark.parametrize("format_", ["tif", "npy"])
def test_pixels_of_each_class_are_those_of_the_masks(tmp_path, format_):
    path = write_scene(tmp_path, "odd", side=75)
    labels = tmp_path / "labels" / "odd.tif"
    with rasterio.open(labels, "r+") as f:
        mask = f.read(1)
        mask[np.random.default_rng(0).random(mask.shape) < 0.3] = 255
        f.write(mask, 1)
    options = TileOptions(size=13, split=(0.75, 0.25, 0.0), format=format_)
    legend = tmp_path / "legend.toml"
    geoseg.tile([path], str(labels), tmp_path / "set", options, legend=legend)
    data = open_tiles(DataConfig(tiles=(str(tmp_path / "set"),)))
    masks = [data.train.read(i, None).mask for i in range(len(data.train))]
    assert data.class_pixels == tuple(int((np.stack(masks) == v).sum()) for v in (1, 4))
    assert 0 < data.class_pixels[1] < len(masks) * 13 * 13 / 2


def test_batches_tell_pairs_and_sources_their_names(tmp_path):
    data = open_tiles(DataConfig(tiles=(make_tiles(tmp_path),)))
    dataset = SampleDataset(data.train, form(16, random=True))
    batch = next(iter(make_loader(dataset, 4, 0, EpochSampler(len(dataset), 8, 0))))
    keys = list(EpochSampler(len(dataset), 8, 0))[:4]
    assert batch["pair"].dtype == torch.int64
    assert batch["pair"].tolist() == [key.pair for key in keys]
    for index in range(len(dataset)):
        assert Path(data.train.name(index)).stem == data.train.read(index, None).name
        assert Path(data.train.name(index)).is_file()


def test_statistics_of_two_sets_are_those_of_all_train_pixels(tmp_path):
    roots = (make_tiles(tmp_path, "a"), make_tiles(tmp_path, "bb", left=600_000))
    data = open_tiles(DataConfig(tiles=roots))
    images = [data.train.read(i, None).image for i in range(len(data.train))]
    pixels = np.concatenate([image.reshape(2, -1) for image in images], axis=1)
    assert data.stats.mean == pytest.approx(pixels.mean(axis=1), rel=1e-9)
    assert data.stats.std == pytest.approx(pixels.std(axis=1), rel=1e-9)


@pytest.mark.parametrize(
    ("bands", "message"), [(("red", "green"), "green"), (("a", "b", "c"), "3 bands")]
)
def test_sets_of_other_bands_are_refused(tmp_path, bands, message):
    roots = (make_tiles(tmp_path, "a"), make_tiles(tmp_path, "b", bands=bands))
    with pytest.raises(TileSetError, match=message):
        open_tiles(DataConfig(tiles=roots))


def test_sets_of_other_legends_are_refused(tmp_path):
    first = make_tiles(tmp_path, "a")
    other = Legend(classes=(*LEGEND.classes, LegendClass(value=9, name="ice", color="#ffffff")))
    second = tmp_path / "second"
    second.mkdir()
    path = write_scene(second, "b")
    (second / "legend.toml").write_text(other.to_toml())
    geoseg.tile([path], str(second / "labels/b.tif"), second / "set",
                TileOptions(size=16, split=(1, 0, 0)), legend=second / "legend.toml")  # fmt: skip
    with pytest.raises(TileSetError, match="9 ice"):
        open_tiles(DataConfig(tiles=(first, str(second / "set"))))


def test_no_validation_tiles_are_refused_unless_a_share_is_given(tmp_path):
    root = make_tiles(tmp_path, split=(1, 0, 0))
    with pytest.raises(TileSetError, match="no val tiles"):
        open_tiles(DataConfig(tiles=(root,)))
    data = open_tiles(DataConfig(tiles=(root,), val_share=0.25))
    assert (len(data.train), len(data.val)) == (12, 4)


def test_a_share_of_overlapping_tiles_leaves_out_the_seam(tmp_path):
    path = write_scene(tmp_path, "s")
    options = TileOptions(size=16, stride=8, split=(1, 0, 0))
    labels, legend = str(tmp_path / "labels/s.tif"), tmp_path / "legend.toml"
    geoseg.tile([path], labels, tmp_path / "set", options, legend=legend)
    data = open_tiles(DataConfig(tiles=(str(tmp_path / "set"),), val_share=0.2))
    seen = []
    for source in (data.train, data.val):
        ground = np.zeros((64, 64), bool)
        for _, tile in source._source._tiles:
            ground[tile.row : tile.row + 16, tile.col : tile.col + 16] = True
        seen.append(ground)
    assert not (seen[0] & seen[1]).any()


# --- labels, weights and ratios --------------------------------------------------------------


def labels_without(side=64, blank=()):
    """Stripes of both classes, with nothing known in some tiles, by row and column of tiles."""
    labels = np.where(np.add.outer(np.arange(side), np.arange(side)) % 16 < 8, 1, 4)
    for row, col in blank:
        labels[row * 16 : row * 16 + 16, col * 16 : col * 16 + 16] = 255
    return labels


def names_of(source):
    return [Path(source.name(index)).stem for index in range(len(source))]


def test_tiles_without_labels_are_left_out(tmp_path, caplog):
    whole = open_tiles(
        DataConfig(tiles=(make_tiles(tmp_path, "a", split=(1, 0, 0)),), val_share=1 / 4)
    )
    labels = labels_without(blank=[(0, 0), (0, 2)])
    root = make_tiles(tmp_path, "a2", split=(1, 0, 0), labels=labels)
    with caplog.at_level(logging.WARNING):
        data = open_tiles(DataConfig(tiles=(root,), val_share=2 / 7))
    assert caplog.messages == ["2 of 16 train tiles have no labelled pixel and are left out"]
    assert (len(whole.train), len(whole.val)) == (12, 4)
    assert (len(data.train), len(data.val), data.samples) == (10, 4, 10)
    masks = [data.train.read(i, None).mask for i in range(len(data.train))]
    assert all((mask != 255).all() for mask in masks)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_split_without_any_label_is_refused(tmp_path, part):
    root = Path(make_tiles(tmp_path))
    names = (root / f"{part}.txt").read_text().split()
    blank = [(tile.row // 16, tile.col // 16) for tile in TileSet.open(root).split(part)]
    other = make_tiles(tmp_path, "blank", labels=labels_without(blank=blank))
    for list_ in ("train", "val"):
        text = (root / f"{list_}.txt").read_text().replace("tiles_", "blank_")
        (Path(other) / f"{list_}.txt").write_text(text)
    told = f"blank_set: has no labelled pixel in any of {len(names)} {part} tiles"
    with pytest.raises(TileSetError, match=told):
        open_tiles(DataConfig(tiles=(other,)))


def test_an_empty_split_is_refused(tmp_path):
    root = make_tiles(tmp_path)
    (Path(root) / "train.txt").write_text("")
    with pytest.raises(TileSetError, match="has no train tiles"):
        open_tiles(DataConfig(tiles=(root,)))


def test_tiles_come_as_often_as_they_weigh(tmp_path):
    root = make_tiles(tmp_path)
    names = (Path(root) / "train.txt").read_text().split()
    table = tmp_path / "weights.csv"
    table.write_text(f"name,weight\n{names[0]},0\n{names[1]},5\n{names[2]},0.5\n")
    data = open_tiles(DataConfig(tiles=(root,), tile_weights=str(table)))
    plain = open_tiles(DataConfig(tiles=(root,)))
    assert names_of(data.train) == [n for n in names_of(plain.train) if n != names[0]]
    assert data.fingerprint != plain.fingerprint
    weights = dict.fromkeys(names[1:], 1.0) | {names[1]: 5.0, names[2]: 0.5}
    expected = {name: 40 * weight / sum(weights.values()) for name, weight in weights.items()}
    counts = Counter(names_of(data.train)[key.pair] for key in EpochSampler(data.drawing, 40, 0))
    assert counts.total() == 40
    assert all(abs(counts[name] - expected[name]) < 1 for name in expected)


def test_weights_of_nothing_are_refused(tmp_path):
    root = make_tiles(tmp_path)
    table = tmp_path / "weights.csv"
    names = (Path(root) / "train.txt").read_text().split()
    table.write_text("name,weight\n" + "".join(f"{name},0\n" for name in names))
    with pytest.raises(ConfigError, match=r"weights.csv: gives all train tiles the weight 0"):
        open_tiles(DataConfig(tiles=(root,), tile_weights=str(table)))


@pytest.mark.parametrize("ratios", [(), (3.0, 1.0)])
def test_sets_are_mixed_by_their_ratios_or_their_size(tmp_path, ratios):
    roots = (make_tiles(tmp_path, "a"), make_tiles(tmp_path, "bb", left=600_000, side=96))
    data = open_tiles(DataConfig(tiles=roots, ratios=ratios))
    owners = ["a_" in name for name in names_of(data.train)]
    small, large = sum(owners), len(owners) - sum(owners)
    assert large > 2 * small
    drawn = sum(owners[key.pair] for key in EpochSampler(data.drawing, small + large, 0))
    assert drawn == pytest.approx(0.75 * (small + large) if ratios else small, abs=1)


def test_a_ratio_of_a_set_without_train_tiles_is_refused(tmp_path):
    roots = (make_tiles(tmp_path, "a"), make_tiles(tmp_path, "bb", split=(0, 1, 0)))
    assert len(open_tiles(DataConfig(tiles=roots)).val) > 16
    with pytest.raises(ConfigError, match=r"data.ratios: .*bb_set has no train tiles"):
        open_tiles(DataConfig(tiles=roots, ratios=(1, 1)))


# --- images that cannot be right -------------------------------------------------------------


def spoil(root, change):
    """Change the image of a train tile; give its name and its number."""
    name = (Path(root) / "train.txt").read_text().split()[3]
    file = Path(root) / "images" / f"{name}.npy"
    image = np.load(file)
    change(image)
    np.save(file, image)
    data = open_tiles(DataConfig(tiles=(root,)))
    return name, names_of(data.train).index(name), data


def all_nan(image):
    image[:] = np.nan


def infinite(image):
    image[1, 2, 3] = -np.inf


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (all_nan, "bears labels, but its image holds no data"),
        (infinite, "has infinite values, such as in band 2 at row 2, column 3"),
    ],
)
def test_images_that_cannot_be_learnt_from_name_their_tile(tmp_path, change, told):
    root = make_tiles(tmp_path, format_="npy", dtype="float32")
    name, index, data = spoil(root, change)
    with pytest.raises(TileSetError, match=f"^{name}: {told}"):
        data.train.read(index, None)
    sample = SampleDataset(data.train, form(16))[index]
    assert isinstance(sample, TileSetError)  # a worker hands it on as one line


def test_pixels_that_lack_bands_are_right(tmp_path):
    def change(image):
        image[0, :, :4] = np.nan
        image[:, 0, 0] = np.inf  # no band has data: a pixel without any

    root = make_tiles(tmp_path, format_="npy", dtype="float32")
    _, index, data = spoil(root, change)
    sample = SampleDataset(data.train, form(16))[index]
    assert sample["image"].isfinite().all()
    assert sample["valid"].sum() == 16 * 16 - 1
