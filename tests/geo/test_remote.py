"""Scenes behind a server of this machine that answers in ranges, and fails on a plan."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from range_server import serve

from geoseg.errors import SceneError
from geoseg.geo import remote
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.remote import DEFAULTS

HEIGHT, WIDTH, BLOCK = 700, 900, 128


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a scene in which no byte can be spared, and a mask beside another."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "bucket").mkdir()
    draw = np.random.default_rng(4)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": HEIGHT, "width": WIDTH}
    profile |= {"crs": "EPSG:32632", "transform": Affine(2, 0, 5e5, 0, -2, 5e6), "tiled": True}
    profile |= {"blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate"}
    for name in ("scene.tif", "masked.tif"):
        path = folder / "bucket" / name
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
            rasterio.open(path, "w", **profile) as file,
        ):
            file.write(draw.integers(0, 255, (3, HEIGHT, WIDTH)).astype("uint8"))
            if name == "masked.tif":
                file.write_mask(draw.random((HEIGHT, WIDTH)) > 0.3)
    assert (folder / "bucket" / "masked.tif.msk").exists()
    return folder


@pytest.fixture(scope="module")
def server(root):
    with serve(root) as server:
        yield server


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """As in use, but for the pauses."""
    monkeypatch.setattr(remote, "_PAUSES", (0.0, 0.01, 0.02))
    with rasterio.Env(GDAL_HTTP_RETRY_DELAY="0.01", GDAL_HTTP_TIMEOUT="1", GDAL_HTTP_MAX_RETRY="3"):
        yield


def read_strips(url):
    """As prediction does: rows of blocks in turn."""
    scene = Scene.open(url)
    rows = range(0, HEIGHT, BLOCK)
    grid = scene.grid
    strips = [
        scene.read(rasterio.windows.Window(0, row, WIDTH, min(BLOCK, HEIGHT - row))) for row in rows
    ]
    assert grid.shape == (HEIGHT, WIDTH)
    return (np.concatenate([getattr(strip, name) for strip in strips], axis=-2) for name in FIELDS)


FIELDS = ("data", "valid")


@pytest.mark.parametrize("name", ["scene.tif", "masked.tif"])
def test_a_remote_scene_is_read_once_and_as_a_local_one(server, root, name):
    server.plan()
    data, valid = read_strips(server.fresh(f"bucket/{name}"))
    local = Scene.open(root / "bucket" / name).read()
    np.testing.assert_array_equal(data, local.data)
    np.testing.assert_array_equal(valid, local.valid)
    assert valid.all() == (name == "scene.tif")
    asked, served = server.asked()
    size = sum(path.stat().st_size for path in (root / "bucket").glob(f"{name}*"))
    assert served <= 1.02 * size
    per_file = 2 + len(range(0, HEIGHT, BLOCK))
    assert len([each for each in asked if each[0] == "GET"]) <= per_file * (1 + (not valid.all()))
    assert not [path for _, path, _ in asked if path.endswith("/")], "no folder is listed"


@pytest.mark.parametrize(
    ("fault", "first", "every"),
    [
        *[(503, 1, 3), (500, 2, 3), (429, 3, 2)],
        *[("reset", 1, 3), ("reset", 2, 3), ("close", 2, 3), ("close", 3, 2)],
        *[("cut", 2, 100), ("cut", 3, 100), ("cut", 3, 4), ("delay", 1, 3), ("stall", 3, 100)],
    ],
)
def test_failures_that_pass_change_nothing(server, root, fault, first, every):
    server.plan(fault, first, every)
    data, _ = read_strips(server.fresh("bucket/scene.tif"))
    np.testing.assert_array_equal(data, Scene.open(root / "bucket" / "scene.tif").read().data)
    asked, served = server.asked()
    assert served <= 2.5 * (root / "bucket" / "scene.tif").stat().st_size
    assert len(asked) < 60


@pytest.mark.parametrize("fault", [403, 404, 410, 503, "reset", "close", "cut"])
@pytest.mark.parametrize("first", [1, 3])
def test_failures_that_last_are_told(server, fault, first, capfd):
    server.plan(fault, first)
    with pytest.raises(SceneError, match=r"/bucket/scene\.tif: (is not a raster|cannot be)"):
        list(read_strips(server.fresh("bucket/scene.tif")))
    assert len(server.asked()[0]) < 80
    assert capfd.readouterr().err == ""


def test_a_mosaic_over_urls_is_read_again_too(server, root, tmp_path):
    """Of its sources GDAL keeps the handles, and what they gave."""
    source = server.fresh("bucket/scene.tif")
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>/vsicurl/'
        f"{source}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    (tmp_path / "m.vrt").write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>500000, 2, 0, 5000000, 0, -2</GeoTransform>{bands}</VRTDataset>"
    )
    server.plan("cut", 3, 100)
    data = Scene.open(tmp_path / "m.vrt", SceneOptions(allow_remote=True)).read().data
    np.testing.assert_array_equal(data, Scene.open(root / "bucket" / "scene.tif").read().data)


def test_buckets_are_read(server, root, monkeypatch):
    monkeypatch.setenv("AWS_S3_ENDPOINT", server.url.removeprefix("http://"))
    for key, value in {
        "AWS_NO_SIGN_REQUEST": "YES", "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    server.plan(503, 1, 3)
    data = Scene.open("s3://bucket/scene.tif").read().data
    np.testing.assert_array_equal(data, Scene.open(root / "bucket" / "scene.tif").read().data)


READER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from rasterio.env import get_gdal_config
from geoseg.geo.raster import Scene
from geoseg.geo.remote import DEFAULTS
def read():
    print(Scene.open(sys.argv[1]).read().data.sum())
    print(*(get_gdal_config(key, normalize=False) for key in DEFAULTS))
with ThreadPoolExecutor() as pool:
    pool.submit(read).result()
"""


def test_every_thread_has_the_settings_of_the_user_or_else_ours(server, root):
    server.plan(503, 2, 6)
    own = {"GDAL_HTTP_RETRY_DELAY": "0.02", "GDAL_HTTP_CONNECTTIMEOUT": "7"}
    done = subprocess.run(
        [sys.executable, "-c", READER, server.fresh("bucket/scene.tif")],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    total = Scene.open(root / "bucket" / "scene.tif").read().data.sum()
    assert done.stdout.splitlines() == [str(total), " ".join({**DEFAULTS, **own}.values())]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("folder/what?.tif", "what?.tif"),
        ("https://e.org/b/scene.tif?X-Amz-Credential=A%2FB&X-Amz-Signature=0a/9.b", "scene.tif"),
        ("s3://bucket/folder/scene.tif", "scene.tif"),
    ],
)
def test_keys_in_a_url_are_no_part_of_a_name(path, name):
    assert remote.file_name(path) == name


def test_paths_of_gdal_are_its_own():
    assert remote.vsi_path("/vsicurl/https://e.org/x.tif") == "/vsicurl/https://e.org/x.tif"
