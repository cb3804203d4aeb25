"""Scenes as a source of training: where windows are drawn, and how often."""

import os
import signal
import sys

import numpy as np
import pytest
import rasterio
import torch
from handle_witness import HandleWitness
from rasterio.windows import Window
from small_sets import LEGEND, form, scenes_config, write_scene

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.labels import Labels
from geoseg.geo.raster import Scene
from geoseg.nn.dataset import SampleDataset, make_loader
from geoseg.nn.drawn_windows import Place, WindowSource
from geoseg.nn.sampling import EpochSampler
from geoseg.nn.window_sources import open_scenes


def draw_pairs(data, count):
    """Pairs of an epoch, as a dataset reads them."""
    for key in EpochSampler(data.drawing, count, 5):
        yield data.train.read(key.pair, np.random.default_rng((5, 0, key.position)), key.focus)


def place_of(pair):
    """First row and column that the name of a pair tells."""
    return [int(word) for word in pair.name.split() if word.isdigit()]


@pytest.mark.parametrize("sampling", ["uniform", "balanced", "rare", "hard"])
def test_drawn_windows_never_touch_the_ground_of_validation(tmp_path, sampling):
    path = write_scene(tmp_path, "s", side=160)
    data = open_scenes(scenes_config(tmp_path, [path], sampling=sampling, val_share=0.3), seed=5)
    val = np.zeros((160, 160), bool)
    for _, window in data.val._source.places:
        val[window.toslices()] = True
    assert 0.1 < val.mean() < 0.5
    image = Scene.open(path).read().data
    drawn = np.zeros((160, 160), bool)
    for pair in draw_pairs(data, 200):
        row, col = place_of(pair)
        assert np.array_equal(pair.image, image[:, row : row + 16, col : col + 16])
        drawn[row : row + 16, col : col + 16] = True
    assert not (drawn & val).any()
    assert drawn.mean() > 0.3


def test_balanced_windows_lie_around_pixels_of_all_classes_alike(tmp_path):
    labels = np.ones((160, 160))
    labels[5:150:16, 40:44] = 4  # forty pixels of 25600, in few places
    path = write_scene(tmp_path, "s", side=160, labels=labels)
    data = open_scenes(scenes_config(tmp_path, [path], sampling="balanced", val_share=0.3), 5)
    pairs = list(draw_pairs(data, 300))
    share = np.mean([(pair.mask == 4).any() for pair in pairs])
    plain = open_scenes(scenes_config(tmp_path, [path], val_share=0.3), 5)
    assert np.mean([(p.mask == 4).any() for p in draw_pairs(plain, 300)]) < 0.3
    # A half is drawn around water, which then is at the centre or near a border of the ground.
    assert 0.5 <= share < 0.75
    centres = [pair.mask[8, 8] for pair in pairs]
    assert centres.count(4) > 75


def test_rare_windows_lie_near_the_places_with_rare_classes(tmp_path):
    labels = np.ones((160, 160))
    labels[20:24, 20:24] = labels[100:104, 20:24] = 4
    path = write_scene(tmp_path, "s", side=160, labels=labels)
    config = scenes_config(tmp_path, [path], sampling="rare", rare_below=1.0, val_share=0.3)
    data = open_scenes(config, seed=2)
    masks = [data.train.cut(place).mask for place in data.train.places]
    shown = np.array([(mask == 4).any() for mask in masks])
    assert 0 < shown.sum() <= 2
    repeat = (1 / shown.mean()) ** 0.5
    assert data.samples == len(data.drawing.class_pixels) + round(shown.sum() * (repeat - 1))
    assert data.drawing.class_pixels.tolist() == [
        [int((mask == v).sum()) for v in (1, 4)] for mask in masks
    ]
    for key in EpochSampler(data.drawing, 100, 1):
        pair = data.train.read(key.pair, np.random.default_rng(key.position))
        window = data.train.places[key.pair].window
        row, col = place_of(pair)
        assert max(abs(row - window.row_off), abs(col - window.col_off)) <= 4


def test_windows_of_one_class_are_drawn_again(tmp_path):
    labels = np.ones((160, 160))
    labels[:, 64:] = 4
    path = write_scene(tmp_path, "s", side=160, labels=labels)
    shares = []
    for ratio in (1.0, 0.8):
        config = scenes_config(tmp_path, [path], cat_max_ratio=ratio, block=80, val_share=0.3)
        pairs = draw_pairs(open_scenes(config, seed=3), 100)
        shares.append(np.mean([0.2 <= (p.mask == 4).mean() <= 0.8 for p in pairs]))
    assert shares[0] < 0.2
    assert shares[1] > 2.5 * shares[0]


@pytest.mark.parametrize("blank", ["train", "val", "all"])
def test_ground_without_labels_is_refused(tmp_path, blank):
    path = write_scene(tmp_path, "s", side=96)
    config = scenes_config(tmp_path, [path], val_share=0.3)
    data = open_scenes(config, seed=5)
    labels = np.ones((96, 96))
    for part, source in (("train", data.train), ("val", data.val._source)):
        for _, window in source.places if blank in (part, "all") else ():
            labels[window.toslices()] = 255
    write_scene(tmp_path, "s", side=96, labels=labels)
    with pytest.raises(ConfigError, match=r"data.labels: none of the \d+ windows for (train|val)"):
        open_scenes(config, seed=5)


def test_infinite_values_name_the_window(tmp_path):
    path = write_scene(tmp_path, "s", side=96, dtype="float32")
    with rasterio.open(path, "r+") as f:
        red = f.read(1)
        red[3, 5] = np.inf
        f.write(red, 1)
    scene = LabelledScene(
        scene=Scene.open(path),
        labels=Labels.open(str(tmp_path / "labels" / "s.tif"), LEGEND),
    )
    source = WindowSource([scene], [Place(0, Window(0, 0, 16, 16))], 16)
    with pytest.raises(SceneError, match=r"s.tif row 0 col 0: .*band 1 at row 3, column 5"):
        source.read(0, np.random.default_rng(0))


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


@pytest.mark.parametrize("sampling", ["balanced", "hard"])
def test_workers_read_the_same_samples_in_the_same_order(tmp_path, sampling):
    path = write_scene(tmp_path, "s", side=96)
    config = scenes_config(tmp_path, [path], sampling=sampling, cat_max_ratio=0.7)
    data = open_scenes(config, seed=0)
    dataset = SampleDataset(data.train, form(16, random=True))
    batches = []
    for workers in (0, 2):
        sampler = EpochSampler(data.drawing, 12, 0)
        sampler.record(range(len(data.train)), np.arange(len(data.train)))
        sampler.set_epoch(1)
        batches.append(list(make_loader(dataset, 4, workers, sampler)))
    assert len(batches[0]) == 3
    for one, other in zip(*batches, strict=True):
        assert one.keys() == other.keys() == {"image", "target", "valid", "pair"}
        assert all(one[key].equal(other[key]) for key in one)


def test_workers_open_scenes_for_themselves(tmp_path):
    path = write_scene(tmp_path, "s", side=64)
    source = HandleWitness(path, LEGEND)
    assert source.read(0, None).image[:, 0, 0].tolist() == [os.getpid(), 1, 0]
    dataset = SampleDataset(source, form(1, fill=(0.0, 0.0, 0.0)))
    seen = torch.cat([b["image"] for b in make_loader(dataset, 1, 2)])[:, :, 0, 0].tolist()
    assert len(seen) == len(source)
    assert os.getpid() not in {pid for pid, *_ in seen}
    # Only what a process has opened before is there, never what its parent had.
    first = {pid: kept for pid, kept, _ in reversed(seen)}
    assert set(first.values()) == {0}
    assert 1 in {kept for _, kept, _ in seen}
    if sys.platform.startswith("linux"):  # they end when the main process is killed
        assert {number for *_, number in seen} == {signal.SIGKILL}
