"""PNGs written by windows, read back by Pillow and by rasterio."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from geoseg.errors import OutputError, WorkError
from geoseg.geo.cog import RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.png_writer import PngWriter, check_picture, writer_by_suffix
from geoseg.geo.raster_profile import RasterProfile

PLAIN = Grid(height=700, width=530, transform=Affine.identity(), crs=None)
UTM = Grid(
    height=700,
    width=530,
    transform=Affine(2, 0.5, 500_000, 0.5, -2, 5_400_000),
    crs=CRS.from_epsg(32632),
)


def write(path, data, grid, **profile):
    profile = RasterProfile(grid=grid, count=len(data), dtype=data.dtype.name, **profile)
    with PngWriter(path, profile) as writer:
        for top in range(0, grid.height, 300):
            rows = min(300, grid.height - top)
            writer.write(data[:, top : top + rows], Window(0, top, grid.width, rows))


def draw(bands, dtype):
    high = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, high, (bands, 700, 530), dtype, endpoint=True)


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint8"), (1, "uint16")])
def test_pixels(tmp_path, bands, dtype):
    data = draw(bands, dtype)
    write(tmp_path / "a.png", data, PLAIN, is_rgb=bands == 3)
    with Image.open(tmp_path / "a.png") as image:
        found = np.array(image)
    assert np.array_equal(found, data[0] if bands == 1 else np.moveaxis(data, 0, -1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_palette(tmp_path):
    data = draw(1, "uint8") % 3
    write(tmp_path / "a.png", data, PLAIN, colormap={1: (255, 0, 0, 255), 2: (0, 7, 9, 255)})
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[3:9] == [255, 0, 0, 0, 7, 9]
        assert np.array_equal(np.array(image), data[0])


def test_place_on_the_ground(tmp_path):
    data = draw(1, "uint8")
    write(tmp_path / "a.png", data, UTM)
    with rasterio.open(tmp_path / "a.png") as dataset:
        assert dataset.crs == UTM.crs
        assert dataset.transform == UTM.transform
        assert np.array_equal(dataset.read(), data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.png.aux.xml"]


def test_a_place_is_not_left_to_the_next_image(tmp_path):
    write(tmp_path / "a.png", draw(1, "uint8"), UTM)
    profile = RasterProfile(grid=PLAIN)
    with PngWriter(tmp_path / "a.png", profile, overwrite=True) as writer:
        writer.write(draw(1, "uint8"), PLAIN.window)
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "a.png") as dataset:
        assert dataset.crs is None


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="expected"):  # noqa: PT012, SIM117 - the second write fails
        with PngWriter(tmp_path / "a.png", RasterProfile(grid=PLAIN)) as writer:
            writer.write(draw(1, "uint8"), PLAIN.window)
            writer.write(draw(1, "uint16"), PLAIN.window)
    assert not list(tmp_path.iterdir())


def test_what_is_on_disk_is_compared(tmp_path, monkeypatch):
    def spoil(source, target, **more):
        copy(source, target, **more)
        with Image.open(target) as image:
            spoilt = np.array(image)
        spoilt[300, 20] ^= 1
        Image.fromarray(spoilt).save(target)

    copy = rasterio.shutil.copy
    monkeypatch.setattr("rasterio.shutil.copy", spoil)
    with pytest.raises(WorkError, match="does not read back as written"):
        write(tmp_path / "a.png", draw(1, "uint8"), PLAIN)


def test_suffixes(tmp_path):
    profile = RasterProfile(grid=PLAIN)
    for name, kind in (("a.png", PngWriter), ("a.TIF", RasterWriter), ("a.tiff", RasterWriter)):
        writer = writer_by_suffix(tmp_path / name, profile)
        assert type(writer) is kind
        writer.abort()
    for name in ("a.jpg", "a", "a.gif"):
        with pytest.raises(OutputError, match=r"suffix|not written as"):
            writer_by_suffix(tmp_path / name, profile)
    with pytest.raises(OutputError, match="not written as"):
        check_picture(tmp_path / "a.jpg")
