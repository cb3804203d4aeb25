"""A run over a mosaic goes on only where the mosaic's own files are what they were."""

import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from exact_networks import identity_bundle
from stopped_runs import Stop

from geoseg.engine import sink
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.mosaic import mosaic
from geoseg.predict import PredictOptions, predict

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", batch_size=4)
PLACE = Affine(2, 0, 500_000, 0, -2, 5_300_000)
ROWS = 600


def write(path, number, seed):
    """One of two tiles, above each other."""
    data = np.random.default_rng(seed).integers(1, 255, (3, ROWS, 70)).astype("uint8")
    profile = {"count": 3, "height": ROWS, "width": 70, "dtype": "uint8", "nodata": 0}
    place = PLACE @ Affine.translation(0, number * ROWS)
    with rasterio.open(path, "w", "GTiff", crs="EPSG:32632", transform=place, **profile) as file:
        file.write(data)
    return path


@pytest.fixture(params=["tiles", "mosaics"])
def scene(request, tmp_path):
    """A mosaic of two tiles, or of mosaics of one tile each."""
    tiles = [write(tmp_path / f"{number}.tif", number, number) for number in range(2)]
    if request.param == "mosaics":
        for tile in tiles:
            mosaic(tile, tile.with_suffix(".vrt"))
        tiles = [tile.with_suffix(".vrt") for tile in tiles]
    mosaic(tiles, tmp_path / "m.vrt")
    return tmp_path / "m.vrt"


def begin_and_stop(scene, monkeypatch):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    identity_bundle().save(scene.parent / "model.safetensors")
    words = scene, scene.parent / "model.safetensors", scene.parent / "c.tif", FP32
    with pytest.raises(KeyboardInterrupt):
        predict(*words, progress=Stop(900))


def go_on(scene, name="c.tif", **changes):
    options = PredictOptions(**{**FP32.__dict__, **changes})
    [result] = predict(scene, scene.parent / "model.safetensors", scene.parent / name, options)
    with rasterio.open(scene.parent / name) as dataset:
        return result, dataset.read()


def test_a_run_over_changed_tiles_begins_anew(scene, monkeypatch, caplog):
    begin_and_stop(scene, monkeypatch)
    write(scene.parent / "0.tif", 0, 7)
    _, found = go_on(scene, resume=True)
    assert "is of other settings or of an older scene; begins anew" in caplog.text
    np.testing.assert_array_equal(found, go_on(scene, "fresh.tif")[1])


def test_a_run_over_the_same_tiles_goes_on(scene, monkeypatch, caplog):
    begin_and_stop(scene, monkeypatch)
    (scene.parent / "0.tif.aux.xml").write_text("<PAMDataset/>")  # as QGIS leaves it
    _, found = go_on(scene, resume=True)
    assert "begins anew" not in caplog.text
    np.testing.assert_array_equal(found, go_on(scene, "fresh.tif")[1])


def test_a_finished_map_of_older_tiles_is_not_taken_for_done(scene, monkeypatch):
    identity_bundle().save(scene.parent / "model.safetensors")
    go_on(scene)
    assert go_on(scene, resume=True)[0].windows == 0
    os.utime(scene.parent / "1.tif", ns=(0, (scene.parent / "c.tif").stat().st_mtime_ns + 1))
    assert go_on(scene, resume=True, overwrite=True)[0].windows > 0


def test_tiles_are_read_anew_after_a_change(scene):
    """In one process, whose handle of the older ones is open."""
    options = SceneOptions(trust_vrt=True)
    before = Scene.open(scene, options).read().data
    write(scene.parent / "0.tif", 0, 7)
    after = Scene.open(scene, options).read().data
    assert not np.array_equal(before[:, :ROWS], after[:, :ROWS])
    with rasterio.open(scene.parent / "0.tif") as tile:
        np.testing.assert_array_equal(after[:, :ROWS], tile.read())
