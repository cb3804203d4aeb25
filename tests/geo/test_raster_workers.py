"""One handle per thread and process: a shared one gives wrong pixels without an error."""

import multiprocessing
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from geoseg.geo.raster import Scene, SceneOptions

METHODS = ["fork", "spawn", "forkserver"] if sys.platform == "linux" else ["spawn"]


def windows_of(scene, count=300, size=48):
    draw = np.random.default_rng(5)
    rows = draw.integers(0, scene.grid.height - size, count)
    cols = draw.integers(0, scene.grid.width - size, count)
    return [Window(int(c), int(r), size, size) for r, c in zip(rows, cols, strict=True)]


def checksum(scene, window):
    raster = scene.read(window)
    return zlib.crc32(raster.data.tobytes() + raster.valid.tobytes())


def checksums(scene, windows):
    return [checksum(scene, window) for window in windows]


@pytest.fixture
def path(make_scene):
    return make_scene(
        (3, 600, 500),
        dtype="uint16",
        nodata=77,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )


@pytest.fixture
def small_cache():
    """A block cache that holds little, so that threads keep throwing out each other's blocks."""
    with rasterio.Env(GDAL_CACHEMAX=1 << 20):
        yield


@pytest.mark.parametrize("resolution", [None, 3.3], ids=["", "resampled"])
def test_eight_threads_read_what_one_reads(path, small_cache, resolution):
    scene = Scene.open(path, SceneOptions(resolution=resolution))
    windows = windows_of(scene, count=1600 if resolution is None else 40)
    expected = checksums(scene, windows)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(checksum, scene), windows)) == expected


def test_serial_reads_are_rasterios(path):
    scene = Scene.open(path)
    with rasterio.open(path) as dataset:
        for window in windows_of(scene, 50):
            raster = scene.read(window)
            np.testing.assert_array_equal(raster.data, dataset.read(window=window))
            assert raster.valid.tolist() == (dataset.dataset_mask(window=window) > 0).tolist()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_processes_read_what_one_reads(path, small_cache, method):
    """The scene was read before the processes start, so that its handle exists."""
    scene = Scene.open(path)
    windows = windows_of(scene, count=800 if method == "fork" else 200)
    expected = checksums(scene, windows)
    context = multiprocessing.get_context(method)
    count = 4 if method == "fork" else 2
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        parts = [windows[start::count] for start in range(count)]
        found = [pool.submit(checksums, scene, part) for part in parts]
        # The parent reads on at the same time.
        assert checksums(scene, windows) == expected
        for start, result in enumerate(found):
            assert result.result(timeout=60) == expected[start::count]


def test_many_scenes_in_one_thread(make_scene):
    """More than are kept open."""
    scenes = [Scene.open(make_scene((1, 8, 9 + n), f"{n}.tif")) for n in range(40)]
    for scene in scenes + scenes[::-1]:
        assert scene.read().data.shape == (1, 8, scene.grid.width)
