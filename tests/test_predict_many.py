"""Panels, several devices, several models, scales and symmetries, through files."""

import dataclasses
import json

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine

from geoseg.engine import crew, parts, sink
from geoseg.engine.choose import BackendChooser
from geoseg.errors import BundleError, ConfigError, OutputError, WorkError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import SceneOptions
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, estimate, predict

CLASSES = ("ground", "roof", "water")
FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", prob_dtype="float32")


def linear_bundle(path, weights, *, names=CLASSES, window=32, stride=16, bands=("a", "b", "c")):
    """Scores that are weighted sums (classes, bands) of the bands, just as they are."""
    weights = torch.as_tensor(weights, dtype=torch.float32)
    spec = ModelSpec(arch="linear", in_channels=weights.shape[1], classes=weights.shape[0])
    network = build_model(spec)
    with torch.no_grad():
        network.network.weight.copy_(weights[:, :, None, None])
        network.network.bias.zero_()
    legend = Legend(
        classes=tuple(
            LegendClass(value=value, name=name, color=f"#00000{value}")
            for value, name in enumerate(names)
        )
    )
    card = ModelCard(
        spec=spec, activation="none", legend=legend.to_dict(), bands=bands, dtype="float32",
        scaling=Scaling(), window=window, stride=stride,
    )  # fmt: skip
    ModelBundle.of(network, card).save(path)
    return path


@pytest.fixture
def identity(tmp_path):
    return linear_bundle(tmp_path / "identity.safetensors", np.eye(3))


@pytest.fixture
def data():
    rows, cols = np.mgrid[:170, :1100] / 1100
    noise = np.random.default_rng(5).random((170, 1100))
    return np.stack([rows, cols, noise]).astype(np.float32)


@pytest.fixture
def scene(tmp_path, data):
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=170, width=1100, dtype="float32",
        crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(data)
        for band, name in enumerate("abc", start=1):
            dataset.set_band_description(band, name)
    return path


def probabilities(path, bundles, folder, **changes):
    folder.mkdir(exist_ok=True)
    options = dataclasses.replace(FP32, probabilities=folder / "p.tif", **changes)
    results = predict(path, bundles, folder / "c.tif", options)
    with rasterio.open(folder / "p.tif") as made:
        return made.read(), results[0]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_panels_give_the_bytes_of_the_whole(tmp_path, monkeypatch, scene, identity, blend):
    probabilities(scene, identity, tmp_path / "whole", blend=blend)
    monkeypatch.setattr(parts, "panel_width", lambda *_: 512)
    options = dataclasses.replace(FP32, max_memory=1)
    [told] = estimate(scene, identity, tmp_path / "none.tif", options)
    assert told.panels == 3
    probabilities(scene, identity, tmp_path / "panels", max_memory=1, blend=blend)
    assert content(tmp_path / "panels") == content(tmp_path / "whole")


@pytest.mark.parametrize("resolution", [0.8, 0.3])
def test_panels_of_another_resolution_give_the_whole(
    tmp_path, monkeypatch, scene, identity, resolution
):
    """But for the last digits: GDAL rounds otherwise where a window begins elsewhere."""
    changes = {"scene": SceneOptions(resolution=resolution)}
    whole, _ = probabilities(scene, identity, tmp_path / "whole", **changes)
    monkeypatch.setattr(parts, "panel_width", lambda *_: 512)
    panels, _ = probabilities(scene, identity, tmp_path / "panels", max_memory=1, **changes)
    np.testing.assert_allclose(panels, whole, atol=1e-5)


def test_memory_for_no_panel_is_refused_with_what_is_needed(tmp_path, scene, identity):
    options = dataclasses.replace(FP32, max_memory=10 << 20)
    with pytest.raises(ConfigError, match=r"10 MiB is too small: .* at least .*iB"):
        predict(scene, identity, tmp_path / "c.tif", options)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "identity.safetensors",
        "scene.tif",
    ]


def test_devices_share_a_scene(tmp_path, monkeypatch, scene, identity):
    monkeypatch.setattr(sink, "BLOCK", 64)
    monkeypatch.setattr(parts, "BLOCK", 64)
    probabilities(scene, identity, tmp_path / "one")
    monkeypatch.setattr(crew, "_devices", lambda _: [torch.device("cpu")] * 3)
    probabilities(scene, identity, tmp_path / "three")
    assert content(tmp_path / "three") == content(tmp_path / "one")


def test_error_on_one_device_ends_the_others(tmp_path, monkeypatch, scene, identity):
    monkeypatch.setattr(sink, "BLOCK", 64)
    monkeypatch.setattr(parts, "BLOCK", 64)
    monkeypatch.setattr(crew, "_devices", lambda _: [torch.device("cpu")] * 3)
    folder = tmp_path / "out"
    folder.mkdir()
    content = scene.read_bytes()
    scene.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(Exception, match=r"scene\.tif"):
        predict(scene, identity, folder / "c.tif", FP32)
    assert not list(folder.iterdir())


def test_two_models_are_averaged(tmp_path, scene, data, identity):
    swapped = linear_bundle(tmp_path / "swapped.safetensors", np.eye(3)[[1, 0, 2]])
    made, result = probabilities(scene, [identity, swapped], tmp_path / "out")
    mean = (data[0] + data[1]) / 2
    np.testing.assert_allclose(made, [mean, mean, data[2]], atol=1e-5)
    assert result.windows == 2 * 10 * 68  # rows x columns of windows, of two models


def test_models_of_unlike_windows_and_bands_are_averaged(tmp_path, scene, data, identity):
    other = linear_bundle(
        tmp_path / "other.safetensors",
        [[1, 0], [0, 1], [0, 0]],
        bands=("c", "a"),
        window=40,
        stride=25,
    )
    made, _ = probabilities(scene, [identity, other], tmp_path / "out")
    expected = [(data[0] + data[2]) / 2, (data[1] + data[0]) / 2, data[2] / 2]
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_votes_of_three_models(tmp_path, scene, data, identity):
    swapped = linear_bundle(tmp_path / "swapped.safetensors", np.eye(3)[[1, 0, 2]])
    made, _ = probabilities(scene, [identity, swapped, swapped], tmp_path / "out", combine="vote")
    votes = np.zeros_like(data)
    for scores in (data, data[[1, 0, 2]], data[[1, 0, 2]]):
        votes += np.eye(3)[scores.argmax(0)].transpose(2, 0, 1) / 3
    np.testing.assert_allclose(made, votes, atol=2e-4)
    with rasterio.open(tmp_path / "out" / "c.tif") as classes:
        assert (classes.read(1) == votes.argmax(0)).mean() > 0.999
        assert classes.tags()["GEOSEG_COMBINE"] == "vote"
        assert classes.tags()["GEOSEG_MODEL"] == ", ".join(
            path.name for path in (identity, swapped, swapped)
        )


def test_models_of_unlike_classes_are_refused(tmp_path, scene, identity):
    other = linear_bundle(
        tmp_path / "other.safetensors", np.eye(3), names=("ground", "water", "roof")
    )
    with pytest.raises(BundleError, match=r"other\.safetensors: has the classes .*1 water"):
        predict(scene, [identity, other], tmp_path / "c.tif", FP32)


@pytest.mark.parametrize("tta", ["flip", "d4"])
@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_symmetries_of_the_identity_are_the_scene(tmp_path, scene, data, identity, tta, blend):
    made, _ = probabilities(scene, identity, tmp_path / "out", tta=tta, blend=blend)
    np.testing.assert_allclose(made, data, atol=1e-5)


@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_scales_of_the_identity_are_the_smooth_part_of_the_scene(
    tmp_path, scene, data, identity, blend
):
    """Slopes outlive being made smaller and larger again; at the windows' edges they bend."""
    made, result = probabilities(
        scene, identity, tmp_path / "out", scales=(0.5, 1, 1.6), blend=blend
    )
    assert np.abs(made - data)[:2].max() < 2e-3
    assert np.abs(made - data)[2].max() > 0.1
    assert result.windows > 10 * 68
    with rasterio.open(tmp_path / "out" / "c.tif") as classes:
        assert classes.tags()["GEOSEG_SCALES"] == "0.5,1,1.6"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"overlap": 0.5, "stride": 16}, "--overlap: is given together with --stride"),
        ({"overlap": 1.0}, r"--overlap: 1\.0 is not within"),
        ({"scales": ()}, "--scales: names none"),
        ({"scales": (0.01,)}, r"--scales: 0\.01 is not within"),
        ({"scales": (0.5, 1), "mode": "resize"}, "--scales: means nothing with"),
        ({"max_memory": 1 << 40, "mode": "resize"}, "--max-memory: means nothing with"),
        ({"batch_size": 0}, "--batch-size: 0 is below 1"),
    ],
)
def test_options_that_make_no_sense(tmp_path, scene, identity, changes, told):
    with pytest.raises(ConfigError, match=told):
        predict(scene, identity, tmp_path / "c.tif", dataclasses.replace(FP32, **changes))


@pytest.mark.parametrize(("overlap", "stride"), [(0, 32), (0.25, 24), (0.5, 16), (0.75, 8)])
def test_overlap_is_told_as_stride(tmp_path, scene, identity, overlap, stride):
    options = dataclasses.replace(FP32, overlap=overlap)
    predict(scene, identity, tmp_path / "c.tif", options)
    with rasterio.open(tmp_path / "c.tif") as made:
        assert made.tags()["GEOSEG_STRIDE"] == str(stride)


def test_estimate_counts_what_the_run_does_and_writes_nothing(tmp_path, scene, identity):
    options = dataclasses.replace(FP32, tta="flip", scales=(1, 2))
    [told] = estimate(scene, identity, tmp_path / "c.tif", options)
    assert not (tmp_path / "c.tif").exists()
    [done] = predict(scene, identity, tmp_path / "c.tif", options)
    assert told.windows == done.windows * 2  # each is seen twice
    assert told.output_bytes == 170 * 1100
    assert told.panels == 1
    assert told.seconds > 0
    assert told.memory > 100 << 20
    with pytest.raises(OutputError, match="already exists"):
        estimate(scene, identity, tmp_path / "c.tif", options)


def test_timings_add_up(tmp_path, scene, identity):
    options = dataclasses.replace(FP32, timings=True)
    [result] = predict(scene, identity, tmp_path / "c.tif", options)
    report = json.loads(json.dumps(result.timings))
    assert report["windows"] == result.windows == 10 * 68
    assert report["megapixels"] == pytest.approx(0.187)
    seconds = report["seconds"]
    main = ["wait for rows", "cut", "forward", "add", "encode", "wait for writer", "finish"]
    assert sum(seconds[stage] for stage in main) <= seconds["total"] * 1.001
    assert seconds["forward"] > 0
    assert seconds["read"] > 0
    assert seconds["write"] > 0
    assert report["bound_by"] in {"network", "reading", "stitching", "writing"}
    assert report["bare_forward"]["ratio"] > 0
    assert report["peak_memory_mib"] > 100
    again = dataclasses.replace(FP32, overwrite=True)
    [silent] = predict(scene, identity, tmp_path / "c.tif", again)
    assert silent.timings is None


def test_nan_of_the_network_is_an_error_of_a_resized_scene_too(tmp_path, scene):
    broken = linear_bundle(tmp_path / "broken.safetensors", np.eye(3) * 3e38)
    options = dataclasses.replace(FP32, mode="resize", scale=1e30)
    with pytest.raises(WorkError, match=r"scene\.tif: the network gave NaN or infinity"):
        predict(scene, broken, tmp_path / "c.tif", options)


@pytest.mark.parametrize("resolution", [1.3, 2.0, 5.0])
def test_pixels_without_data_thin_no_scores_of_another_resolution(
    tmp_path, scene, identity, resolution
):
    """A scene of one value, but for a hole in it: the value comes back up to the hole's edge."""
    path = tmp_path / "hole.tif"
    values = np.full((3, 170, 1100), 5, np.float32)
    values[:, 30:140, 200:900] = -1
    with rasterio.open(scene) as like:
        profile = like.profile | {"nodata": -1}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)
    bands = SceneOptions(resolution=resolution, bands=(1, 2, 3))
    made, result = probabilities(path, identity, tmp_path / "out", scene=bands)
    valid = ~np.isnan(made[0])
    assert np.abs(made[:, valid] - 5).max() <= 1e-5
    assert not (valid & (values[0] == -1)).any()
    missed = (values[0] != -1) & ~valid
    assert missed.sum() <= 2 * (110 + 700) * resolution / 0.5
    assert result.nodata_pixels == (~valid).sum()


def test_area_far_from_the_first_windows_is_compared_on_too(tmp_path, scene, identity):
    area = geopandas.GeoDataFrame(
        geometry=[shapely.box(5e5 + 500, 5e6 - 80, 5e5 + 540, 5e6 - 40)], crs="EPSG:32632"
    )
    area.to_file(tmp_path / "area.gpkg")
    options = dataclasses.replace(FP32, aoi=tmp_path / "area.gpkg", timings=True)
    [result] = predict(scene, identity, tmp_path / "c.tif", options)
    assert result.windows < 100
    assert result.timings["bare_forward"] is not None


def test_time_of_symmetries_is_counted_once(tmp_path, monkeypatch, scene, identity):
    def measured(self, choice, *_):
        return dataclasses.replace(choice, window_seconds=0.5)

    monkeypatch.setattr(BackendChooser, "measure", measured)
    options = dataclasses.replace(FP32, tta="d4")
    [told] = estimate(scene, identity, tmp_path / "c.tif", options)
    assert told.windows == 10 * 68 * 8
    assert told.seconds == pytest.approx(10 * 68 * 8 * 0.5 / 0.95)


def test_scenes_one_after_the_other_are_cut_alike(tmp_path, monkeypatch, scene, identity):
    """The strips of the first scene are not taken for what the second one needs."""
    planned = []
    plan = parts.panel_width

    def record(max_memory, need, *rest):
        planned.append(need.fixed)
        return plan(max_memory, need, *rest)

    monkeypatch.setattr(parts, "panel_width", record)
    for name in "ab":
        (tmp_path / f"{name}.tif").write_bytes(scene.read_bytes())
    options = dataclasses.replace(FP32, max_memory=64 << 30)
    predict([tmp_path / "a.tif", tmp_path / "b.tif"], identity, tmp_path / "maps", options)
    assert abs(planned[1] - planned[0]) < 30 << 20
