"""Tile sets as a source of training: what is in which part, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from small_sets import LEGEND, form, make_tiles, write_scene

import geoseg
from geoseg.errors import TileSetError
from geoseg.geo.legend import Legend, LegendClass
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
