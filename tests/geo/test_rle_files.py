"""Masks of run lengths that no memory holds."""

import pytest
import rasterio

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.rle_files import RleOptions, rle_decode


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\t1 2\n")
    return path


def test_sizes_that_no_memory_holds_are_refused(table, tmp_path):
    with pytest.raises(ConfigError) as error:
        rle_decode(table, tmp_path / "out", RleOptions(size=(3_000_000, 3_000_000)))
    assert str(error.value) == (
        "--size: 3000000 x 3000000 pixels are too many for a mask; 1073741824 are the most. "
        "Give height and width of one image."
    )
    with pytest.raises(ConfigError, match="--size: 0,5 holds no pixel"):
        rle_decode(table, tmp_path / "out", RleOptions(size=(0, 5)))
    assert rle_decode(table, tmp_path / "out", RleOptions(size=(5, 5))) == 1


def test_images_that_no_memory_holds_are_refused(table, tmp_path):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "sparse_ok": True, "tiled": True}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 9, 0, -1, 9)}
    with rasterio.open(path, "w", height=1 << 15, width=(1 << 15) + 1, **profile, **place):
        pass
    with pytest.raises(LabelError, match=r"in/a.tif: 32768 x 32769 pixels are too many"):
        rle_decode(table, tmp_path / "out", images=path.parent)
    assert not (tmp_path / "out").exists()
