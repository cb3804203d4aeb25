import logging

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.errors import BundleError
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.stats import BandStats
from geoseg.nn.bundle import ModelBundle, ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

RGBN = ("red", "green", "blue", "nir")


@pytest.fixture
def make_scene(tmp_path):
    def make(data, names=(), options=None, pixel=1.0, nodata=None, crs="EPSG:32632"):
        path = tmp_path / "scene.tif"
        bands, height, width = data.shape
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=bands,
            height=height,
            width=width,
            dtype=data.dtype,
            crs=crs,
            transform=Affine(pixel, 0, 5e5, 0, -pixel, 5e6),
            nodata=nodata,
            photometric="minisblack",
        ) as dataset:
            dataset.write(data)
            for band, name in enumerate(names, 1):
                dataset.set_band_description(band, name)
        return Scene.open(path, options)

    return make


def make_bundle(bands=RGBN, dtype="uint8", top=200.0, resolution=1.0):
    count = len(bands)
    spec = ModelSpec(arch="linear", in_channels=count, classes=2)
    stats = BandStats(
        count=(9,) * count,
        mean=(top / 2,) * count,
        std=(top / 4,) * count,
        min=(0.0,) * count,
        max=(top * 1.2,) * count,
        p2=(top / 20,) * count,
        p98=(top,) * count,
    )
    card = ModelCard(
        spec=spec,
        legend=Legend.of_values([0, 1]).to_dict(),
        bands=bands,
        dtype=dtype,
        scaling=Scaling(),
        stats=stats.to_dict(),
        window=8,
        stride=8,
        resolution=resolution,
    )
    return ModelBundle.of(build_model(spec), card)


def values(dtype, high, bands=4, size=40):
    rng = np.random.default_rng(0)
    return (rng.random((bands, size, size)) * high).astype(dtype)


def test_a_scene_like_training_passes_silently(make_scene, caplog):
    scene = make_scene(values("uint8", 250), RGBN)
    with caplog.at_level(logging.WARNING):
        make_bundle().check(scene)
    assert not caplog.records
    assert make_bundle().match_bands(scene) == (1, 2, 3, 4)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_another_count_of_unnamed_bands_is_refused_with_both(make_scene, count):
    scene = make_scene(values("uint8", 250, bands=count))
    with pytest.raises(BundleError, match=rf"has {count} band.* wants 4 \(red, .*--bands"):
        make_bundle().check(scene)


def test_bands_are_matched_by_name(make_scene):
    names = ("NIR", "Coastal", "blue ", "Green", "RED")
    scene = make_scene(values("uint8", 250, bands=5), names)
    assert make_bundle().match_bands(scene) == (5, 4, 3, 1)


def test_a_band_missing_by_name_is_refused(make_scene):
    scene = make_scene(values("uint8", 250), ("red", "green", "blue", "swir"))
    with pytest.raises(BundleError, match=r"no band nir.*has red, green, blue, swir.*--bands"):
        make_bundle().check(scene)
    make_bundle().check(scene, bands_given=True)


def test_other_names_keep_their_order_with_a_warning(make_scene, caplog):
    scene = make_scene(values("uint8", 250), ("B4", "B3", "B2", "B8"))
    with caplog.at_level(logging.WARNING):
        assert make_bundle().match_bands(scene) == (1, 2, 3, 4)
    assert "B4, B3, B2, B8" in caplog.text and "--bands" in caplog.text


@pytest.mark.parametrize("names", [(), ("red", "", "", ""), ("a", "a", "a", "a")])
def test_without_names_the_order_holds(make_scene, caplog, names):
    scene = make_scene(values("uint8", 250), names)
    with caplog.at_level(logging.WARNING):
        assert make_bundle().match_bands(scene) == (1, 2, 3, 4)
        assert make_bundle(bands=("", "", "", "")).match_bands(scene) == (1, 2, 3, 4)
    assert not caplog.records


def test_bands_that_the_user_chose_keep_their_order(make_scene, caplog):
    scene = make_scene(values("uint8", 250), RGBN, SceneOptions(bands=(4, 3, 2, 1)))
    with caplog.at_level(logging.WARNING):
        assert make_bundle().match_bands(scene, bands_given=True) == (4, 3, 2, 1)
    assert not caplog.records
    short = make_scene(values("uint8", 250), RGBN, SceneOptions(bands=(4, 3)))
    with pytest.raises(BundleError, match="has 2 bands"):
        make_bundle().match_bands(short, bands_given=True)


@pytest.mark.parametrize(
    ("dtype", "high", "model_dtype", "model_top"),
    [
        ("uint16", 3000, "uint8", 200.0),
        ("float32", 1.0, "uint8", 200.0),
        ("float32", 1.0, "uint16", 4000.0),
        ("uint16", 10000, "float32", 0.4),
        ("uint8", 255, "uint16", 4000.0),
        ("uint16", 65535, "uint16", 3000.0),
    ],
)
def test_values_of_another_kind_are_refused(make_scene, dtype, high, model_dtype, model_top):
    scene = make_scene(values(dtype, high))
    with pytest.raises(BundleError, match=r"values to about .*--scale"):
        make_bundle(dtype=model_dtype, top=model_top).check(scene)


@pytest.mark.parametrize(
    ("dtype", "high", "model_dtype", "model_top"),
    [
        ("uint8", 30, "uint8", 200.0),  # a dark scene
        ("uint16", 250, "uint8", 200.0),  # the same values in a wider type
        ("float32", 250.0, "uint8", 200.0),
        ("uint16", 400, "uint16", 4000.0),
        ("uint16", 9000, "uint16", 3000.0),
        ("float32", 0.9, "float32", 0.4),
        ("uint8", 0, "uint8", 200.0),
    ],
)
def test_values_that_may_be_right_pass(make_scene, dtype, high, model_dtype, model_top):
    make_bundle(dtype=model_dtype, top=model_top).check(make_scene(values(dtype, high)))


def test_nodata_takes_no_part(make_scene):
    data = values("uint16", 200)
    data[:, 10:] = 65535
    make_bundle().check(make_scene(data, nodata=65535))
    make_bundle().check(make_scene(np.full((4, 5, 5), 65535, np.uint16), nodata=65535))
    lonely = values("float32", 200)
    lonely[0] = np.nan
    make_bundle().check(make_scene(lonely))


def test_a_scale_is_the_users_word(make_scene, caplog):
    scene = make_scene(values("float32", 1.0))
    with caplog.at_level(logging.WARNING):
        make_bundle().check(scene, scale=255.0)
        assert not caplog.records
        make_bundle().check(scene, scale=1e6)
    assert "multiplied by 1e+06" in caplog.text


def test_a_scene_of_one_pixel_is_sampled(make_scene):
    make_bundle().check(make_scene(values("uint8", 200, size=1)))


@pytest.mark.parametrize(("pixel", "told"), [(1.0, False), (1.2, False), (1.3, True), (0.5, True)])
def test_another_resolution_is_told(make_scene, caplog, pixel, told):
    scene = make_scene(values("uint8", 250), RGBN, pixel=pixel)
    with caplog.at_level(logging.WARNING):
        make_bundle().check(scene)
    assert ("--resolution 1 " in caplog.text) == told
    caplog.clear()
    make_bundle().check(scene, resolution_given=True)
    make_bundle(resolution=None).check(scene)
    assert not caplog.records


def test_a_paletted_scene_names_its_cure(tmp_path):
    path = tmp_path / "p.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=4,
        width=4,
        dtype="uint8",
        crs="EPSG:32632",
        transform=Affine(1, 0, 5e5, 0, -1, 5e6),
    ) as dataset:
        dataset.write(np.ones((1, 4, 4), np.uint8))
        dataset.write_colormap(1, {1: (9, 9, 9)})
    with pytest.raises(BundleError, match="--expand-palette"):
        make_bundle(bands=("red", "green", "blue")).check(Scene.open(path))
    expanded = Scene.open(path, SceneOptions(expand_palette=True))
    make_bundle(bands=("red", "green", "blue"), top=20).check(expanded)
    assert make_bundle(bands=("blue", "green", "red")).match_bands(expanded) == (3, 2, 1)
