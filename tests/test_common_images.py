"""Plain pictures without a CRS: cut, trained on and predicted in pixels, from PNG, JPEG and npy."""

import numpy as np
import pytest
import rasterio
from PIL import Image

import geoseg
from geoseg.errors import ConfigError, SceneError, TileSetError
from geoseg.geo.raster import SceneOptions
from geoseg.geo.tileset import TileSet
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.config import parse_config
from geoseg.nn.setup import prepare
from geoseg.predict import PredictOptions, predict
from geoseg.tile import TileOptions
from geoseg.train import train

LEGEND = """
[[classes]]
value = 0
name = "dark"
color = "#101010"
[[classes]]
value = 1
name = "light"
color = "#f0c020"
"""
SHAPES = [(40, 56), (64, 48), (48, 48), (50, 70), (44, 44)]


def make_classes(shape, seed):
    """Blocks of 8 pixels of both classes."""
    blocks = np.random.default_rng(seed).integers(0, 2, (shape[0] // 8 + 1, shape[1] // 8 + 1))
    return np.kron(blocks, np.ones((8, 8), int))[: shape[0], : shape[1]].astype(np.uint8)


def write_image(path, classes, bands, seed):
    """A picture (height, width[, bands]) whose light pixels are the second class."""
    noise = np.random.default_rng(seed).integers(0, 30, (*classes.shape, max(bands, 1)))
    picture = (classes[..., None] * 180 + noise).astype(np.uint8)
    if path.suffix == ".npy":
        np.save(path, picture[..., 0] if bands == 1 else picture.transpose(2, 0, 1))
    else:
        Image.fromarray(picture[..., 0] if bands == 1 else picture).save(path, quality=95)


def write_labels(path, classes, kind):
    if kind == "npy":
        np.save(path.with_suffix(".npy"), classes)
        return
    image = Image.fromarray(classes)
    if kind == "palette":
        image.putpalette([0x10, 0x10, 0x10, 0xF0, 0xC0, 0x20])
    elif kind == "rgb":
        colors = np.array([[0x10, 0x10, 0x10], [0xF0, 0xC0, 0x20]], np.uint8)
        image = Image.fromarray(colors[classes])
    image.save(path.with_suffix(".png"))


def make_pairs(folder, *, suffix=".png", bands=3, labels="index", shapes=SHAPES):
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for seed, shape in enumerate(shapes):
        classes = make_classes(shape, seed)
        write_image(folder / "images" / f"p{seed}{suffix}", classes, bands, seed)
        write_labels(folder / "labels" / f"p{seed}", classes, labels)
    (folder / "legend.toml").write_text(LEGEND)


def configure(folder, **data):
    scenes = {
        "scenes": [str(folder / "images")],
        "labels": str(folder / "labels"),
        "legend": str(folder / "legend.toml"),
    }
    return parse_config(
        {
            "name": "pictures",
            "data": {**({} if "tiles" in data else scenes), "crop": 32, **data},
            "model": {"arch": "linear"},
            "optimizer": {"lr": 0.1},
            "train": {"epochs": 6, "device": "cpu", "precision": "fp32", "workers": 0},
        }
    )


KINDS = [
    pytest.param(".png", 1, "index", {}, id="gray"),
    pytest.param(".png", 3, "palette", {}, id="rgb, palette labels"),
    pytest.param(".jpg", 3, "rgb", {}, id="jpeg, colour labels"),
    pytest.param(".npy", 1, "npy", {}, id="npy of two axes"),
    pytest.param(".npy", 5, "index", {"npy_axes": "bhw"}, id="npy of five bands"),
]


@pytest.mark.parametrize(("suffix", "bands", "labels", "options"), KINDS)
def test_pictures_are_trained_on_and_predicted_in_pixels(tmp_path, suffix, bands, labels, options):
    make_pairs(tmp_path, suffix=suffix, bands=bands, labels=labels)
    result = train(configure(tmp_path, **options), tmp_path / "run")
    assert result.metrics["val/mean_iou"] > 0.95
    folder = tmp_path / "maps"
    scene = SceneOptions(**options)
    predict(
        str(tmp_path / "images"), result.bundle, folder, PredictOptions(scene=scene, device="cpu")
    )
    for seed, shape in enumerate(SHAPES):
        with rasterio.open(folder / f"p{seed}.tif") as made:
            assert made.crs is None
            assert made.transform.is_identity
            assert made.shape == shape
            assert (made.read(1) == make_classes(shape, seed)).mean() > 0.97


@pytest.mark.parametrize(("suffix", "bands", "labels", "options"), KINDS)
def test_pictures_are_cut_into_tiles_that_train(tmp_path, suffix, bands, labels, options):
    make_pairs(tmp_path, suffix=suffix, bands=bands, labels=labels)
    cut = TileOptions(size=32, split=(0.6, 0.4, 0), split_by="scene", **options)
    geoseg.tile(
        [str(tmp_path / "images")], str(tmp_path / "labels"), tmp_path / "tiles", cut,
        legend=tmp_path / "legend.toml",
    )  # fmt: skip
    tiles = TileSet.open(tmp_path / "tiles")
    assert (tiles.crs, tiles.resolution, tiles.bands) == (None, None, bands)
    data, mask, _ = tiles.read_tile(tiles.tiles[0])
    light = data[0] > 90
    assert (light == mask)[mask != 255].mean() > 0.97
    result = train(configure(tmp_path, tiles=[str(tmp_path / "tiles")]), tmp_path / "run")
    assert result.metrics["val/mean_iou"] > 0.95


def test_npy_of_three_axes_is_refused_with_the_key_that_mends_it(tmp_path):
    make_pairs(tmp_path, suffix=".npy", bands=5)
    with pytest.raises(SceneError, match=r"three axes, .*data\.npy_axes"):
        prepare(configure(tmp_path))


@pytest.mark.parametrize("mode", ["random", "center", "resize", "none"])
def test_every_mode_trains(tmp_path, mode):
    make_pairs(tmp_path)
    result = train(configure(tmp_path, crop_mode=mode, crop=96), tmp_path / "run")
    assert result.metrics["val/mean_iou"] > (0.8 if mode == "resize" else 0.95)


def samples(config):
    setup = prepare(config)
    return setup, [setup.train[index] for index in range(len(setup.train))]


def test_center_takes_the_middle_of_each_picture(tmp_path):
    make_pairs(tmp_path)
    setup, found = samples(configure(tmp_path, crop_mode="center"))
    paths = sorted((tmp_path / "images").iterdir())
    middles = []
    for path in paths:
        picture = np.asarray(Image.open(path)).transpose(2, 0, 1)
        top, left = ((length - 32) // 2 for length in picture.shape[1:])
        middles.append(picture[:, top : top + 32, left : left + 32])
    assert len(found) + len(setup.val) == len(paths)
    for sample in found:
        assert any((sample["image"].numpy() == middle).all() for middle in middles)


def test_none_pads_the_whole_picture(tmp_path):
    make_pairs(tmp_path)
    _, found = samples(configure(tmp_path, crop_mode="none", crop=80))
    shapes = {tuple(sample["valid"].sum(dim).max().item() for dim in (0, 1)) for sample in found}
    assert shapes <= set(SHAPES)
    for sample in found:
        assert sample["image"].shape == (3, 80, 80)
        assert ((sample["target"] == 255) == ~sample["valid"]).all()
    with pytest.raises(
        ConfigError, match=r"data\.crop: is smaller than .*never cropped.*Set it to (64|96)"
    ):
        prepare(configure(tmp_path, crop_mode="none", crop=48))


def test_resize_is_what_another_library_makes_of_it(tmp_path):
    make_pairs(tmp_path)
    setup, found = samples(configure(tmp_path, crop_mode="resize", crop=24))
    expected, masks = [], []
    for path in sorted((tmp_path / "images").iterdir()):
        picture = np.asarray(Image.open(path)).astype(np.float32)
        bands = [
            np.asarray(Image.fromarray(band).resize((24, 24), Image.Resampling.BILINEAR))
            for band in picture.transpose(2, 0, 1)
        ]
        expected.append(np.stack(bands))
        label = Image.open(tmp_path / "labels" / path.name)
        masks.append(np.asarray(label.resize((24, 24), Image.Resampling.NEAREST)))
    for sample in found:
        errors = [np.abs(sample["image"].numpy() - each).max() for each in expected]
        best = int(np.argmin(errors))
        assert errors[best] < 0.01
        assert (sample["target"].numpy() == masks[best]).mean() > 0.99
    assert setup.val.form.height == setup.val.form.width == 24


def test_resize_knows_nothing_under_what_is_not_valid(tmp_path):
    make_pairs(tmp_path, suffix=".npy", bands=1, labels="npy", shapes=[(48, 48)] * 4)
    for path in (tmp_path / "images").iterdir():
        picture = np.load(path).astype(np.float32)
        picture[:24] = np.nan
        np.save(path, picture)
    _, found = samples(configure(tmp_path, crop_mode="resize", crop=24))
    for sample in found:
        assert sample["image"].isfinite().all()
        assert not sample["valid"][:12].any()
        assert sample["valid"][12:].all()
        assert (sample["target"][:12] == 255).all()


@pytest.mark.parametrize("mode", ["center", "resize", "none"])
def test_modes_of_tiles(tmp_path, mode):
    make_pairs(tmp_path)
    cut = TileOptions(size=32, split=(0.6, 0.4, 0), split_by="scene")
    geoseg.tile(
        [str(tmp_path / "images")], str(tmp_path / "labels"), tmp_path / "tiles", cut,
        legend=tmp_path / "legend.toml",
    )  # fmt: skip
    tiles = [str(tmp_path / "tiles")]
    crop = {"center": 20, "resize": 16, "none": 40}[mode]
    setup, found = samples(configure(tmp_path, tiles=tiles, crop_mode=mode, crop=crop))
    assert found[0]["image"].shape == (3, crop, crop)
    assert setup.val.form.height == (16 if mode == "resize" else 32)
    first, again = setup.train[0]["image"], setup.train[0]["image"]
    assert (first == again).all()
    with pytest.raises(ConfigError, match=r"tiles of 32 pixels.*never cropped"):
        prepare(configure(tmp_path, tiles=tiles, crop_mode="none", crop=24))


def test_keys_that_make_no_sense_are_refused(tmp_path):
    make_pairs(tmp_path)
    with pytest.raises(ConfigError, match="cat_max_ratio is of crops at random"):
        configure(tmp_path, crop_mode="center", cat_max_ratio=0.5)
    with pytest.raises(ConfigError, match="npy_axes: of scenes"):
        configure(tmp_path, tiles=["somewhere"], npy_axes="bhw")
    with pytest.raises(ConfigError, match="crop_mode"):
        configure(tmp_path, crop_mode="middle")
    with pytest.raises((TileSetError, ConfigError)):
        prepare(configure(tmp_path, tiles=[str(tmp_path)], crop_mode="none"))


def test_a_bundle_remembers_that_it_was_trained_on_whole_pictures(tmp_path, caplog):
    make_pairs(tmp_path)
    bundle = train(configure(tmp_path, crop_mode="resize"), tmp_path / "run").bundle
    assert ModelBundle.open(bundle).card.mode == "resize"
    scene = str(next((tmp_path / "images").iterdir()))

    def tags(name, **options):
        caplog.clear()
        predict(scene, bundle, tmp_path / name, PredictOptions(device="cpu", **options))
        with rasterio.open(tmp_path / name) as dataset:
            return dataset.tags()["GEOSEG_STRIDE"]

    with caplog.at_level("INFO"):
        assert tags("a.tif") == "resize"
        assert "trained on whole images, scaled to 32 pixels" in caplog.text
        assert tags("b.tif", mode="resize") == "resize"
        assert tags("c.tif", mode="stride") == "16"
        assert "whole images" not in caplog.text
        # what is said of windows asks for windows
        assert tags("d.tif", stride=8) == "8"
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "b.tif") as other:
        assert np.array_equal(one.read(), other.read())
    cropped = train(configure(tmp_path), tmp_path / "cropped").bundle
    assert ModelBundle.open(cropped).card.mode == "stride"
    predict(scene, [bundle, cropped], tmp_path / "e.tif", PredictOptions(device="cpu"))
    with rasterio.open(tmp_path / "e.tif") as dataset:
        assert "resize" not in dataset.tags()["GEOSEG_STRIDE"]
