"""What is written is whole, exact and a valid COG, or it is not there."""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from geoseg.errors import ConfigError, OutputError, WorkError
from geoseg.geo import cog, outputs, partial, temporary
from geoseg.geo.cog import RasterProfile, RasterWriter, sidecar_path, write_raster
from geoseg.geo.grid import Grid

COLORS = {0: (0, 0, 0, 255), 3: (230, 25, 75, 255), 7: (60, 180, 75, 255)}


def grid_of(height=700, width=1100, crs="EPSG:32632"):
    transform = Affine(0.5, 0, 500000, 0, -0.5, 5400000)
    return Grid(height=height, width=width, transform=transform, crs=CRS.from_user_input(crs))


def classes_of(grid):
    """Patches of 0, 3 and 7: no mean of them is one of them."""
    coarse = np.random.default_rng(1).choice([0, 3, 7], (grid.height // 5 + 1, grid.width // 5 + 1))
    values = np.kron(coarse, np.ones((5, 5)))[: grid.height, : grid.width]
    return values[None].astype("uint8")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_by_rows(path, data, profile, rows=130, **options):
    with RasterWriter(path, profile, **options) as writer:
        for top in range(0, data.shape[1], rows):
            part = data[:, top : top + rows]
            writer.write(part, Window(0, top, data.shape[2], part.shape[1]))


def assert_valid_cog(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        is_valid, errors, doubts = cog_validate(str(path), strict=True)
    assert (is_valid, errors, doubts) == (True, [], [])


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "classes.tif"


def test_class_raster(target):
    grid = grid_of()
    data = classes_of(grid)
    profile = RasterProfile(
        grid=grid,
        nodata=255,
        colormap=COLORS,
        band_names=("class",),
        tags={"GEOSEG_BUNDLE": "roofs 1a2b", "GEOSEG_SCENE": "é.tif"},
    )
    write_by_rows(target, data, profile)
    assert names(target.parent) == ["classes.tif"]
    assert_valid_cog(target)
    with rasterio.open(target) as dataset:
        assert dataset.read().tolist() == data.tolist()
        assert (dataset.nodata, dataset.dtypes, dataset.descriptions) == (
            255,
            ("uint8",),
            ("class",),
        )
        assert dataset.tags()["GEOSEG_BUNDLE"] == "roofs 1a2b"
        assert dataset.tags()["GEOSEG_SCENE"] == "é.tif"
        assert dataset.colorinterp == (ColorInterp.palette,)
        assert {value: dataset.colormap(1)[value] for value in COLORS} == COLORS
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
        assert (tuple(dataset.transform), dataset.crs) == (tuple(grid.transform), grid.crs)
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.overviews(1) == [2, 4]
    for level in range(2):
        with rasterio.open(target, overview_level=level) as overview:
            assert set(np.unique(overview.read())) <= {0, 3, 7}
    # By majority: a block of one class stays that class.
    with rasterio.open(target, overview_level=0) as overview:
        blocks = data[0, : 2 * 350, : 2 * 550].reshape(350, 2, 550, 2)
        uniform = (blocks == blocks[:, :1, :, :1]).all(axis=(1, 3))
        assert (overview.read(1)[uniform] == blocks[:, 0, :, 0][uniform]).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_probability_rasters(target, count):
    grid = grid_of(600, 530)
    data = np.random.default_rng(2).integers(0, 201, (count, *grid.shape)).astype("uint8")
    names = tuple(f"class {band}" for band in range(count))
    profile = RasterProfile(
        grid=grid,
        count=count,
        nodata=255,
        scale=0.005,
        band_names=names,
        overview_resampling="average",
    )
    write_by_rows(target, data, profile)
    assert_valid_cog(target)
    with rasterio.open(target) as dataset:
        assert dataset.read().tolist() == data.tolist()
        assert (dataset.scales, dataset.offsets) == ((0.005,) * count, (0.0,) * count)
        assert dataset.descriptions == names
        assert dataset.nodatavals == (255.0,) * count
        # Neither colours nor transparency are read into probabilities.
        assert set(dataset.colorinterp) <= {ColorInterp.gray, ColorInterp.undefined}
    with rasterio.open(target, overview_level=0) as overview:
        mean = data.reshape(count, 300, 2, 265, 2).mean(axis=(2, 4))
        assert np.abs(overview.read() - mean).max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (513, 600)])
def test_dtypes_and_sizes(target, dtype, shape):
    data = (np.random.default_rng(3).random((2, *shape)) * 120).astype(dtype)
    grid = grid_of(*shape)
    nodata = float("nan") if np.dtype(dtype).kind == "f" else 120
    if nodata != 120:
        data[0, 0, 0] = np.nan
    profile = RasterProfile(grid=grid, count=2, dtype=dtype, nodata=nodata)
    write_raster(target, data, profile)
    assert_valid_cog(target)
    with rasterio.open(target) as dataset:
        np.testing.assert_array_equal(dataset.read(), data)
        np.testing.assert_equal(dataset.nodata, nodata)


def test_plain_images_have_no_place(target):
    grid = Grid(height=9, width=8, transform=Affine.identity(), crs=None)
    write_raster(target, np.ones((1, 9, 8), "uint8"), RasterProfile(grid=grid))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(target) as dataset:
        assert (dataset.crs, dataset.transform) == (None, Affine.identity())


def test_side_files_come_with_the_raster(target):
    profile = RasterProfile(grid=grid_of(20, 30))
    with RasterWriter(target, profile) as writer:
        writer.write(np.zeros((1, 20, 30), "uint8"), profile.grid.window)
        writer.sidecars[".qml"] = "<qgis>é</qgis>"
        writer.sidecars[".aux.xml"] = "<PAMDataset/>"
    assert names(target.parent) == ["classes.qml", "classes.tif", "classes.tif.aux.xml"]
    assert sidecar_path(target, ".qml").read_text(encoding="utf-8") == "<qgis>é</qgis>"
    assert sidecar_path(target, ".aux.xml").read_text() == "<PAMDataset/>"


@pytest.mark.parametrize(
    ("style", "stays"),
    [
        ('<qgis><rasterrenderer type="paletted" band="1"/></qgis>', False),
        ('<qgis><rasterrenderer type="singlebandgray" grayBand="1"/></qgis>', True),
        ('<qgis><renderer-v2 type="categorizedSymbol"/></qgis>', True),  # of c.gpkg beside c.tif
    ],
)
def test_a_class_style_does_not_outlive_its_raster(target, style, stays):
    """Probabilities that take the place of classes would be painted in the classes' colours."""
    profile = RasterProfile(grid=grid_of(20, 30))
    beside = sidecar_path(target, ".qml")
    for _ in range(2):
        write_raster(target, np.zeros((1, 20, 30), "uint8"), profile, overwrite=True)
        beside.write_text(style)
    write_raster(target, np.ones((1, 20, 30), "uint8"), profile, overwrite=True)
    assert beside.exists() == stays


def test_a_crs_that_only_a_side_file_can_hold_is_kept_beside_ours(target):
    profile = RasterProfile(grid=grid_of(20, 30, "+proj=eqearth"))
    ours = "<PAMDataset><PAMRasterBand band='1'><Description>class</Description></PAMRasterBand>"
    with RasterWriter(target, profile) as writer:
        writer.write(np.zeros((1, 20, 30), "uint8"), profile.grid.window)
        writer.sidecars[".aux.xml"] = f"{ours}</PAMDataset>"
    with rasterio.open(target) as dataset:
        assert dataset.crs == profile.grid.crs
        assert dataset.descriptions == ("class",)
    root = ElementTree.parse(sidecar_path(target, ".aux.xml")).getroot()
    assert [element.tag for element in root].count("SRS") == 1


def test_side_files_of_an_older_raster_are_not_taken_over(target, make_scene):
    """A mask or overviews that stay behind would hide or replace the new pixels."""
    profile = RasterProfile(grid=grid_of(20, 30))
    for suffix in (".msk", ".ovr", ".aux.xml"):
        Path(f"{target}{suffix}").write_text("stale")
    target.write_text("old")
    write_raster(target, np.ones((1, 20, 30), "uint8"), profile, overwrite=True)
    assert names(target.parent) == ["classes.tif"]


def test_existing_files(target):
    profile = RasterProfile(grid=grid_of(20, 30))
    data = np.ones((1, 20, 30), "uint8")
    write_raster(target, data, profile)
    with pytest.raises(OutputError, match=r"already exists\. Give --overwrite"):
        RasterWriter(target, profile)
    write_raster(target, data * 2, profile, overwrite=True)
    with rasterio.open(target) as dataset:
        assert (dataset.read() == 2).all()
    assert names(target.parent) == ["classes.tif"]


def test_a_file_that_appears_meanwhile_is_not_replaced(target):
    profile = RasterProfile(grid=grid_of(20, 30))
    writer = RasterWriter(target, profile)
    writer.write(np.ones((1, 20, 30), "uint8"), profile.grid.window)
    target.write_text("theirs")
    with pytest.raises(OutputError, match="made by another program meanwhile"):
        writer.commit()
    assert (names(target.parent), target.read_text()) == (["classes.tif"], "theirs")


def test_an_error_leaves_nothing(target):
    profile = RasterProfile(grid=grid_of())

    def fail():
        with RasterWriter(target, profile) as writer:
            writer.write(np.ones((1, 300, 1100), "uint8"), Window(0, 0, 1100, 300))
            assert names(target.parent)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(target.parent) == []


def fail_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


FAILURES = {
    "write": (cog.DatasetWriter, "write", RasterioIOError("TIFFAppendToStrip:No space left")),
    "copy": (rasterio.shutil, "copy", cog.GDAL_ERRORS[1](3, 4, "Write error at scanline 0")),
    "sync": (outputs.os, "fsync", OSError(28, "No space left on device")),
    "rename": (Path, "hardlink_to", FileExistsError()),
    "side file": (Path, "write_text", OSError(28, "No space left on device")),
}


@pytest.mark.parametrize(("owner", "name", "error"), FAILURES.values(), ids=FAILURES)
def test_a_failing_disk_leaves_nothing(target, monkeypatch, owner, name, error):
    profile = RasterProfile(grid=grid_of())

    def work():
        with RasterWriter(target, profile) as writer:
            writer.sidecars[".qml"] = "<qgis/>"
            if name == "write":
                writer._dataset = type(
                    "Failing", (), {"write": fail_with(error), "close": writer._dataset.close}
                )()
            else:
                monkeypatch.setattr(owner, name, fail_with(error))
            writer.write(np.ones((1, 700, 1100), "uint8"), profile.grid.window)

    expected = OutputError if name == "hardlink_to" else WorkError
    with pytest.raises(expected, match=r"classes\.(tif|qml): .+\.$") as caught:
        work()
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert names(target.parent) == []


@pytest.mark.parametrize("damage", ["zeros at 65 %", "zeros at 90 %", "cut at 95 %", "cut at 20 %"])
def test_a_corrupted_file_is_found_before_it_is_named(target, monkeypatch, damage):
    """A disk that fills up while GDAL closes a file is reported by nobody."""
    copy, share = RasterWriter._copy, int(damage.split()[2]) / 100

    def corrupt(self, finished):
        copy(self, finished)
        place = int(finished.stat().st_size * share)
        with finished.open("r+b") as file:
            file.seek(place)
            file.write(bytes(50))
            if damage.startswith("cut"):
                file.truncate(place)

    monkeypatch.setattr(RasterWriter, "_copy", corrupt)
    grid = grid_of()
    with pytest.raises(WorkError, match=r"(read back|could not be written).*the disk\.$"):
        write_raster(target, classes_of(grid), RasterProfile(grid=grid))
    assert names(target.parent) == []


def test_a_first_file_that_was_never_written_out_is_found(target, monkeypatch):
    """As when close fails in silence: GDAL reads what was not written as zeros."""
    grid = grid_of()
    writer = RasterWriter(target, RasterProfile(grid=grid))
    writer.write(np.ones((1, 350, 1100), "uint8"), Window(0, 0, 1100, 350))
    writer._checksums.append((Window(0, 350, 1100, 350), 12345))
    with pytest.raises(WorkError, match="does not read back as written"):
        writer.commit()
    assert names(target.parent) == []


def test_too_little_space_is_refused_early(target, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=5 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    profile = RasterProfile(grid=grid_of(20000, 20000))
    with pytest.raises(OutputError, match=r"needs 38 MiB or more, 5 MiB are free\. Make room"):
        RasterWriter(target, profile)
    assert names(target.parent) == []
    write_raster(target, np.ones((1, 9, 9), "uint8"), RasterProfile(grid=grid_of(9, 9)))


@pytest.mark.parametrize(
    ("data", "window"),
    [
        (np.ones((1, 5, 5), "int64"), Window(0, 0, 5, 5)),
        (np.ones((2, 5, 5), "uint8"), Window(0, 0, 5, 5)),
        (np.ones((1, 5, 4), "uint8"), Window(0, 0, 5, 5)),
    ],
)
def test_data_of_another_kind_is_refused_at_once(target, data, window):
    writer = RasterWriter(target, RasterProfile(grid=grid_of(20, 30)))
    with pytest.raises(ValueError, match="expected"):
        writer.write(data, window)
    writer.abort()
    assert names(target.parent) == []


def test_a_profile_that_makes_no_sense_leaves_nothing(target):
    grid = grid_of(20, 30)
    for wrong in ({"nodata": 300}, {"colormap": {0: "red"}}, {"dtype": "uint7"}):
        with pytest.raises((ValueError, TypeError, WorkError)):
            RasterWriter(target, RasterProfile(grid=grid, **wrong))
    assert names(target.parent) == []


def test_creation_options(target):
    grid = grid_of(600, 700)
    options = {"COMPRESS": "ZSTD", "BLOCKSIZE": "256", "OVERVIEWS": "NONE"}
    data = classes_of(grid)
    write_raster(target, data, RasterProfile(grid=grid, options=options))
    with rasterio.open(target) as dataset:
        assert dataset.read().tolist() == data.tolist()
        assert (dataset.compression.name, dataset.block_shapes) == ("zstd", [(256, 256)])
        assert dataset.overviews(1) == []


def test_lossy_compression(target):
    grid = grid_of(600, 700)
    data = classes_of(grid)
    with pytest.raises(ConfigError, match=r"^--co COMPRESS: JPEG may change class values\. Choose"):
        RasterWriter(target, RasterProfile(grid=grid, options={"compress": "jpeg"}))
    smooth = RasterProfile(grid=grid, options={"COMPRESS": "JPEG"}, overview_resampling="average")
    write_raster(target, data, smooth)
    with rasterio.open(target) as dataset:
        assert dataset.compression.name == "jpeg"
        assert np.abs(dataset.read().astype(int) - data).mean() < 2


def test_a_killed_writer_leaves_no_name_and_the_next_one_cleans_up(target):
    code = (
        "import sys, os, numpy as np\n"
        "from affine import Affine\n"
        "from rasterio.windows import Window\n"
        "from geoseg.geo.cog import RasterProfile, RasterWriter\n"
        "from geoseg.geo.grid import Grid\n"
        "grid = Grid(height=1024, width=1024, transform=Affine(1, 0, 9, 0, -1, 9), crs=None)\n"
        "writer = RasterWriter(sys.argv[1], RasterProfile(grid=grid))\n"
        "writer.write(np.ones((1, 512, 1024), 'uint8'), Window(0, 0, 1024, 512))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", code, target], check=False)
    assert process.returncode == -signal.SIGKILL
    left = names(target.parent)
    assert len(left) == 2  # the unfinished file and its lock
    assert all(name.startswith(".geoseg-") for name in left)
    temporary._remove_stale.cache_clear()  # a new process would look
    write_raster(target, np.ones((1, 9, 9), "uint8"), RasterProfile(grid=grid_of(9, 9)))
    assert names(target.parent) == ["classes.tif"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_writer_replaces_a_link_not_what_it_names(target, tmp_path, link):
    original = tmp_path / "original.tif"
    original.write_text("kept")
    link(original, target)
    write_raster(
        target, np.ones((1, 9, 9), "uint8"), RasterProfile(grid=grid_of(9, 9)), overwrite=True
    )
    assert original.read_text() == "kept"
    assert not target.is_symlink()


def is_big(path):
    """Whether the header is that of a BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in (b"II\x2b\x00", b"MM\x00\x2b")


@pytest.mark.parametrize(
    ("side", "dtype", "expected"),
    [(40_000, "uint8", False), (50_000, "uint8", True), (40_000, "uint16", True)],
)
def test_a_file_that_may_outgrow_tiff_is_begun_as_bigtiff(tmp_path, side, dtype, expected):
    """Before compression 2 GB and more: nobody knows beforehand how far it shrinks."""
    profile = RasterProfile(grid=grid_of(side, side), dtype=dtype, nodata=255)
    path = tmp_path / "begun.tif"
    with partial.create(path, profile) as dataset:
        here = Window(side - 1000, side - 1000, 1000, 1000)
        dataset.write(np.full((1, 1000, 1000), 7, dtype), window=here)
    assert is_big(path) is expected
    assert path.stat().st_size < 1 << 20  # blocks without data take no room
    with rasterio.open(path) as dataset:
        assert dataset.read(1, window=here).min() == 7
        assert dataset.read(1, window=Window(0, 0, 99, 99)).min() == 255


def test_the_finished_file_is_a_bigtiff_on_the_same_terms(tmp_path, monkeypatch):
    given, copy = {}, rasterio.shutil.copy
    monkeypatch.setattr(
        rasterio.shutil, "copy", lambda *a, **options: (given.update(options), copy(*a, **options))
    )
    grid = grid_of(60, 70)
    write_raster(tmp_path / "a.tif", classes_of(grid), RasterProfile(grid=grid, dtype="uint8"))
    assert given["BIGTIFF"] == "IF_SAFER"
    assert not is_big(tmp_path / "a.tif")
    big = RasterProfile(grid=grid, dtype="uint8", options={"bigtiff": "yes"})
    write_raster(tmp_path / "b.tif", classes_of(grid), big)
    assert is_big(tmp_path / "b.tif")
