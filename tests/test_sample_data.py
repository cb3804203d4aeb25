"""The sample data: what is told of it is true, and the demo runs on it."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_gradient_magnitude

from geoseg.errors import OutputError
from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.labels import LabelOptions
from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.predict import PredictOptions, predict
from geoseg_cli.main import main

SAMPLE = Path(__file__).parents[1] / "sample_data"
LEGEND = Legend.open(SAMPLE / "legend.toml")
KIND_TO_VALUE = {kind: c.value for c in LEGEND.classes for kind in c.sources}


@pytest.fixture(scope="module")
def labels():
    return geopandas.read_file(SAMPLE / "labels.gpkg")


@pytest.fixture(scope="module", params=["west", "east"])
def scene(request):
    """Pixels (4, 1024, 1024) and the class of each by rasterio alone; 255 has no data."""
    frame = geopandas.read_file(SAMPLE / "labels.gpkg")
    with rasterio.open(SAMPLE / f"{request.param}.tif") as file:
        data, shapes = file.read(), frame.to_crs(file.crs)
        pairs = zip(shapes.geometry, shapes["kind"].map(KIND_TO_VALUE), strict=True)
        mask = rasterize(pairs, file.shape, transform=file.transform, dtype="uint8")
    mask[(data == 0).all(axis=0)] = 255
    return data.astype(float), mask


def ndvi(data):
    red, nir = data[0], data[3]
    return (nir - red) / np.maximum(nir + red, 1)


def test_all_files_together_are_small():
    sizes = {path: path.stat().st_size for path in SAMPLE.rglob("*") if path.suffix != ".pyc"}
    assert sum(sizes.values()) < 15e6
    assert sizes[SAMPLE / "demo.safetensors"] < 3e6


def test_the_scenes_are_neighbours():
    with rasterio.open(SAMPLE / "west.tif") as west, rasterio.open(SAMPLE / "east.tif") as east:
        for file in (west, east):
            assert file.shape == (1024, 1024)
            assert file.res == (0.5, 0.5)
            assert file.crs.is_projected
            assert file.dtypes == ("uint16",) * 4
            assert file.descriptions == ("red", "green", "blue", "nir")
            assert file.nodata == 0
        assert west.bounds.right == east.bounds.left
        assert west.bounds.top == east.bounds.top


def test_only_the_east_has_a_slanted_wedge_without_data():
    with rasterio.open(SAMPLE / "west.tif") as west, rasterio.open(SAMPLE / "east.tif") as east:
        assert west.read().min() > 0
        empty = (east.read() == 0).all(axis=0)
        assert (empty == (east.read() == 0).any(axis=0)).all()
    assert 0.02 < empty.mean() < 0.1
    widths = empty.sum(axis=1)
    assert widths[0] == 0
    assert (np.diff(widths) >= 0).all()
    assert len(np.unique(widths)) > 50


def test_the_land_goes_on_across_the_cut():
    with rasterio.open(SAMPLE / "west.tif") as west, rasterio.open(SAMPLE / "east.tif") as east:
        last, first = west.read()[:, :, -1].astype(float), east.read()[:, :, 0].astype(float)
    for left, right in zip(last, first, strict=True):
        assert np.corrcoef(left, right)[0, 1] > 0.9


def test_labels_lie_in_another_crs_and_are_valid(labels):
    assert labels.crs.to_epsg() == 4326
    assert labels.is_valid.all()
    assert set(labels["kind"]) == set(KIND_TO_VALUE)


def test_labels_do_not_overlap(labels):
    areas = labels.to_crs(32632)
    assert areas.area.sum() - areas.union_all().area < 2  # of 130 000 m2


def test_every_class_is_in_both_scenes(scene):
    _, mask = scene
    shares = np.bincount(mask.ravel(), minlength=256)[:5] / (mask != 255).sum()
    assert (shares > 0.03).all()
    assert 0.6 < shares[0] < 0.85


def test_vegetation_and_water_reflect_as_they_do(scene):
    data, mask = scene
    index = {name: np.median(ndvi(data)[mask == v]) for v, name in enumerate(LEGEND.names)}
    assert index["trees"] > 0.5
    assert index["water"] < 0 < index["road"] + 0.15
    for one, other in combinations(("building", "road", "water"), 2):
        assert index["trees"] > max(index[one], index[other]) + 0.3
    nir = {name: np.median(data[3][mask == v]) for v, name in enumerate(LEGEND.names)}
    assert nir["water"] < 0.25 * nir["trees"]


SHIFTS = [(row, col) for row in range(-2, 3) for col in range(-2, 3)]


@pytest.mark.parametrize("name", ["water", "road"])
def test_labels_fit_the_pixels(scene, name):
    """Of all small shifts, none makes labels and lack of green agree better than no shift."""
    data, mask = scene
    inside = (mask == LEGEND.class_of(name).value).astype(float)
    bare = -np.where(mask == 255, 0.4, ndvi(data)).ravel()
    agreement = [np.corrcoef(np.roll(inside, s, (0, 1)).ravel(), bare)[0, 1] for s in SHIFTS]
    assert SHIFTS[int(np.argmax(agreement))] == (0, 0)


def test_outlines_of_roofs_lie_on_edges(scene):
    """Not so by greenness: the shadow of a roof is as little green as the roof."""
    data, mask = scene
    roofs = mask == LEGEND.class_of("building").value
    outline = binary_dilation(roofs) ^ binary_erosion(roofs)
    edges = np.mean([gaussian_gradient_magnitude(band, 0.7) for band in data], axis=0)
    sharpness = [edges[np.roll(outline, s, (0, 1)) & (mask != 255)].mean() for s in SHIFTS]
    assert SHIFTS[int(np.argmax(sharpness))] == (0, 0)


@pytest.mark.slow
def test_the_script_makes_the_same_pixels_again(tmp_path):
    script = [sys.executable, str(SAMPLE / "make.py"), "-o", str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True, timeout=600)
    for name in ("west.tif", "east.tif"):
        with rasterio.open(SAMPLE / name) as kept, rasterio.open(tmp_path / name) as made:
            # Other processors round sines and transforms in the last bit.
            different = kept.read() != made.read()
            assert different.mean() < 1e-3
    assert (tmp_path / "legend.toml").read_text() == (SAMPLE / "legend.toml").read_text()
    kept = geopandas.read_file(SAMPLE / "labels.gpkg")
    made = geopandas.read_file(tmp_path / "labels.gpkg")
    assert kept["kind"].tolist() == made["kind"].tolist()


class TestBundle:
    def test_it_maps_the_eastern_scene(self, tmp_path):
        classes = tmp_path / "classes.tif"
        predict(SAMPLE / "east.tif", SAMPLE / "demo.safetensors", classes, PredictOptions())
        options = EvaluateOptions(legend=SAMPLE / "legend.toml", labels=LabelOptions(field="kind"))
        report = evaluate([classes], SAMPLE / "labels.gpkg", options=options)
        assert report.scores["mean_iou"] > 0.8
        assert report.trivial["mean_iou"] < 0.2

    def test_it_tells_nothing_of_the_machine_it_was_made_on(self):
        bundle = ModelBundle.open(SAMPLE / "demo.safetensors")
        text = bundle.card.model_dump_json()
        assert '"/' not in text
        assert "/tmp" not in text
        assert bundle.card.bands == ("red", "green", "blue", "nir")
        assert bundle.legend.names == LEGEND.names


class TestDemo:
    @pytest.mark.slow
    def test_it_runs_the_whole_path(self, tmp_path, capsys):
        output = tmp_path / "demo"
        assert main(["demo", "-o", str(output), "--steps", "4", "--progress", "none"]) == 0
        told = capsys.readouterr().out
        steps = [line.split()[0] for line in told.splitlines()[:6]]
        assert steps == ["tile", "train", "predict", "vectorize", "evaluate", "preview"]
        for name in ("classes.tif", "segments.gpkg", "report/report.html", "preview.png"):
            assert str(output / name) in told
            assert (output / name).stat().st_size > 0
        report = json.loads((output / "report" / "report.json").read_text())
        assert report["classes"][0]["name"] == "background"
        assert f"mean IoU {report['mean_iou']:.3f}" in told

    def test_missing_data_are_told(self, tmp_path, capsys):
        assert main(["demo", "-o", str(tmp_path / "out"), "--data", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "--data" in error
        assert not (tmp_path / "out").exists()

    def test_what_is_there_is_not_replaced(self, tmp_path, capsys):
        (tmp_path / "mine.txt").write_text("mine")
        assert main(["demo", "-o", str(tmp_path), "--data", str(SAMPLE)]) == OutputError.exit_code
        assert "--overwrite" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
