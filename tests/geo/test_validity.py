"""Every source of validity, against the dataset mask of rasterio."""

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.validity import has_data, valid_pixels

NAN = float("nan")
LOWEST = float(np.finfo("float32").min)
ROWS, COLS = np.mgrid[0:16, 0:20]


def values(dtype="uint8", count=3):
    """Bands that differ, in whose upper left corner stands a 7: in all, in two, in one."""
    data = np.stack([(ROWS + COLS + 10 * band) % 50 + 20 for band in range(count)]).astype(dtype)
    data[:, :4, :4] = 7
    data[:2, 4:8, :4] = 7
    data[0, 8:, :4] = 7
    return data


def with_nan(data, value=NAN):
    data[:, :3, 10:] = value
    data[0, 3:6, 10:] = value
    return data


def dataset_mask(path):
    with rasterio.open(path) as dataset:
        return dataset.dataset_mask() > 0


def finite(path):
    with rasterio.open(path) as dataset:
        return np.isfinite(dataset.read()).any(axis=0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_nodata(make_scene, dtype):
    path = make_scene(values(dtype), nodata=7)
    scene = Scene.open(path)
    assert (scene.nodata, scene.validity) == (7, "values")
    valid = scene.read().valid
    assert valid.tolist() == dataset_mask(path).tolist()
    assert (~valid).sum() == 16  # a pixel is valid while any band is


def test_negative_nodata(make_scene):
    path = make_scene(np.where(values("int16") == 7, -9999, values("int16")), nodata=-9999)
    assert Scene.open(path).read().valid.tolist() == dataset_mask(path).tolist()


def test_no_nodata(make_scene):
    path = make_scene(values())
    assert Scene.open(path).validity == "all"
    assert Scene.open(path).read().valid.all()
    assert dataset_mask(path).all()


def test_nan_without_nodata(make_scene):
    path = make_scene(with_nan(values("float32")))
    valid = Scene.open(path).read().valid
    assert valid.tolist() == finite(path).tolist()
    assert (~valid).sum() == 30


def test_nan_as_nodata(make_scene):
    path = make_scene(with_nan(values("float32")), nodata=NAN)
    assert Scene.open(path).read().valid.tolist() == dataset_mask(path).tolist()


def test_nan_beside_nodata(make_scene):
    path = make_scene(with_nan(values("float32")), nodata=7)
    valid = Scene.open(path).read().valid
    assert valid.tolist() == (dataset_mask(path) & finite(path)).tolist()
    assert (~valid).sum() == 46


def test_a_band_of_nan_beside_one_of_nodata_hides_a_pixel(make_scene):
    data = values("float32", count=2)
    data[0], data[1] = 7, NAN
    assert not Scene.open(make_scene(data, nodata=7)).read().valid.any()


def test_infinite_values_are_no_data(make_scene):
    path = make_scene(with_nan(values("float32"), np.inf))
    assert Scene.open(path).read().valid.tolist() == finite(path).tolist()


def test_nodata_with_too_few_digits(make_scene):
    """-3.40282306e38 is written in many files whose pixels hold -3.40282347e38."""
    path = make_scene(with_nan(values("float32"), LOWEST), nodata=-3.40282306073709653e38)
    valid = Scene.open(path).read().valid
    assert valid.tolist() == dataset_mask(path).tolist()
    assert not valid.all()


def test_bands_with_nodata_values_of_their_own(tmp_path, make_scene):
    """Only a VRT can hold them."""
    make_scene(values(), "a.tif")
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><NoDataValue>{nodata}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band, nodata in ((1, 7), (2, 30), (3, 99))
    )
    path = tmp_path / "m.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="20" rasterYSize="16"><SRS>EPSG:32632</SRS><GeoTransform>'
        f"500000, 2, 0, 5400000, 0, -2</GeoTransform>{bands}</VRTDataset>"
    )
    assert Scene.open(path).read().valid.tolist() == dataset_mask(path).tolist()
    pair = Scene.open(path, SceneOptions(bands=(2, 1))).read()
    assert (~pair.valid).tolist() == ((pair.data[0] == 30) & (pair.data[1] == 7)).tolist()


RGBA = ("red", "green", "blue", "alpha")


def read_file(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def alpha_file(make_scene, **more):
    alpha = np.where(ROWS + COLS < 9, 0, np.where(ROWS < 8, 100, 255))
    return make_scene(np.concatenate([values(), alpha[None].astype("uint8")]), colors=RGBA, **more)


def test_alpha(make_scene):
    path = alpha_file(make_scene)
    scene = Scene.open(path)
    assert (scene.count, scene.bands, scene.validity) == (3, (1, 2, 3), "mask")
    raster = scene.read()
    assert raster.data.shape == (3, 16, 20)
    assert raster.valid.tolist() == dataset_mask(path).tolist() == (ROWS + COLS >= 9).tolist()


def test_alpha_named_by_its_number_is_data_and_no_mask(make_scene):
    path = alpha_file(make_scene)
    plain = make_scene(read_file(path), "plain.tif", colors=(*RGBA[:3], "undefined"))
    for options in (
        SceneOptions(bands=(1, 2, 3, 4)),
        SceneOptions(bands=(4, 1)),
        SceneOptions(bands=(1, 4), resolution=4.0, resampling="average"),
    ):
        scene, expected = Scene.open(path, options), Scene.open(plain, options)
        assert (scene.bands, scene.validity) == (options.bands, "all")
        assert scene.grid == expected.grid
        one, other = scene.read(), expected.read()
        assert np.array_equal(one.data, other.data)
        assert one.valid.all()
        small = scene.read(shape=(4, 5))
        assert np.array_equal(small.data, expected.read(shape=(4, 5)).data)
        onto = scene.read_onto(scene.grid)
        assert np.array_equal(onto.data, one.data)
        assert onto.valid.all()


def test_a_mask_beside_alpha_that_is_data_still_hides(make_scene):
    path = alpha_file(make_scene, mask=ROWS > COLS)
    scene = Scene.open(path, SceneOptions(bands=(1, 4)))
    assert scene.validity == "mask"
    assert scene.read().valid.tolist() == (ROWS > COLS).tolist()


def test_alpha_that_comes_first(make_scene):
    data = values(count=4)
    data[0] = np.where(COLS < 5, 0, 255)
    scene = Scene.open(make_scene(data, colors=("alpha", "red", "green", "blue")))
    assert scene.bands == (2, 3, 4)
    assert scene.read().valid.tolist() == (COLS >= 5).tolist()


def test_alpha_and_nodata_hide_both(make_scene):
    path = alpha_file(make_scene, nodata=7)
    expected = (ROWS + COLS >= 9) & (values() != 7).any(axis=0)
    assert Scene.open(path).read().valid.tolist() == expected.tolist()


@pytest.mark.parametrize("external", [False, True], ids=["internal", "external"])
@pytest.mark.parametrize("nodata", [None, 7], ids=["", "nodata"])
def test_masks(make_scene, external, nodata):
    mask = (ROWS // 3 + COLS // 3) % 2 == 0
    path = make_scene(values(), mask=mask, external_mask=external, nodata=nodata)
    assert path.with_name("scene.tif.msk").exists() == external
    scene = Scene.open(path)
    assert scene.validity == "mask"
    # As in GDAL the mask decides alone, whatever nodata value is declared beside it.
    assert scene.read().valid.tolist() == dataset_mask(path).tolist() == mask.tolist()


def test_a_mask_and_nan(make_scene):
    path = make_scene(with_nan(values("float32")), mask=ROWS > 1)
    expected = dataset_mask(path) & finite(path)
    assert Scene.open(path).read().valid.tolist() == expected.tolist()


@pytest.mark.parametrize("window", [Window(3, 2, 9, 7), Window(19, 15, 1, 1)])
def test_windows_of_validity(make_scene, window):
    for path in (
        make_scene(values(), "nodata.tif", nodata=7),
        make_scene(values(), "mask.tif", mask=ROWS > COLS),
        alpha_file(make_scene, name="alpha.tif"),
    ):
        valid = Scene.open(path).read(window).valid
        assert valid.tolist() == dataset_mask(path)[window.toslices()].tolist()


@pytest.mark.parametrize("source", ["nodata", "mask", "alpha", "nan"])
def test_validity_at_another_resolution(make_scene, source):
    """Half the pixels: blocks of four that are valid or not as a whole stay so."""
    block = (ROWS // 2 + COLS // 4) % 2 == 0
    data = values("float32" if source == "nan" else "uint8").clip(8)
    if source == "nodata":
        path = make_scene(np.where(block, data, 7).astype("uint8"), nodata=7)
    elif source == "nan":
        path = make_scene(np.where(block, data, NAN).astype("float32"))
    elif source == "mask":
        path = make_scene(data, mask=block)
    else:
        alpha = np.where(block, 255, 0)[None].astype("uint8")
        path = make_scene(np.concatenate([data, alpha]), colors=RGBA)
    scene = Scene.open(path, SceneOptions(resolution=4.0, resampling="average"))
    raster = scene.read()
    assert raster.valid.tolist() == block[::2, ::2].tolist()
    mean = data.reshape(3, 8, 2, 10, 2).mean(axis=(2, 4))
    difference = np.abs(raster.data - mean)[:, raster.valid]
    assert difference.max() <= 0.5 + 1e-4  # rounded to whole numbers


@pytest.mark.parametrize(
    ("dtype", "nodata", "hidden"),
    [
        ("uint8", 3, [3]),
        ("uint8", -9999, []),  # the dtype cannot hold it
        ("uint8", 300, []),
        ("uint8", 2.5, []),
        ("int16", -1, [-1]),
        ("float32", 0.1, [0.1]),
        ("float32", 0.0, [0.0]),
        ("float32", -1.7976931348623157e308, []),
        ("float64", 1e-300, [1e-300]),
        ("float32", float("inf"), []),
    ],
)
def test_has_data(dtype, nodata, hidden):
    data = np.array([0, 1, 2, 3, *hidden]).astype(dtype)
    if 0 in hidden:
        data = data[1:]
    expected = [True] * (len(data) - len(hidden)) + [False] * len(hidden)
    if nodata == 3:
        expected[3] = False
    assert has_data(data, nodata).tolist() == expected


def test_valid_pixels_of_bands_without_nodata():
    data = np.zeros((2, 3, 4), "uint8")
    assert valid_pixels(data, (0, None)).all()
    assert not valid_pixels(data, (0, 0)).any()
