"""Scenes as a source of training: where windows are drawn, and how often."""

import numpy as np
import pytest
from small_sets import form, scenes_config, write_scene

from geoseg.errors import ConfigError
from geoseg.geo.raster import Scene
from geoseg.nn.dataset import SampleDataset, make_loader
from geoseg.nn.sampling import EpochSampler
from geoseg.nn.window_sources import open_scenes


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
