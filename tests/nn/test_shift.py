import logging
import math

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.geo.raster import Scene
from geoseg.geo.stats import BandStats
from geoseg.nn.shift import band_shifts, warn_of_shifts


def stats_of(training):
    """Of (bands, n) values, by numpy."""
    low, high = np.percentile(training, [2, 98], axis=1)
    columns = {
        "mean": training.mean(1),
        "std": training.std(1),
        "min": training.min(1),
        "max": training.max(1),
        "p2": low,
        "p98": high,
    }
    count = (training.shape[1],) * len(training)
    return BandStats(count=count, **{key: tuple(map(float, v)) for key, v in columns.items()})


@pytest.fixture
def scene_of(tmp_path):
    def make(data, nodata=None):
        path = tmp_path / "scene.tif"
        profile = {"count": len(data), "height": data.shape[1], "width": data.shape[2]}
        profile |= {"dtype": data.dtype, "crs": "EPSG:32632", "nodata": nodata}
        with rasterio.open(
            path, "w", driver="GTiff", transform=Affine(1, 0, 5e5, 0, -1, 5e6), **profile
        ) as dataset:
            dataset.write(data)
        return Scene.open(path)

    return make


@pytest.fixture
def training():
    rng = np.random.default_rng(0)
    return rng.normal([[100.0], [1000.0]], [[10.0], [50.0]], (2, 20000))


def test_values_like_those_of_training_are_near(scene_of, training):
    rng = np.random.default_rng(1)
    data = rng.normal([[[100.0]], [[1000.0]]], [[[10.0]], [[50.0]]], (2, 90, 90))
    red, nir = band_shifts(
        scene_of(data.astype(np.float32)), (1, 2), ("red", "nir"), stats_of(training)
    )
    assert red.inside == pytest.approx(0.96, abs=0.01)
    assert nir.inside == pytest.approx(0.96, abs=0.01)
    assert red.mean == pytest.approx(100, abs=0.5)
    assert nir.std == pytest.approx(50, abs=1)
    assert not red.is_far
    assert not nir.is_far


def test_only_the_band_that_moved_is_told(scene_of, training, caplog):
    rng = np.random.default_rng(1)
    data = rng.normal([[[100.0]], [[1200.0]]], [[[10.0]], [[50.0]]], (2, 90, 90))
    scene = scene_of(data.astype(np.float32))
    with caplog.at_level(logging.WARNING):
        warn_of_shifts(scene.path, band_shifts(scene, (1, 2), ("red", "nir"), stats_of(training)))
    (record,) = caplog.records
    assert "band nir is unlike training" in record.getMessage()
    assert "training's 1000" in record.getMessage()


def test_bands_are_taken_in_the_order_of_the_network(scene_of, training):
    data = np.stack([np.full((20, 20), 1000.0), np.full((20, 20), 100.0)]).astype(np.float32)
    red, nir = band_shifts(scene_of(data), (2, 1), ("red", "nir"), stats_of(training))
    assert (red.mean, nir.mean) == (100, 1000)
    assert (red.inside, nir.inside) == (1, 1)


def test_the_share_inside_is_that_of_valid_finite_values(scene_of, training):
    data = np.full((2, 10, 10), 100.0, np.float32)
    data[1] = 1000
    data[0, :5] = -1  # no data
    data[1, :5] = -1
    data[0, 5, :] = 500  # ten of the fifty valid ones lie outside
    data[1, 6, 0] = np.inf
    red, nir = band_shifts(scene_of(data, nodata=-1), (1, 2), ("", ""), stats_of(training))
    assert red.inside == pytest.approx(40 / 50)
    assert nir.inside == 1
    assert (red.band, nir.band) == ("1", "2")


def test_a_scale_is_applied_before(scene_of, training):
    data = np.stack([np.full((9, 9), 10.0), np.full((9, 9), 100.0)]).astype(np.float32)
    scene, stats = scene_of(data), stats_of(training)
    assert all(s.is_far for s in band_shifts(scene, (1, 2), ("", ""), stats))
    assert not any(s.is_far for s in band_shifts(scene, (1, 2), ("", ""), stats, scale=10))


def test_a_scene_without_data_tells_nothing(scene_of, training):
    data = np.full((2, 9, 9), -1, np.float32)
    for shift in band_shifts(scene_of(data, nodata=-1), (1, 2), ("", ""), stats_of(training)):
        assert math.isnan(shift.inside)
        assert not shift.is_far
