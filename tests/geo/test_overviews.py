"""Smaller copies of class rasters, against GDAL's and against counting."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geoseg.errors import WorkError
from geoseg.geo.cog import RasterProfile, RasterWriter, partial_path
from geoseg.geo.grid import Grid
from geoseg.geo.overviews import halved

SHAPES = [(600, 1040), (1100, 1537), (1025, 700), (1500, 603)]


def counted(values, nodata):
    """The same by counting: the value that first has as many votes as none has more."""
    height, width = values.shape
    found = np.full((-(-height // 2), -(-width // 2)), nodata, values.dtype)
    for row, col in np.ndindex(found.shape):
        votes = Counter()
        best = 0
        for value in values[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel():
            votes[value] += value != nodata
            if votes[value] > best:
                best, found[row, col] = votes[value], value
    return found


def profile_of(shape, dtype="uint8", **more):
    transform = Affine(0.5, 0, 3e5, 0, -0.5, 5e6)
    grid = Grid(height=shape[0], width=shape[1], transform=transform, crs=CRS.from_epsg(32632))
    nodata = np.iinfo(dtype).max
    return RasterProfile(grid=grid, dtype=dtype, nodata=nodata, **more)


def draw(shape, dtype="uint8"):
    """Classes in blocks of ten, some noise, and a share of the blocks of a file without any."""
    rng = np.random.default_rng(0)
    height, width = shape
    values = rng.choice([0, 3, 7], (-(-height // 10), -(-width // 10))).astype(dtype)
    values = np.kron(values, np.ones((10, 10), dtype))[:height, :width]
    values[rng.random(shape) < 0.2] = 4
    empty = rng.random((-(-height // 512), -(-width // 512))) < 0.5
    values[np.kron(empty, np.ones((512, 512), bool))[:height, :width]] = np.iinfo(dtype).max
    return values


def write(path, values, profile):
    with RasterWriter(path, profile) as writer:
        writer.write(values[None], profile.grid.window)


def overviews(path):
    with rasterio.open(path) as dataset:
        levels = len(dataset.overviews(1))
    found = []
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as dataset:
            found.append(dataset.read(1))
    return found


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("classes", [2, 3, 9])
@pytest.mark.parametrize("shape", [(40, 60), (41, 60), (40, 61), (1, 1), (1, 9), (9, 1)])
def test_a_half_is_what_counting_gives(dtype, classes, shape):
    nodata = np.iinfo(dtype).max
    values = np.random.default_rng(classes).integers(0, classes, shape).astype(dtype)
    values[values == 1] = nodata
    np.testing.assert_array_equal(halved(values, nodata), counted(values, nodata))


def test_a_half_is_what_gdal_gives():
    values = np.random.default_rng(1).choice(np.uint8([0, 1, 2, 3, 255]), (400, 600))
    with MemoryFile() as file:
        kind = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 255}
        with file.open(height=400, width=600, transform=Affine.scale(2), **kind) as dataset:
            dataset.write(values, 1)
        with file.open() as dataset:
            expected = dataset.read(1, out_shape=(200, 300), resampling=Resampling.mode)
    np.testing.assert_array_equal(halved(values, 255), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_each_overview_is_half_of_the_one_before(tmp_path, shape, dtype):
    values, profile = draw(shape, dtype), profile_of(shape, dtype)
    write(tmp_path / "map.tif", values, profile)
    made = overviews(tmp_path / "map.tif")
    assert made
    for found in made:
        values = halved(values, profile.nodata)
        np.testing.assert_array_equal(found, values)
    assert max(values.shape) <= 512
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize("option", ["OVERVIEWS", "OVERVIEW_RESAMPLING"])
def test_gdal_makes_the_same_where_sides_are_even(tmp_path, option):
    values = draw((1536, 1280))
    write(tmp_path / "mine.tif", values, profile_of(values.shape))
    given = {"OVERVIEWS": "IGNORE_EXISTING", "OVERVIEW_RESAMPLING": "MODE"}
    write(tmp_path / "its.tif", values, profile_of(values.shape, options={option: given[option]}))
    for mine, its in zip(
        overviews(tmp_path / "mine.tif"), overviews(tmp_path / "its.tif"), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize(("size", "shapes"), [
    (256, [(520, 551), (260, 276), (130, 138)]), (1024, [(520, 551)]),
])  # fmt: skip
def test_blocks_of_another_size_end_it_elsewhere(tmp_path, size, shapes):
    values = draw((1040, 1101))
    write(tmp_path / "map.tif", values, profile_of(values.shape, options={"blocksize": str(size)}))
    made = overviews(tmp_path / "map.tif")
    assert [each.shape for each in made] == shapes
    np.testing.assert_array_equal(made[0], halved(values, 255))


def test_what_is_asked_of_gdal_is_left_to_it(tmp_path):
    values = draw((600, 1040))
    nearest = profile_of(values.shape, options={"overview_resampling": "nearest"})
    write(tmp_path / "map.tif", values, nearest)
    np.testing.assert_array_equal(overviews(tmp_path / "map.tif")[0], values[::2, ::2])
    write(tmp_path / "one.tif", values, profile_of(values.shape, options={"OVERVIEW_COUNT": "1"}))
    assert len(overviews(tmp_path / "one.tif")) == 1


def test_gdal_makes_them_where_it_does_not_look_beside_files(tmp_path, monkeypatch):
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    values = draw((1024, 700))
    write(tmp_path / "map.tif", values, profile_of(values.shape))
    np.testing.assert_array_equal(overviews(tmp_path / "map.tif")[0], halved(values, 255))


@pytest.mark.parametrize("shape", [(3, 2300), (513, 1), (255, 2300), (512, 300)])
def test_narrow_and_small_ones_are_left_to_gdal(tmp_path, shape):
    """It keeps no overview below 128 pixels but its own, where a side is still too long."""
    values = draw(shape)
    write(tmp_path / "map.tif", values, profile_of(shape))
    levels = [each.shape for each in overviews(tmp_path / "map.tif")]
    assert max([shape, *levels][-1]) <= 512
    assert len(levels) == (0 if max(shape) <= 512 else np.ceil(np.log2(max(shape) / 512)))


def test_they_end_before_they_get_narrow(tmp_path):
    values = draw((600, 2300))
    write(tmp_path / "map.tif", values, profile_of(values.shape))
    made = overviews(tmp_path / "map.tif")
    assert [each.shape for each in made] == [(300, 1150), (150, 575)]
    np.testing.assert_array_equal(made[1], halved(halved(values, 255), 255))


def test_what_a_killed_process_left_is_not_taken_and_does_not_stay(tmp_path):
    path, values = tmp_path / "map.tif", draw((1100, 1537))
    for level in (1, 2, 3):
        Path(f"{partial_path(path)}{'.ovr' * level}").write_text("stale")
    profile = profile_of(values.shape)
    with RasterWriter(path, profile, lasting=True) as writer:
        writer.write(values[None], profile.grid.window)
    np.testing.assert_array_equal(overviews(path)[0], halved(values, 255))
    assert [each.name for each in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize("level", [1, 2])
def test_damage_is_seen_before_the_raster_has_its_name(tmp_path, monkeypatch, level):
    copy = rasterio.shutil.copy

    def damage(source, target, **options):
        with rasterio.open(f"{source}{'.ovr' * level}", "r+") as dataset:
            dataset.write(np.full((1, 20, 20), 9, np.uint8), window=Window(40, 30, 20, 20))
        copy(source, target, **options)

    monkeypatch.setattr(rasterio.shutil, "copy", damage)
    values = np.zeros((1040, 2060), np.uint8)
    with pytest.raises(WorkError, match=r"map\.tif: does not read back as written"):
        write(tmp_path / "map.tif", values, profile_of(values.shape))
    assert list(tmp_path.iterdir()) == []
