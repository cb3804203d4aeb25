"""Samples: crops, padding, ignore, order; and sources: tile sets and windows of scenes."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

import geoseg
from geoseg.errors import ConfigError, LabelError, TileSetError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import Scene
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import (
    CachedSource,
    Pair,
    SampleDataset,
    SampleForm,
    collate,
    make_loader,
)
from geoseg.nn.sampling import EpochSampler, SampleKey
from geoseg.nn.sources import open_tiles
from geoseg.nn.window_sources import open_scenes
from geoseg.tile import TileOptions

LEGEND = Legend(
    classes=(
        LegendClass(value=1, name="land", color="#00ff00"),
        LegendClass(value=4, name="water", color="#0000ff"),
    )
)


class ListSource:
    """Pairs from memory, counting reads."""

    legend = LEGEND

    def __init__(self, *pairs):
        self.pairs, self.reads = pairs, 0

    def __len__(self):
        return len(self.pairs)

    def name(self, index):
        return self.pairs[index].name

    def read(self, index, rng, focus=-1):
        self.reads += 1
        return self.pairs[index]


def make_pair(height, width, dtype="uint16"):
    """Position-coded image, mask and valid."""
    code = np.arange(height * width).reshape(height, width)
    mask = np.where(code % 2, 4, 1).astype(np.uint8)
    return Pair(
        "tile", np.stack([code, code + 1000]).astype(dtype), mask, np.ones(mask.shape, bool)
    )


def form(side, *, random=False, fill=(7.0, 8.0)):
    return SampleForm(height=side, width=side, fill=fill, seed=3, random=random)


def test_image_and_mask_are_cropped_at_the_same_place():
    dataset = SampleDataset(ListSource(make_pair(20, 30)), form(8, random=True))
    corners = set()
    for position in range(50):
        sample = dataset[SampleKey(0, position, 0)]
        code = sample["image"][0].numpy().astype(int)
        assert sample["image"].shape == (2, 8, 8)
        assert np.array_equal(np.diff(code, axis=1), np.ones((8, 7)))
        assert np.array_equal(np.diff(code, axis=0), np.full((7, 8), 30))
        assert np.array_equal(sample["target"], code % 2)
        corners.add(divmod(int(code[0, 0]), 30))
    assert all(row <= 12 and col <= 22 for row, col in corners)
    assert len(corners) > 30


def test_a_crop_depends_on_seed_epoch_and_position_only():
    dataset = SampleDataset(ListSource(make_pair(40, 40)), form(4, random=True))
    same = [dataset[SampleKey(2, 5, 0)]["image"] for _ in range(2)]
    assert same[0].equal(same[1])
    others = [dataset[key]["image"] for key in (SampleKey(3, 5, 0), SampleKey(2, 6, 0))]
    assert not any(same[0].equal(other) for other in others)


def test_validation_takes_the_middle():
    sample = SampleDataset(ListSource(make_pair(11, 11)), form(5))[0]
    assert sample["image"][0, 0, 0] == 3 * 11 + 3


def test_small_pairs_are_padded_with_fill_and_ignore():
    sample = SampleDataset(ListSource(make_pair(3, 2)), form(5))[0]
    inside = np.zeros((5, 5), bool)
    inside[:3, :2] = True
    assert np.array_equal(sample["target"] != 255, inside)
    assert np.array_equal(sample["valid"], inside)
    assert (sample["image"][0].numpy()[~inside] == 7).all()
    assert (sample["image"][1].numpy()[~inside] == 8).all()


def test_what_is_not_valid_is_filled_and_ignored():
    pair = make_pair(4, 4)
    pair.valid[1, 2] = False
    pair.image[:, 1, 2] = 60_000
    pair.mask[0, 0] = 255
    sample = SampleDataset(ListSource(pair), form(4))[0]
    assert sample["image"][:, 1, 2].tolist() == [7, 8]
    assert (sample["target"] == 255).nonzero().tolist() == [[0, 0], [1, 2]]
    assert sample["image"][0, 0, 0] == 0


def test_nan_in_one_band_is_filled_in_that_band_alone():
    pair = make_pair(2, 2, "float32")
    pair.image[1, 0, 1] = np.nan
    sample = SampleDataset(ListSource(pair), form(2))[0]
    assert sample["image"][:, 0, 1].tolist() == [1, 8]
    assert sample["target"][0, 1] == 1


def test_values_outside_the_legend_name_the_tile():
    pair = make_pair(2, 2)
    pair.mask[0, 0] = 9
    error = SampleDataset(ListSource(pair), form(2))[0]
    assert isinstance(error, LabelError)
    assert str(error).startswith("tile: ")
    assert "9" in str(error)


def test_an_error_takes_the_place_of_its_batch():
    error = TileSetError("x", "is damaged")
    assert collate([SampleDataset(ListSource(make_pair(2, 2)), form(2))[0], error]) is error


def test_more_than_255_classes_have_a_wide_ignore():
    class Wide(ListSource):
        legend = Legend(
            classes=tuple(LegendClass(value=i, name=f"c{i}", color="#000000") for i in range(300)),
            ignore=65535,
        )

    pair = Pair("t", np.ones((2, 1, 2), np.uint8), np.array([[299, 65535]], np.uint16),
                np.ones((1, 2), bool))  # fmt: skip
    sample = SampleDataset(
        Wide(pair), SampleForm(height=1, width=2, fill=(0, 0), seed=0, random=False)
    )
    assert sample[0]["target"].tolist() == [[299, 65535]]


def test_the_cache_keeps_what_fits():
    source = ListSource(make_pair(4, 4), make_pair(4, 4))
    size = 16 * (2 * 2 + 1 + 1)
    cached = CachedSource(source, 2 * size, size)
    rng = np.random.default_rng(0)
    for _ in range(3):
        for index in (0, 1):
            assert np.array_equal(cached.read(index, rng).image, source.pairs[index].image)
    assert source.reads == 1 + 3
    assert not cached.fits
    assert CachedSource(source, 2 * size, 2 * size).fits


# --- tile sets -------------------------------------------------------------------------------


def write_scene(folder, name, side=64, *, crs="EPSG:32632", left=500_000, bands=("red", "nir")):
    rng = np.random.default_rng(len(name))
    classes = np.where(np.add.outer(np.arange(side), np.arange(side)) % 16 < 8, 1, 4)
    image = np.stack([classes * 100 + b * 10 for b in range(len(bands))])
    image = (image + rng.integers(0, 9, image.shape)).astype(np.uint16)
    profile = {
        "driver": "GTiff", "height": side, "width": side, "crs": crs,
        "transform": Affine(1, 0, left, 0, -1, 5_000_000),
    }  # fmt: skip
    with rasterio.open(
        folder / f"{name}.tif", "w", count=len(bands), dtype="uint16", **profile
    ) as f:
        f.write(image)
        f.descriptions = bands
    (folder / "labels").mkdir(exist_ok=True)
    with rasterio.open(
        folder / "labels" / f"{name}.tif", "w", count=1, dtype="uint8", **profile
    ) as f:
        f.write(classes.astype(np.uint8), 1)
    (folder / "legend.toml").write_text(LEGEND.to_toml())
    return str(folder / f"{name}.tif")


def make_tiles(folder, name="tiles", split=(0.75, 0.25, 0.0), **scene):
    path = write_scene(folder, name, **scene)
    labels = str(folder / "labels" / f"{name}.tif")
    options = TileOptions(size=16, split=split)
    geoseg.tile([path], labels, folder / f"{name}_set", options, legend=folder / "legend.toml")
    return str(folder / f"{name}_set")


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


# --- scenes ----------------------------------------------------------------------------------


def scenes_config(folder, paths, **more):
    return DataConfig(
        scenes=tuple(paths), labels=str(folder / "labels"), legend=str(folder / "legend.toml"),
        crop=16, **more,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["uniform", "balanced"])
def test_drawn_windows_never_touch_the_ground_of_validation(tmp_path, method):
    path = write_scene(tmp_path, "s", side=160)
    data = open_scenes(scenes_config(tmp_path, [path], sampling=method, val_share=0.3), seed=5)
    val = np.zeros((160, 160), bool)
    for _, window in data.val._source.places:
        val[window.toslices()] = True
    assert 0.1 < val.mean() < 0.5
    image = Scene.open(path).read().data
    drawn = np.zeros((160, 160), bool)
    for key in EpochSampler(len(data.train), 200, 5):
        pair = data.train.read(key.pair, np.random.default_rng((5, 0, key.position)))
        row, col = (int(word) for word in pair.name.split() if word.isdigit())
        assert np.array_equal(pair.image, image[:, row : row + 16, col : col + 16])
        drawn[row : row + 16, col : col + 16] = True
    assert not (drawn & val).any()
    assert drawn.mean() > 0.3


def test_scenes_of_several_crs_are_drawn_from(tmp_path):
    paths = [
        write_scene(tmp_path, "one", side=96),
        write_scene(tmp_path, "second", side=96, crs="EPSG:32633"),
    ]
    data = open_scenes(scenes_config(tmp_path, paths), seed=0)
    rng = np.random.default_rng(0)
    names = {data.train.read(i, rng).name.split()[0] for i in range(len(data.train))}
    assert names == {"one.tif", "second.tif"}
    assert data.stats.count[0] == len(data.train) * 16 * 16
    cuts = [data.train.cut(place).mask for place in data.train.places]
    assert data.class_pixels == tuple(int((np.stack(cuts) == v).sum()) for v in (1, 4))
    assert {data.train.name(i).split()[0] for i in range(len(data.train))} == names


def test_whole_scenes_can_validate(tmp_path):
    paths = [write_scene(tmp_path, name, left=left) for name, left in (("a", 0), ("b", 9000))]
    data = open_scenes(scenes_config(tmp_path, paths, split="scene", val_share=0.5), seed=0)
    parts = [{p.scene for p in s.places} for s in (data.train, data.val._source)]
    assert sorted(parts) == [{0}, {1}]


def test_a_scene_smaller_than_a_crop_cannot_be_parted(tmp_path):
    path = write_scene(tmp_path, "s", side=12)
    with pytest.raises(ConfigError):
        open_scenes(scenes_config(tmp_path, [path]), seed=0)


def test_workers_read_the_same_samples_in_the_same_order(tmp_path):
    path = write_scene(tmp_path, "s", side=96)
    data = open_scenes(scenes_config(tmp_path, [path]), seed=0)
    dataset = SampleDataset(data.train, form(16, random=True))
    batches = []
    for workers in (0, 2):
        sampler = EpochSampler(len(dataset), 12, 0)
        batches.append(list(make_loader(dataset, 4, workers, sampler)))
    assert len(batches[0]) == 3
    for one, other in zip(*batches, strict=True):
        assert one["image"].equal(other["image"])
        assert one["target"].equal(other["target"])
