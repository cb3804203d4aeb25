"""Scenes of every layout, dtype and place, against what rasterio reads."""

import logging
import os
import pickle

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.cog import RasterProfile, write_raster
from geoseg.geo.raster import Scene, SceneOptions

LAYOUTS = {
    "striped": {"blockysize": 3},
    "one strip": {"blockysize": 70},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "planar": {"interleave": "band", "tiled": True, "blockxsize": 32, "blockysize": 16},
    "pixel": {"interleave": "pixel"},
    "bigtiff": {"BIGTIFF": "YES"},
    "big-endian": {"ENDIANNESS": "BIG"},
    "deflate": {"compress": "deflate", "predictor": 2},
    "sparse": {"SPARSE_OK": True},
}
WINDOWS = [Window(0, 0, 90, 70), Window(0, 0, 1, 1), Window(89, 69, 1, 1), Window(13, 7, 40, 51)]


def assert_reads(path, options=None):
    """All windows are what rasterio reads from a handle of its own."""
    scene = Scene.open(path, options)
    with rasterio.open(path) as dataset:
        for window in WINDOWS:
            raster = scene.read(window)
            expected = dataset.read(window=window)
            assert raster.data.dtype == expected.dtype
            np.testing.assert_array_equal(raster.data, expected)
            assert raster.grid.transform == scene.grid.crop(window).transform
            assert raster.valid.shape == raster.grid.shape == expected.shape[1:]
        assert (scene.count, scene.dtype) == (dataset.count, dataset.dtypes[0])
        assert scene.block_rows() == dataset.block_shapes[0][0]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(make_scene, layout):
    assert_reads(make_scene((3, 70, 90), dtype="uint16", **layout))


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
@pytest.mark.parametrize("count", [1, 2, 13])
def test_dtypes_and_counts(make_scene, dtype, count):
    assert_reads(make_scene((count, 70, 90), dtype=dtype, photometric="minisblack"))


def test_cogs_and_vrts(make_scene, tmp_path):
    make_scene((3, 70, 90), "a.tif", dtype="int16")
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "cog.tif", driver="COG", blocksize=128)
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.vrt", driver="VRT")
    assert_reads(tmp_path / "cog.tif")
    assert_reads(tmp_path / "a.vrt")


@pytest.mark.parametrize("name", ["é 测 #1 100%.tif", "a b.TIF", "-o.tiff", "x[1].tif", "a:b.tif"])
def test_strange_names(make_scene, name):
    assert_reads(make_scene((3, 70, 90), name))


CUSTOM = CRS.from_wkt(
    CRS.from_proj4("+proj=laea +lat_0=47.3 +lon_0=8.1 +x_0=1000 +ellps=bessel +units=m").to_wkt()
)
PLACES = {
    "north-up": ("EPSG:32632", Affine(0.3, 0, 500000.1, 0, -0.3, 5400000.7)),
    "south-up": ("EPSG:32632", Affine(0.3, 0, 500000.1, 0, 0.3, 5400000.7)),
    "mirrored": ("EPSG:32632", Affine(-0.3, 0, 500000.1, 0, -0.3, 5400000.7)),
    "rotated": ("EPSG:32632", Affine(17.3, 5, 500000.1, 10, -8.66, 5400000.7)),
    "oblong": ("EPSG:32632", Affine(10, 0, 1 / 3, 0, -20 / 7, 1e7 / 3)),
    "degrees": ("EPSG:4326", Affine(1 / 3600, 0, 8 + 1 / 7, 0, -1 / 3600, 47 + 1 / 3)),
    "antimeridian": ("EPSG:4326", Affine(0.01, 0, 179.7, 0, -0.01, -17)),
    "mercator": ("EPSG:3857", Affine(0.1493, 0, 9523456.7, 0, -0.1493, 3203456.7)),
    "feet": ("EPSG:2263", Affine(2, 0, 980000, 0, -2, 195000)),
    "custom": (CUSTOM, Affine(0.3, 0, 500000.1, 0, -0.3, 5400000.7)),
    "unknown to GeoTIFF": ("+proj=eqearth", Affine(0.3, 0, 500000.1, 0, -0.3, 5400000.7)),
    "local": ('LOCAL_CS["site",UNIT["metre",1]]', Affine(1, 0, 5, 0, -1, 5)),
}


@pytest.mark.parametrize(("crs", "transform"), PLACES.values(), ids=PLACES)
def test_places_are_kept_exactly(make_scene, tmp_path, crs, transform):
    """From a scene through a writer to a file and back: six terms equal, not close."""
    crs = CRS.from_user_input(crs)
    scene = Scene.open(make_scene((1, 16, 20), crs=crs, transform=transform))
    raster = scene.read()
    write_raster(tmp_path / "out.tif", raster.data, RasterProfile(grid=raster.grid))
    for grid in (scene.grid, raster.grid, Scene.open(tmp_path / "out.tif").grid):
        assert tuple(grid.transform) == tuple(transform)
        assert grid.crs == crs
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (tuple(dataset.transform), dataset.crs) == (tuple(transform), crs)
        assert dataset.read().tolist() == raster.data.tolist()


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average", "mode", "cubic"])
@pytest.mark.parametrize("metres", [1, 4, 3.7])
def test_resolution_is_as_reproject_makes_it(make_scene, resampling, metres):
    options = SceneOptions(resolution=metres, resampling=resampling)
    path = make_scene((2, 32, 46), dtype="uint16", nodata=0)
    scene = Scene.open(path, options)
    assert scene.grid.shape == (round(64 / metres), round(92 / metres))
    with rasterio.open(path) as dataset:
        expected, _ = reproject(
            dataset.read(),
            np.zeros((2, *scene.grid.shape), "uint16"),
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_transform=scene.grid.transform,
            dst_crs=dataset.crs,
            resampling=Resampling[resampling],
            src_nodata=0,
        )
    whole = scene.read()
    # GDAL chunks the two differently, so a value may be rounded to its other neighbour.
    assert np.abs(whole.data.astype(int) - expected).max() <= 1
    window = Window(3, 2, 11, 9)
    part = scene.read(window)
    assert np.abs(part.data.astype(int) - whole.data[:, *window.toslices()]).max() <= 1
    assert part.grid == scene.grid.crop(window)


def test_resolution_of_rotated_and_south_up_grids(make_scene):
    for transform in (PLACES["south-up"][1], PLACES["rotated"][1]):
        path = make_scene((1, 32, 48), transform=transform, dtype="float32")
        grid = Scene.open(path).grid
        side = 2 * grid.res[0]
        scene = Scene.open(path, SceneOptions(resolution=side, resampling="average"))
        assert scene.grid.width == 24
        with rasterio.open(path) as dataset:
            data = dataset.read(1)
        if scene.grid.height == 16:
            mean = data.reshape(16, 2, 24, 2).mean(axis=(1, 3))
            np.testing.assert_allclose(scene.read().data[0], mean, rtol=1e-5)
        assert scene.read().data.mean() == pytest.approx(data.mean(), rel=0.02)


def test_paletted_scenes_are_never_averaged(make_scene):
    data = np.random.default_rng(0).choice([3, 90], (1, 32, 46)).astype("uint8")
    path = make_scene(data, colormap={3: (1, 1, 1, 255), 90: (9, 9, 9, 255)})
    for options in (SceneOptions(resolution=3.1), SceneOptions()):
        raster = Scene.open(path, options).read(shape=(11, 13))
        assert set(np.unique(raster.data)) == {3, 90}


def test_reading_into_another_shape(make_scene):
    path = make_scene((2, 32, 48), dtype="float32")
    scene = Scene.open(path, SceneOptions(resampling="average"))
    raster = scene.read(Window(8, 4, 16, 24), shape=(6, 4))
    with rasterio.open(path) as dataset:
        data = dataset.read(window=Window(8, 4, 16, 24))
    np.testing.assert_allclose(raster.data, data.reshape(2, 6, 4, 4, 4).mean(axis=(2, 4)), 1e-5)
    assert raster.grid.bounds == pytest.approx(scene.grid.crop(Window(8, 4, 16, 24)).bounds)
    assert raster.grid.shape == raster.valid.shape == (6, 4)


@pytest.mark.parametrize(
    "window",
    [Window(-1, 0, 5, 5), Window(18, 0, 5, 5), Window(0, 0, 0, 5), Window(0.5, 0, 5, 5)],
)
def test_windows_that_leave_the_grid(make_scene, window):
    with pytest.raises(ValueError, match="whole pixels within"):
        Scene.open(make_scene()).read(window)


def test_no_crs(make_scene):
    path = make_scene(crs=None)
    with pytest.raises(SceneError, match=r"has no CRS\. Give .* --assume-crs EPSG:32632\.$"):
        Scene.open(path)
    assumed = Scene.open(path, SceneOptions(assume_crs="EPSG:3035"))
    assert (assumed.grid.crs.to_epsg(), assumed.grid.transform.a) == (3035, 2)
    plain = Scene.open(path, SceneOptions(assume_crs="None"))
    assert (plain.grid.crs, plain.grid.transform) == (None, Affine.identity())
    with pytest.raises(ConfigError, match="--assume-crs: 'EPSG:99' is no CRS"):
        Scene.open(path, SceneOptions(assume_crs="EPSG:99"))
    # A CRS that the file has is not overridden.
    given = Scene.open(make_scene(name="b.tif"), SceneOptions(assume_crs="EPSG:3035"))
    assert given.grid.crs.to_epsg() == 32632
    warped = Scene.open(path, SceneOptions(assume_crs="EPSG:3035", resolution=4))
    assert warped.read().data.shape == (3, 8, 10)


@pytest.mark.parametrize("assumed", [None, "EPSG:32632"])
@pytest.mark.parametrize("crs", [None, "EPSG:32632"])
def test_no_geotransform(make_scene, crs, assumed):
    path = make_scene(crs=crs, transform=None)
    with pytest.raises(SceneError, match=r"no geotransform\)\. .*--assume-crs none"):
        Scene.open(path, SceneOptions(assume_crs=assumed))
    assert Scene.open(path, SceneOptions(assume_crs="none")).grid.crs is None


def test_control_points_only(make_scene):
    points = [rasterio.control.GroundControlPoint(r, c, c, -r) for r in (0, 9) for c in (0, 9)]
    path = make_scene(transform=None, gcps=points)
    with pytest.raises(SceneError, match=r"ground control points only, no grid\. Warp it"):
        Scene.open(path)
    assert Scene.open(path, SceneOptions(assume_crs="none")).read().data.shape == (3, 16, 20)


@pytest.mark.parametrize("driver", ["PNG", "JPEG", "BMP"])
def test_plain_images_lie_in_pixel_space(make_scene, driver):
    scene = Scene.open(make_scene(name="a.img", driver=driver, crs=None, transform=None))
    assert (scene.grid.crs, scene.grid.transform) == (None, Affine.identity())
    assert scene.read().data.shape == (3, 16, 20)
    assert scene.band_names == ("red", "green", "blue")


def test_missing_and_empty_files(tmp_path):
    (tmp_path / "empty.tif").touch()
    for name, message in (
        ("gone.tif", "does not exist"),
        ("empty.tif", "is empty"),
        ("", "folder"),
    ):
        with pytest.raises(SceneError, match=message):
            Scene.open(tmp_path / name)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("a.tif", {}),
        ("a.tif", {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}),
        ("a.tif", {"compress": "jpeg"}),
        ("a.png", {"driver": "PNG", "crs": None, "transform": None}),
        ("a.jpg", {"driver": "JPEG", "crs": None, "transform": None}),
        ("a.jp2", {"driver": "JP2OpenJPEG"}),
    ],
    ids=["tiff", "deflate", "jpeg in tiff", "png", "jpeg", "jp2"],
)
def test_files_cut_short_never_read_as_pixels(make_scene, name, more, share):
    path = make_scene((3, 200, 300), name, **more)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SceneError, match=r"a\.(tif|png|jpg|jp2): .*(cut|can).*\.$"):
        Scene.open(path).read()


def test_damaged_blocks(make_scene):
    path = make_scene((1, 200, 300), compress="deflate", blockysize=10)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    path.write_bytes(content)
    scene = Scene.open(path)
    with pytest.raises(SceneError, match=r"cannot be read at rows 0 to 200 \(.+\)\. The file is"):
        scene.read()
    assert scene.read(Window(0, 0, 300, 10)).valid.all()  # the rest can be read


def test_changed_files(make_scene):
    path = make_scene()
    scene = Scene.open(path)
    scene.read()
    make_scene((3, 16, 20), nodata=7)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SceneError, match=r"has changed since it was opened\. Run again\.$"):
        scene.read()
    path.unlink()
    with pytest.raises(SceneError, match="is no longer there"):
        scene.read()


def test_several_pages(make_scene, caplog):
    path = make_scene((1, 16, 20))
    with rasterio.open(path) as dataset:
        expected = dataset.read()
    make_scene((1, 5, 6), APPEND_SUBDATASET="YES")
    with caplog.at_level(logging.WARNING, "geoseg"):
        scene = Scene.open(path)
    assert [r.getMessage() for r in caplog.records] == [
        f"{path}: holds several pages or rasters; the first is taken"
    ]
    assert scene.read().data.tolist() == expected.tolist()


def test_a_scene_is_a_value(make_scene):
    scene = Scene.open(make_scene(names=("a", "b", "c"), nodata=3), SceneOptions(bands=("c", 1)))
    scene.read()
    back = pickle.loads(pickle.dumps(scene))
    assert back == scene
    assert back.read().data.tolist() == scene.read().data.tolist()
