"""Tile sets and scenes as torchgeo sees them: its samplers, loaders and trainer work on them."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from small_sets import LEGEND, make_tiles, write_scene
from torch.utils.data import DataLoader

from geoseg.errors import ConfigError, SceneError, TileSetError
from geoseg.geo.grid import Grid
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.tileset import TileSet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what torchgeo imports
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, RandomGeoSampler
    from torchgeo.trainers import SemanticSegmentationTask

    from geoseg.torchgeo_datasets import SceneDataset, TileSetDataset


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path, "one")


@pytest.fixture
def dataset(tmp_path, scene):
    return SceneDataset([scene], str(tmp_path / "labels"), tmp_path / "legend.toml")


def read(path):
    with rasterio.open(path) as file:
        return file.read()


# --- tile sets -------------------------------------------------------------------------------


def test_samples_are_tiles_with_channel_indices(tmp_path):
    root = make_tiles(tmp_path)
    tiles, dataset = TileSet.open(root), TileSetDataset(root, "val")
    assert len(dataset) == len(tiles.split("val")) > 0
    for sample, tile in zip(
        (dataset[i] for i in range(len(dataset))), tiles.split("val"), strict=True
    ):
        data, mask, valid = tiles.read_tile(tile)
        assert sample["image"].dtype == torch.float32
        assert sample["mask"].dtype == torch.int64
        np.testing.assert_array_equal(sample["image"].numpy()[:, valid], data[:, valid])
        np.testing.assert_array_equal(sample["mask"].numpy(), np.where(mask == 1, 0, 1))
    assert dataset.classes == ("land", "water")
    np.testing.assert_allclose(dataset.mean, tiles.stats.mean, rtol=1e-6)


def test_what_is_unknown_is_ignored_and_filled(tmp_path):
    labels = np.full((64, 64), 255)
    labels[:, :40] = 4
    root = make_tiles(tmp_path, labels=labels)
    dataset = TileSetDataset(root)
    masks = torch.cat([dataset[i]["mask"].flatten() for i in range(len(dataset))])
    assert set(masks.unique().tolist()) == {1, 255}
    assert dataset.ignore_index == 255
    with pytest.raises(TileSetError, match="has no split"):
        TileSetDataset(root, "holdout")


def test_transforms_are_applied(tmp_path):
    dataset = TileSetDataset(make_tiles(tmp_path), transforms=lambda s: {**s, "seen": True})
    assert dataset[0]["seen"]


def train_a_step(loader, bands, ignore):
    """One step of torchgeo's own trainer; returns its loss before and after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = SemanticSegmentationTask(
            model="fcn",
            in_channels=bands,
            num_classes=2,
            num_filters=4,
            ignore_index=ignore,
            lr=0.1,
        )
    task.log = task.log_dict = lambda *_, **__: None
    batch = next(iter(loader))
    batch["image"] = batch["image"] / 500
    optimizer = torch.optim.SGD(task.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_tiles_train_by_the_trainer_of_torchgeo(tmp_path):
    dataset = TileSetDataset(make_tiles(tmp_path))
    losses = train_a_step(DataLoader(dataset, batch_size=4), 2, dataset.ignore_index)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


# --- scenes ----------------------------------------------------------------------------------


def test_a_place_of_whole_pixels_is_what_the_file_holds(dataset, scene, tmp_path):
    data, labels = read(scene), read(tmp_path / "labels" / "one.tif")[0]
    left, top = 500_000, 5_000_000
    sample = dataset[left + 8 : left + 24, top - 40 : top - 20]
    np.testing.assert_array_equal(sample["image"].numpy(), data[:, 20:40, 8:24])
    np.testing.assert_array_equal(sample["mask"].numpy(), np.where(labels[20:40, 8:24] == 1, 0, 1))
    assert sample["image"].dtype == torch.float32
    assert sample["mask"].dtype == torch.int64


def test_it_reads_what_torchgeos_own_data_set_reads(dataset, scene):
    class Plain(RasterDataset):
        filename_glob = "one.tif"

    other = Plain([scene])
    assert dataset.bounds == other.bounds
    assert dataset.res == other.res
    for query in RandomGeoSampler(dataset, size=16, length=5):
        mine, theirs = dataset[query]["image"], other[query]["image"]
        assert mine.shape == theirs.shape == (2, 16, 16)
    for query in GridGeoSampler(other, size=16, stride=16):
        torch.testing.assert_close(dataset[query]["image"], other[query]["image"])


def test_a_grid_of_windows_shows_every_pixel_once(dataset, tmp_path):
    labels = read(tmp_path / "labels" / "one.tif")[0]
    sampler = GridGeoSampler(dataset, size=16, stride=16)
    counts = np.zeros(2, int)
    for query in sampler:
        counts += np.bincount(dataset[query]["mask"].numpy().ravel(), minlength=2)
    assert counts.tolist() == [(labels == 1).sum(), (labels == 4).sum()]


def test_scenes_train_by_samplers_and_trainer_of_torchgeo(dataset):
    sampler = RandomGeoSampler(dataset, size=16, length=8)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=stack_samples)
    losses = train_a_step(loader, 2, dataset.ignore_index)
    assert np.isfinite(losses).all()


def test_beyond_the_scene_nothing_is_known(dataset):
    left, top = 500_000, 5_000_000
    sample = dataset[left - 16 : left + 16, top - 16 : top + 16]
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[16:, 16:] = False
    assert (sample["mask"][outside] == dataset.ignore_index).all()
    assert (sample["mask"][~outside] != dataset.ignore_index).all()
    assert (sample["image"][:, outside] == 0).all()
    with pytest.raises(IndexError, match="no scene lies"):
        dataset[0:10, 0:10]


def test_the_first_of_overlapping_scenes_is_on_top(tmp_path):
    paths = [write_scene(tmp_path, "a"), write_scene(tmp_path, "bb", left=500_032)]
    dataset = SceneDataset(paths, str(tmp_path / "labels"), tmp_path / "legend.toml")
    assert len(dataset) == 2
    x, y, _ = dataset.bounds
    assert (x.stop - x.start, y.stop - y.start) == (96, 64)
    image = dataset[x.start : x.stop, y.start : y.stop]["image"].numpy()
    first, second = (read(path) for path in paths)
    np.testing.assert_array_equal(image[:, :, :64], first)
    np.testing.assert_array_equal(image[:, :, 64:], second[:, :, 32:])


def test_scenes_of_another_crs_are_warped(tmp_path, scene):
    one = SceneDataset([scene], crs="EPSG:32633", res=2.0)
    x, y, _ = one.bounds
    sample = one[x.start : x.stop, y.start : y.stop]
    assert sample["crs"].to_epsg() == 32633
    assert 30 <= sample["image"].shape[1] <= 36
    inside = sample["image"][:, 12:20, 12:20]
    assert (inside > 50).all()
    assert "mask" not in sample


def test_two_layers_are_joined_by_torchgeo(tmp_path, scene, dataset):
    """The images of one and the labels of another data set, as torchgeo's `&` joins them."""

    class Labels(RasterDataset):
        filename_glob = "*.tif"
        is_image = False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined = SceneDataset([scene]) & Labels(tmp_path / "labels")
        query = next(iter(GridGeoSampler(joined, size=32, stride=32)))
        sample = joined[query]
    assert set(sample["mask"].unique().tolist()) == {1, 4}
    encoded = dataset[query]["mask"]
    torch.testing.assert_close(torch.where(sample["mask"] == 1, 0, 1), encoded)


def test_scenes_that_cannot_be_layers_are_refused(tmp_path, scene):
    with pytest.raises(ConfigError, match="Give res"):
        SceneDataset([scene], scene_options=SceneOptions(resolution=2))
    from PIL import Image

    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "plain.png")
    with pytest.raises(SceneError, match=r"has no CRS.*TileSetDataset"):
        SceneDataset([str(tmp_path / "plain.png")])


@pytest.mark.parametrize("nodata", [None, 0])
def test_reading_onto_a_grid_tells_what_is_valid(make_scene, nodata):
    data = np.arange(1, 301, dtype=np.uint16).reshape(1, 15, 20)
    data[0, :3, :4] = 0
    mask = None if nodata == 0 else data[0] != 0
    scene = Scene.open(make_scene(data, nodata=nodata, mask=mask))
    transform = Affine(2, 0, 500000 - 10, 0, -2, 5400000 + 10)
    grid = Grid(height=25, width=30, transform=transform, crs=scene.grid.crs)
    raster = scene.read_onto(grid)
    expected = np.zeros((25, 30), np.uint16)
    expected[5:20, 5:25] = data[0]
    np.testing.assert_array_equal(raster.valid, expected != 0)
    np.testing.assert_array_equal(raster.data[0][raster.valid], expected[raster.valid])


def test_nothing_else_loads_torchgeos_data_sets():
    code = "import geoseg, geoseg.train, geoseg.info, sys; assert 'torchgeo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_legend_of_the_fixtures_is_that_of_the_tests():
    assert LEGEND.values == (1, 4)
