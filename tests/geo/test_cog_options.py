"""Creation options: GDAL's own warnings tell which it knows."""

import logging

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile

from geoseg.errors import ConfigError
from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.cog_options import check_options, is_lossy, try_options
from geoseg.geo.grid import Grid

GOOD = [
    *("COMPRESS=ZSTD", "compress=lzw", "COMPRESS=NONE", "LEVEL=12", "PREDICTOR=YES"),
    *("PREDICTOR=2", "BLOCKSIZE=128", "BLOCKSIZE=144", "BLOCKSIZE=4096", "BIGTIFF=YES"),
    *("NUM_THREADS=2", "NUM_THREADS=ALL_CPUS", "OVERVIEWS=NONE", "OVERVIEW_COUNT=0"),
    *("OVERVIEW_RESAMPLING=NEAREST", "OVERVIEW_COMPRESS=ZSTD", "GEOTIFF_VERSION=1.1"),
    *("SPARSE_OK=ON", "STATISTICS=NO", "OVERVIEW_PREDICTOR=NO", "MAX_Z_ERROR=0.5", "QUALITY=80"),
]


def split(option):
    key, _, value = option.partition("=")
    return {key: value}


def heard(options, caplog):
    """What GDAL warns of when it writes a few pixels so."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "rasterio"), MemoryFile() as plain, MemoryFile() as made:
        place = {"crs": "EPSG:32632", "transform": Affine(1, 0, 5e5, 0, -1, 5e6)}
        shape = {"width": 16, "height": 16, "count": 1, "dtype": "uint8"}
        with plain.open(driver="GTiff", **place, **shape):
            pass
        rasterio.shutil.copy(plain.name, made.name, driver="COG", **options)
    return caplog.text


@pytest.mark.parametrize("option", GOOD)
def test_options_that_gdal_knows(option, caplog):
    check_options(split(option), holds_classes=True)
    try_options(split(option), dtype="uint8", count=1)
    assert heard({"COMPRESS": "DEFLATE"} | split(option), caplog) == ""


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("NONSENSE=1", r"--co NONSENSE: is no option .*Known are COMPRESS, LEVEL, "),
        ("COMPRES=LZW", r"--co COMPRES: is no option .*Did you mean COMPRESS"),
        ("driver=PNG", r"--co DRIVER: is no option"),
        ("COMPRESS=NONSENSE", r"--co COMPRESS: 'NONSENSE' is unknown\. Give NONE, LZW, DEFLATE"),
        ("COMPRESS=", r"--co COMPRESS: '' is unknown"),
        ("BLOCKSIZE=7", r"--co BLOCKSIZE: '7' is unknown\. Give a multiple of 16 from 128 to 4096"),
        ("BLOCKSIZE=200", r"--co BLOCKSIZE: '200'"),
        ("BLOCKSIZE=256.0", r"--co BLOCKSIZE: '256.0'"),
        ("BLOCKSIZE=1000000", r"--co BLOCKSIZE: '1000000'"),
        ("LEVEL=13", r"--co LEVEL: DEFLATE has levels from 1 to 12"),
        ("LEVEL=0", r"--co LEVEL: '0'.* a whole number from 1"),
        ("QUALITY=101", r"--co QUALITY: '101'"),
        ("MAX_Z_ERROR=nan", r"--co MAX_Z_ERROR: 'nan'.* a number from 0"),
        ("NUM_THREADS=many", r"--co NUM_THREADS: 'many'.* Give ALL_CPUS or a whole number"),
        ("BIGTIFF=MAYBE", r"--co BIGTIFF: 'MAYBE'"),
        ("SPARSE_OK=x", r"--co SPARSE_OK: 'x'"),
        ("OVERVIEW_RESAMPLING=MEAN", r"--co OVERVIEW_RESAMPLING: 'MEAN'"),
        ("TILING_SCHEME=GoogleMapsCompatible", r"--co TILING_SCHEME: would move pixels"),
        ("NBITS=2", r"--co NBITS: would cut values off"),
        ("RESAMPLING=MODE", r"--co RESAMPLING: has no effect"),
    ],
)
@pytest.mark.parametrize("holds_classes", [True, False])
def test_options_that_are_refused(option, told, holds_classes):
    with pytest.raises(ConfigError, match=f"^{told}"):
        check_options(split(option), holds_classes=holds_classes)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("COMPRESS=LERC", "--co COMPRESS: LERC may change"),
        ("overview_compress=webp", "--co OVERVIEW_COMPRESS: WEBP may change"),
        ("OVERVIEW_RESAMPLING=CUBIC", "--co OVERVIEW_RESAMPLING: CUBIC would mix .* or NEAREST"),
    ],
)
def test_classes_are_not_mixed(option, told):
    with pytest.raises(ConfigError, match=told):
        check_options(split(option), holds_classes=True)
    check_options(split(option), holds_classes=False)
    assert is_lossy(split(option)) == option.startswith("COMPRESS")


@pytest.mark.parametrize(
    ("option", "dtype", "count"),
    [
        ("COMPRESS=JPEG", "float32", 1),
        ("COMPRESS=WEBP", "uint8", 5),
        ("PREDICTOR=FLOATING_POINT", "uint16", 1),
    ],
)
def test_what_only_gdal_knows(option, dtype, count):
    with pytest.raises(ConfigError, match=f"--co {option}: GDAL cannot write {count} .*{dtype}"):
        try_options(split(option), dtype=dtype, count=count)


def test_a_writer_refuses_before_it_makes_a_file(tmp_path):
    place = Affine(1, 0, 5e5, 0, -1, 5e6)
    grid = Grid(height=9, width=9, transform=place, crs=rasterio.CRS.from_epsg(32632))
    for option in ("NONSENSE=1", "BLOCKSIZE=7", "PREDICTOR=3"):
        with pytest.raises(ConfigError, match=f"--co {option.partition('=')[0]}"):
            RasterWriter(tmp_path / "a.tif", RasterProfile(grid=grid, options=split(option)))
    assert list(tmp_path.iterdir()) == []
    profile = RasterProfile(grid=grid, options={"compress": "zstd", "blocksize": "256"})
    with RasterWriter(tmp_path / "a.tif", profile) as writer:
        writer.write(np.ones((1, 9, 9), np.uint8), grid.window)
    with rasterio.open(tmp_path / "a.tif") as made:
        assert (made.compression.name, made.block_shapes) == ("zstd", [(256, 256)])
