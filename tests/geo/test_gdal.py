import os
import threading

import pytest
import rasterio
from rasterio.env import get_gdal_config
from rasterio.errors import RasterioIOError

from geoseg.errors import SceneError
from geoseg.geo import gdal
from geoseg.geo.gdal import (
    file_stamp,
    keep_handle,
    kept_handle,
    limit_block_cache,
    open_dataset,
    reason,
)
from geoseg.geo.remote import is_remote


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("a.tif", False),
        ("/data/a.tif", False),
        ("vsi.tif", False),
        ("/vsimem/a.tif", True),
        ("https://example.org/a.tif", True),
        ("s3://bucket/key.tif", True),
    ],
)
def test_is_remote(path, remote):
    assert is_remote(path) is remote


@pytest.mark.parametrize("driver", ["GTiff", "PNG", "JPEG", "BMP"])
def test_named_drivers_open(make_scene, driver):
    path = make_scene(name="file.bin", driver=driver, crs=None, transform=None)
    with open_dataset(str(path)) as dataset:
        assert dataset.driver == driver


def test_refused_files(tmp_path, make_scene):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("scene")
    os.mkfifo(tmp_path / "pipe.tif")
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10"
    (tmp_path / "cut.png").write_bytes(header)
    cases = {
        "gone.tif": "does not exist. Check the path.$",
        ".": "is a folder",
        "pipe.tif": "is a device or pipe",
        "empty.tif": "is empty. Restore the file.$",
        "text.tif": r"is not a raster that can be read \(.+\)\. Check the file\.$",
        "cut.png": "is cut short",
    }
    for name, message in cases.items():
        with pytest.raises(SceneError, match=message):
            open_dataset(str(tmp_path / name))


def test_files_of_other_drivers_are_refused(tmp_path):
    """A small text file must not make GDAL reach for the network."""
    (tmp_path / "wms.xml").write_text("<GDAL_WMS><Service name='TMS'/></GDAL_WMS>")
    with pytest.raises(SceneError, match="is not a raster that can be read"):
        open_dataset(str(tmp_path / "wms.xml"))


def test_remote_files_that_are_not_there():
    with pytest.raises(SceneError, match="is not a raster that can be read"):
        open_dataset("/vsimem/none.tif")


def test_remote_files_are_read(make_scene):
    content = make_scene().read_bytes()
    with rasterio.MemoryFile(content, filename="a.tif") as memory, open_dataset(memory.name) as d:
        assert d.count == 3
        assert file_stamp(memory.name) == (0, 0)


def test_handles_are_kept_per_thread_and_closed_in_order(make_scene, monkeypatch):
    monkeypatch.setattr(gdal, "_MAX_HANDLES", 2)
    path, seen = str(make_scene()), []

    def work():
        assert kept_handle("a") is None
        opened = [keep_handle(key, open_dataset(path)) for key in "ab"]
        assert kept_handle("a") is opened[0]  # now `b` is the one unused for longest
        keep_handle("c", open_dataset(path))
        seen.append([dataset.closed for dataset in opened])
        assert kept_handle("b") is None

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [[False, True]] * 2
    assert kept_handle("a") is None


def test_stamps_tell_changed_files(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("one")
    first = file_stamp(str(path))
    path.write_text("more")
    assert file_stamp(str(path)) != first
    path.unlink()
    with pytest.raises(SceneError, match="is no longer there"):
        file_stamp(str(path))


def test_the_deepest_reason_is_told():
    outer = RasterioIOError("Read failed. See previous exception for details.")
    outer.__cause__ = ValueError("TIFFReadEncodedTile failed.\nand more")
    assert reason(outer) == "TIFFReadEncodedTile failed"
    assert reason(ValueError()) == "ValueError"


def test_the_block_cache_is_bounded():
    before = get_gdal_config("GDAL_CACHEMAX")
    try:
        limit_block_cache(64 << 20)
        with rasterio.Env():
            assert get_gdal_config("GDAL_CACHEMAX") == 64 << 20
        assert get_gdal_config("GDAL_CACHEMAX") == 64 << 20
    finally:
        limit_block_cache(before)
