"""Odd files of the real world: what becomes of each was decided by hand."""

import numpy as np
import pytest
import rasterio

from geoseg.errors import SceneError
from geoseg.geo.cog import RasterProfile, write_raster
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import Scene, SceneOptions

pytestmark = pytest.mark.realdata

READ = {
    "RGB.byte.tif": (3, "uint8", "values"),
    "RGBA.byte.tif": (3, "uint8", "mask"),
    "cog_scale_offset.tif": (2, "int16", "values"),
    "cogeo_ycbcr_mask.tif": (3, "uint8", "mask"),
    "int16_nodata_albers.tif": (1, "int16", "values"),
    "landcover_palette_laea.tif": (1, "uint8", "all"),
    "quarter_ne.tif": (3, "uint8", "values"),
    "quarter_nw.tif": (3, "uint8", "values"),
    "quarter_se.tif": (3, "uint8", "values"),
    "quarter_sw.tif": (3, "uint8", "values"),
    "rgb_internal_mask.tif": (3, "uint8", "mask"),
    "s1_float32_nodata0.tif": (1, "float32", "values"),
    "s2_band.jp2": (1, "uint16", "all"),
    "s2_band.tif": (1, "uint16", "all"),
}
REFUSED = {
    "RGB.byte.gcp.vrt": "has ground control points only, no grid",
    "float_nan.tif": "has no CRS",
    "oddsize1bit.tif": "has no place on the ground",
    "rotated.tif": "has no CRS",
}


def test_no_file_is_forgotten(realdata):
    assert {path.name for path in (realdata / "edge").iterdir()} == READ.keys() | REFUSED.keys()
    assert len(find_scenes([realdata / "edge"])) == len(READ) + len(REFUSED)


@pytest.mark.parametrize("name", READ)
def test_files_that_are_read(realdata, tmp_path, name):
    path = realdata / "edge" / name
    scene = Scene.open(path)
    assert (scene.count, scene.dtype, scene.validity) == READ[name]
    raster = scene.read()
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(raster.data, dataset.read(list(scene.bands)))
        mask = dataset.dataset_mask() > 0
        if scene.dtype == "float32":
            mask &= np.isfinite(dataset.read()).any(axis=0)
        assert (raster.valid == mask).all()
        assert tuple(scene.grid.transform) == tuple(dataset.transform)
        assert scene.grid.crs == dataset.crs
    # And its grid goes through the writer without loss.
    classes = raster.valid[None].astype("uint8")
    write_raster(tmp_path / "out.tif", classes, RasterProfile(grid=scene.grid, nodata=0))
    made = Scene.open(tmp_path / "out.tif")
    assert (tuple(made.grid.transform), made.grid.crs) == (
        tuple(scene.grid.transform),
        scene.grid.crs,
    )
    assert (made.read().valid == raster.valid).all()


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(realdata, name):
    path = realdata / "edge" / name
    with pytest.raises(SceneError, match=REFUSED[name]) as caught:
        Scene.open(path)
    assert caught.value.cure
    plain = Scene.open(path, SceneOptions(assume_crs="none"))
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(plain.read().data, dataset.read())
        assert (plain.read().valid == (dataset.dataset_mask() > 0)).all()


def test_jpeg_2000_lies_on_the_grid_of_its_original(realdata):
    exact = Scene.open(realdata / "edge" / "s2_band.tif")
    lossy = Scene.open(realdata / "edge" / "s2_band.jp2")
    assert exact.grid.matches(lossy.grid)
    assert np.corrcoef(exact.read().data.ravel(), lossy.read().data.ravel())[0, 1] > 0.98


def test_all_other_scenes_are_read(realdata):
    folders = ("vhr_*/**", "s2_*/**", "big")
    paths = find_scenes([realdata / folder / "*.tif" for folder in folders])
    assert len(paths) >= 14
    for path in paths:
        scene = Scene.open(path)
        raster = scene.read(scene.grid.window, shape=(64, 64))
        assert raster.valid.any()
        assert scene.grid.ground_resolution() < 11
