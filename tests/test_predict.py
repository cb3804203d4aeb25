"""`predict` through files: a linear network whose weights are known is the oracle."""

import dataclasses
import json

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image
from shapely import box

from geoseg.errors import BundleError, ConfigError, LegendError, OutputError, SceneError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import SceneOptions
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict

LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="background", color="#000000"),
        LegendClass(value=3, name="roof & yard", color="#e6194b"),
        LegendClass(value=7, name="water", color="#0082c8"),
    )
)
FP32 = PredictOptions(precision="fp32", device="cpu")


def identity_bundle(path, **changes):
    """Three bands in, the same three values out, as scores of three classes."""
    spec = ModelSpec(arch="linear", in_channels=3, classes=3)
    network = build_model(spec)
    with torch.no_grad():
        network.network.weight.copy_(torch.eye(3)[:, :, None, None])
        network.network.bias.zero_()
    card = ModelCard(
        spec=spec,
        activation="none",
        legend=LEGEND.to_dict(),
        bands=("a", "b", "c"),
        dtype="float32",
        scaling=Scaling(),
        window=32,
        stride=16,
    ).model_copy(update=changes)
    ModelBundle.of(network, card).save(path)
    return path


@pytest.fixture
def bundle(tmp_path):
    return identity_bundle(tmp_path / "identity.safetensors")


@pytest.fixture
def data():
    values = np.random.default_rng(5).random((3, 75, 53)).astype(np.float32)
    values[:, :20, :11] = -9
    return values


@pytest.fixture
def scene(tmp_path, data):
    return write(tmp_path / "scene.tif", data, nodata=-9, names=("a", "b", "c"))


def write(path, data, *, names=(), transform=None, crs="EPSG:32632", **profile):
    count, height, width = data.shape
    transform = transform or Affine(0.5, 0, 5e5, 0, -0.5, 5e6)
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=data.dtype,
        crs=crs, transform=transform, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(data)
        for band, name in enumerate(names, start=1):
            dataset.set_band_description(band, name)
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_probabilities_of_the_identity_network_are_the_scene(tmp_path, scene, data, bundle):
    options = dataclasses.replace(
        FP32, probabilities=tmp_path / "p.tif", prob_dtype="float32", stride=11
    )
    predict(scene, bundle, tmp_path / "c.tif", options)
    probabilities = read(tmp_path / "p.tif")
    valid = data[0] != -9
    assert np.abs(probabilities - data)[:, valid].max() <= 1e-6
    assert np.isnan(probabilities[:, ~valid]).all()


@pytest.mark.parametrize("tta", ["none", "d4"])
def test_a_sigmoid_bundle_gives_the_mean_of_the_sigmoids(tmp_path, scene, data, bundle, tta):
    """Of each class by itself, at every pixel, over windows, symmetries and models."""
    sigmoid = identity_bundle(tmp_path / "sigmoid.safetensors", activation="sigmoid")
    other = identity_bundle(
        tmp_path / "other.safetensors",
        activation="sigmoid",
        scaling=Scaling(kind="divide", divisor=0.25),
    )
    options = dataclasses.replace(
        FP32, probabilities=tmp_path / "p.tif", prob_dtype="float32", stride=11, tta=tta
    )
    predict(scene, [sigmoid, other], tmp_path / "c.tif", options)
    expected = (1 / (1 + np.exp(-data)) + 1 / (1 + np.exp(-4 * data))) / 2
    valid = data[0] != -9
    assert np.abs(read(tmp_path / "p.tif") - expected)[:, valid].max() <= 1e-6
    highest = np.array(LEGEND.values)[data.argmax(0)]
    assert (read(tmp_path / "c.tif")[0] == highest)[valid].all()


def test_class_raster_holds_the_value_of_the_highest_score(tmp_path, scene, data, bundle):
    [result] = predict(scene, bundle, tmp_path / "c.tif", FP32)
    expected = np.array(LEGEND.values)[data.argmax(0)]
    expected[data[0] == -9] = 255
    assert (read(tmp_path / "c.tif")[0] == expected).all()
    counts = [int((expected == value).sum()) for value in LEGEND.values]
    assert list(result.pixels.values()) == counts
    assert result.nodata_pixels == 20 * 11


def test_class_raster_lies_where_the_scene_lies_and_tells_what_it_is(tmp_path, scene, bundle):
    predict(scene, bundle, tmp_path / "c.tif", FP32)
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "c.tif") as made:
        assert made.transform == source.transform
        assert made.crs == source.crs
        assert made.nodata == 255
        assert made.dtypes == ("uint8",)
        assert made.colormap(1)[3] == (0xE6, 0x19, 0x4B, 255)
        assert made.descriptions == ("class",)
        tags = made.tags()
    assert tags["GEOSEG_WINDOW"] == "32"
    assert tags["GEOSEG_STRIDE"] == "16"
    assert tags["GEOSEG_SCENE"] == "scene.tif"
    assert tags["GEOSEG_MODEL_SHA256"] == ModelBundle.open(bundle).sha256
    assert "roof &amp; yard" in (tmp_path / "c.tif.aux.xml").read_text()
    assert "roof &amp; yard" in (tmp_path / "c.qml").read_text()


def test_probability_raster_is_quantised_and_named(tmp_path, scene, data, bundle):
    options = dataclasses.replace(FP32, probabilities=tmp_path / "p.tif")
    predict(scene, bundle, tmp_path / "c.tif", options)
    with rasterio.open(tmp_path / "p.tif") as made:
        assert made.descriptions == ("background", "roof & yard", "water")
        assert made.scales == (0.005,) * 3
        assert made.nodata == 255
        values = made.read()
    valid = data[0] != -9
    assert np.abs(values * 0.005 - data)[:, valid].max() <= 0.0025 + 1e-6
    assert (values[:, ~valid] == 255).all()


TRANSFORMS = [
    pytest.param(Affine(0.5, 0, 5e5, 0, 0.5, 5e6), "EPSG:32632", id="south up"),
    pytest.param(Affine(0.4, 0.3, 5e5, 0.3, -0.4, 5e6), "EPSG:32632", id="rotated"),
    pytest.param(Affine(1e-5, 0, 11.1, 0, -2e-5, 47.3), "EPSG:4326", id="degrees"),
    pytest.param(
        Affine(300, 0, 1e5, 0, -300, 2e5),
        "+proj=laea +lat_0=12 +lon_0=-7 +ellps=bessel +units=m",
        id="own CRS",
    ),
]


@pytest.mark.parametrize(("transform", "crs"), TRANSFORMS)
def test_any_grid_is_carried_exactly(tmp_path, data, bundle, transform, crs):
    scene = write(tmp_path / "s.tif", data, nodata=-9, transform=transform, crs=crs)
    predict(scene, bundle, tmp_path / "c.tif", FP32)
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "c.tif") as made:
        assert made.transform == source.transform
        assert made.crs == source.crs
        expected = np.array(LEGEND.values)[data.argmax(0)]
        assert (made.read(1) == expected)[data[0] != -9].all()


@pytest.mark.parametrize("under_the_mask", [0.0, 1e6])
def test_what_lies_under_the_mask_changes_no_valid_pixel(tmp_path, data, under_the_mask):
    """A network with a wide view, so that it would see what is hidden."""
    torch.manual_seed(0)
    spec = ModelSpec(arch="unet", encoder="resnet18", in_channels=3, classes=3)
    stats = Scaling(kind="standardize", mean=(0.5,) * 3, std=(0.3,) * 3)
    card = ModelCard(
        spec=spec, legend=LEGEND.to_dict(), bands=("", "", ""), dtype="float32", scaling=stats,
        window=32, stride=16,
    )  # fmt: skip
    bundle = tmp_path / "unet.safetensors"
    ModelBundle.of(build_model(spec), card).save(bundle)
    valid = data[0] != -9
    results = []
    for place, fill in enumerate((0.25, under_the_mask)):
        hidden = np.where(valid, data, np.float32(fill))
        scene = tmp_path / f"{place}.tif"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write(scene, hidden)
            with rasterio.open(scene, "r+") as dataset:
                dataset.write_mask(valid)
        options = dataclasses.replace(
            FP32, probabilities=tmp_path / f"p{place}.tif", prob_dtype="float32"
        )
        predict(scene, bundle, tmp_path / f"c{place}.tif", options)
        results.append(read(tmp_path / f"p{place}.tif")[:, valid])
    assert results[0].tobytes() == results[1].tobytes()
    np.testing.assert_allclose(results[0].sum(0), 1, atol=1e-5)


def test_area_of_interest_hides_the_rest(tmp_path, scene, data, bundle):
    left, bottom, right, top = 5e5 + 10, 5e6 - 30, 5e5 + 20, 5e6 - 12
    area = geopandas.GeoDataFrame(geometry=[box(left, bottom, right, top)], crs="EPSG:32632")
    area.to_crs("EPSG:3857").to_file(tmp_path / "area.geojson")
    predict(scene, bundle, tmp_path / "c.tif",
            dataclasses.replace(FP32, aoi=tmp_path / "area.geojson"))  # fmt: skip
    inside = read(tmp_path / "c.tif")[0] != 255
    expected = np.zeros((75, 53), bool)
    expected[24:60, 20:40] = True  # half-metre pixels of that rectangle
    assert (inside == expected).all()


def test_excluded_classes_are_never_chosen(tmp_path, scene, data, bundle):
    predict(scene, bundle, tmp_path / "c.tif", dataclasses.replace(FP32, exclude=("water", "0")))
    assert set(np.unique(read(tmp_path / "c.tif"))) == {3, 255}


def test_excluding_a_class_that_is_not_there_is_refused(tmp_path, scene, bundle):
    with pytest.raises(LegendError, match="roof & yard"):
        predict(scene, bundle, tmp_path / "c.tif", dataclasses.replace(FP32, exclude=("lawn",)))


def test_bands_are_matched_by_name(tmp_path, data, bundle):
    shuffled = write(
        tmp_path / "s.tif", data[[2, 0, 1, 0]], nodata=-9, names=("c", "a", "b", "other")
    )
    options = dataclasses.replace(FP32, scene=SceneOptions(bands=("c", "a", "b")))
    predict(shuffled, bundle, tmp_path / "given.tif", options)
    predict(shuffled, bundle, tmp_path / "named.tif", FP32)
    valid = data[0] != -9
    by_name = np.array(LEGEND.values)[data.argmax(0)]
    as_given = np.array(LEGEND.values)[data[[2, 0, 1]].argmax(0)]
    assert (read(tmp_path / "named.tif")[0] == by_name)[valid].all()
    assert (read(tmp_path / "given.tif")[0] == as_given)[valid].all()


def test_another_resolution_comes_back_on_the_scenes_own_grid(tmp_path, bundle):
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    data = np.stack([np.tile(ramp, (64, 1)), np.tile(1 - ramp, (64, 1)), np.zeros((64, 64))])
    scene = write(tmp_path / "s.tif", data.astype(np.float32), names=("a", "b", "c"))
    options = dataclasses.replace(
        FP32, scene=SceneOptions(resolution=1.0), probabilities=tmp_path / "p.tif",
        prob_dtype="float32",
    )  # fmt: skip
    predict(scene, bundle, tmp_path / "c.tif", options)
    made = read(tmp_path / "p.tif")
    assert made.shape == data.shape
    # Down by two and up again leaves a ramp as it was, but at its ends.
    assert np.abs(made - data)[:, 2:-2, 2:-2].max() < 1e-3


def test_resize_mode_sees_the_whole_scene_at_once(tmp_path, bundle):
    data = np.zeros((3, 120, 70), np.float32)
    data[0, :60], data[1, 60:] = 1, 1
    scene = write(tmp_path / "s.tif", data, names=("a", "b", "c"))
    [result] = predict(scene, bundle, tmp_path / "c.tif", dataclasses.replace(FP32, mode="resize"))
    made = read(tmp_path / "c.tif")[0]
    assert (made[:58] == 0).all()
    assert (made[62:] == 3).all()
    assert result.windows == 1


def test_plain_images_are_predicted_in_pixel_space(tmp_path):
    bundle = identity_bundle(tmp_path / "b.safetensors", dtype="uint8", bands=("", "", ""))
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    predict(tmp_path / "image.png", bundle, tmp_path / "c.tif", FP32)
    made = read(tmp_path / "c.tif")[0]
    assert (made == np.array(LEGEND.values)[pixels.argmax(2)]).all()


def test_several_scenes_go_into_a_folder(tmp_path, data, bundle):
    for name in ("one", "two"):
        write(tmp_path / f"{name}.tif", data, names=("a", "b", "c"), nodata=-9)
    options = dataclasses.replace(
        FP32, probabilities=tmp_path / "prob", polygons=tmp_path / "polygons"
    )
    results = predict([tmp_path / "*.tif"], bundle, tmp_path / "out", options)
    assert [r.classes for r in results] == [tmp_path / "out/one.tif", tmp_path / "out/two.tif"]
    assert sorted(p.name for p in (tmp_path / "prob").glob("*.tif")) == ["one.tif", "two.tif"]
    frame = geopandas.read_file(tmp_path / "polygons" / "one.gpkg", layer="segments")
    assert set(frame["class_name"]) == set(LEGEND.names)


def test_scenes_of_one_name_cannot_go_into_one_folder(tmp_path, data, bundle):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "s.tif", data, names=("a", "b", "c"), nodata=-9)
    with pytest.raises(OutputError, match="twice"):
        predict([tmp_path / "x/s.tif", tmp_path / "y/s.tif"], bundle, tmp_path / "out", FP32)


def test_polygons_have_the_mean_probability_of_their_class(tmp_path, bundle):
    data = np.zeros((3, 40, 40), np.float32)
    data[0], data[1, 10:20, 10:30] = 0.4, 0.8
    scene = write(tmp_path / "s.tif", data, names=("a", "b", "c"))
    options = dataclasses.replace(
        FP32, probabilities=tmp_path / "p.tif", polygons=tmp_path / "p.gpkg"
    )
    predict(scene, bundle, tmp_path / "c.tif", options)
    frame = geopandas.read_file(tmp_path / "p.gpkg", layer="segments").set_index("class_name")
    assert frame.loc["roof & yard", "area_m2"] == pytest.approx(10 * 20 * 0.25)
    assert frame.loc["roof & yard", "mean_prob"] == pytest.approx(0.8, abs=0.003)
    assert frame.loc["background", "mean_prob"] == pytest.approx(0.4, abs=0.003)


def test_scale_brings_raw_values_to_the_units_of_the_bundle(tmp_path, data, bundle):
    scene = write(
        tmp_path / "s.tif", np.round(data.clip(0) * 10000).astype(np.uint16), names=("a", "b", "c")
    )
    options = dataclasses.replace(
        FP32, scale=1e-4, probabilities=tmp_path / "p.tif", prob_dtype="float32"
    )
    predict(scene, bundle, tmp_path / "c.tif", options)
    assert np.abs(read(tmp_path / "p.tif") - data.clip(0)).max() < 1e-4


class TestRefusals:
    def refused(self, tmp_path, error, match, scenes, bundle, output, options=FP32):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with pytest.raises(error, match=match):
            predict(scenes, bundle, output, options)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_output_exists(self, tmp_path, scene, bundle):
        (tmp_path / "c.tif").write_text("mine")
        self.refused(tmp_path, OutputError, "--overwrite", scene, bundle, tmp_path / "c.tif")

    def test_output_is_the_input(self, tmp_path, scene, bundle):
        (tmp_path / "link.tif").symlink_to(scene)
        options = dataclasses.replace(FP32, overwrite=True)
        output = tmp_path / "link.tif"
        self.refused(tmp_path, OutputError, "input", scene, bundle, output, options)

    def test_folder_is_missing(self, tmp_path, scene, bundle):
        output = tmp_path / "no" / "c.tif"
        self.refused(tmp_path, OutputError, "does not exist", scene, bundle, output)

    def test_scene_is_missing(self, tmp_path, bundle):
        output = tmp_path / "c.tif"
        self.refused(tmp_path, SceneError, "no.tif", tmp_path / "no.tif", bundle, output)

    def test_band_count(self, tmp_path, data, bundle):
        scene = write(tmp_path / "s.tif", data[:2])
        self.refused(tmp_path, BundleError, "--bands", scene, bundle, tmp_path / "c.tif")

    def test_values_of_another_kind(self, tmp_path, data, bundle):
        byte = identity_bundle(tmp_path / "byte.safetensors", dtype="uint8")
        scene = write(tmp_path / "s.tif", np.full((3, 40, 40), 3000, np.uint16))
        self.refused(tmp_path, BundleError, "--scale", scene, byte, tmp_path / "c.tif")

    def test_palette(self, tmp_path, bundle):
        scene = write(tmp_path / "s.tif", np.zeros((1, 40, 40), np.uint8))
        with rasterio.open(scene, "r+") as dataset:
            dataset.write_colormap(1, {0: (1, 2, 3, 255)})
        self.refused(tmp_path, SceneError, "--expand-palette", scene, bundle, tmp_path / "c.tif")

    @pytest.mark.parametrize(
        "change",
        [{"window": 0}, {"stride": 0}, {"stride": 64}, {"batch_size": 0}, {"device": "cuda:99"}],
    )
    def test_impossible_options(self, tmp_path, scene, bundle, change):
        options = dataclasses.replace(FP32, **change)
        name = next(iter(change)).replace("_", "-")
        self.refused(tmp_path, ConfigError, name, scene, bundle, tmp_path / "c.tif", options)


def test_failure_in_the_middle_leaves_nothing(tmp_path, data, bundle):
    data = np.tile(data, (1, 9, 1))
    data[1, 400, 17] = np.inf  # replaced by the band's mean, unlike an overflow of the network
    data[0, 500:, :] = 3e38
    scene = write(tmp_path / "s.tif", data, names=("a", "b", "c"))
    broken = identity_bundle(
        tmp_path / "b.safetensors", scaling=Scaling(kind="divide", divisor=1e-9)
    )
    before = set(tmp_path.iterdir())
    with pytest.raises(Exception, match="NaN or infinity"):
        predict(scene, broken, tmp_path / "c.tif", FP32)
    assert set(tmp_path.iterdir()) == before


def test_progress_is_told_in_rows(tmp_path, scene, bundle, capsys):
    from geoseg.progress import Progress

    predict(scene, bundle, tmp_path / "c.tif", FP32, progress=Progress("json"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    last = [line for line in lines if line["event"] == "progress"][-1]
    assert last["done"] == last["total"] == 75


def test_a_name_without_suffix_is_a_folder(scene, bundle, tmp_path):
    (result,) = predict(scene, bundle, tmp_path / "a" / "b", FP32)
    assert result.classes == tmp_path / "a" / "b" / "scene.tif"
    assert result.classes.is_file()
