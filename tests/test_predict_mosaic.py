"""One VRT over the class rasters of many scenes, refused before any work where it cannot be."""

import dataclasses
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from exact_networks import identity_bundle

from geoseg.errors import OutputError, SceneError
from geoseg.geo.legend import Legend
from geoseg.geo.vrt import check_vrt
from geoseg.predict import PredictOptions, estimate, predict
from geoseg_cli.predict import command

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch")
PLACE = Affine(2, 0, 500_000, 0, -2, 5_300_000)


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "identity.safetensors"
    identity_bundle().save(path)
    return path


@pytest.fixture
def scenes(tmp_path, make_scene):
    """Of 80 x 90 pixels each; the second begins 60 columns to the right, 10 rows lower."""
    draw = np.random.default_rng(2)
    (tmp_path / "scenes").mkdir()
    found = []
    for name, col, row in (("a", 0, 0), ("b", 60, 10)):
        data = draw.integers(1, 255, (3, 80, 90)).astype("uint8")
        data[:, 20:40, :30] = 0
        place = PLACE @ Affine.translation(col, row)
        made = make_scene(data, f"{name}.tif", nodata=0, crs="EPSG:32632", transform=place)
        found.append(shutil.move(made, tmp_path / "scenes"))
    return found


def test_the_mosaic_shows_the_class_rasters(tmp_path, scenes, bundle):
    target = tmp_path / "maps.vrt"
    options = dataclasses.replace(FP32, mosaic=target)
    results = predict(scenes, bundle, tmp_path / "maps", options)
    first, second = (rasterio.open(result.classes).read(1) for result in results)
    expected = np.full((90, 150), 255)
    expected[:80, :90] = first
    seen = expected[10:, 60:]
    seen[second != 255] = second[second != 255]
    with rasterio.open(target) as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)
        assert dataset.tags()["GEOSEG_SCENES"] == "2"
        assert "GEOSEG_MODEL_SHA256" in dataset.tags()
    names = [entry.name for entry in Legend.open(target.with_suffix(".qml")).classes]
    assert names == [entry.name for entry in Legend.open(results[0].classes).classes]
    check_vrt(target)
    with pytest.raises(OutputError, match=r"already exists"):
        predict(scenes, bundle, tmp_path / "again", options)
    assert not (tmp_path / "again").exists()
    again = dataclasses.replace(options, resume=True)
    assert [result.windows for result in predict(scenes, bundle, tmp_path / "maps", again)] == [
        0,
        0,
    ]


def test_a_mosaic_in_the_folder_of_the_maps(tmp_path, scenes, bundle):
    words = [*map(str, scenes), "-m", str(bundle), "-o", str(tmp_path / "maps"), "--device", "cpu"]
    words += ["--mosaic", str(tmp_path / "maps" / "all.vrt"), "--backend", "torch", "-q"]
    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert f"2 class rasters -> {tmp_path / 'maps' / 'all.vrt'}" in result.output
    text = (tmp_path / "maps" / "all.vrt").read_text()
    assert '<SourceFilename relativeToVRT="1">b.tif</SourceFilename>' in text


@pytest.mark.parametrize("job", [predict, estimate])
def test_scenes_that_share_no_pixels_are_refused_before_any_work(
    tmp_path, scenes, bundle, make_scene, job
):
    odd = make_scene(
        (3, 40, 40), "odd.tif", crs="EPSG:32632", transform=PLACE @ Affine.translation(0.25, 0)
    )
    options = dataclasses.replace(FP32, mosaic=tmp_path / "maps.vrt")
    told = r"odd.tif: lies \+0\.25 columns and \+0 rows off the pixels of .*a\.tif"
    with pytest.raises(SceneError, match=told):
        job([*scenes, odd], bundle, tmp_path / "maps", options)
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("maps.tif", 'a mosaic cannot be written as ".tif"'),
        ("nowhere/maps.vrt", "does not exist"),
    ],
)
def test_a_mosaic_that_cannot_be_written_is_refused(tmp_path, scenes, bundle, name, told):
    options = dataclasses.replace(FP32, mosaic=tmp_path / name)
    with pytest.raises(OutputError, match=told):
        predict(scenes, bundle, tmp_path / "maps", options)
    assert not (tmp_path / "maps").exists()
