"""The commands hand to the library what was typed, and no default of their own."""

import json
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

import geoseg


class Called(Exception):  # noqa: N818 - no error: it carries what a job was called with
    def __init__(self, *values, **named):
        super().__init__(values, named)
        self.values, self.named = values, named


def called_with(monkeypatch, job, words):
    """What `geoseg JOB WORDS` calls the job with."""

    def record(*values, **named):
        raise Called(*values, **named)

    getattr(geoseg, job)
    monkeypatch.setattr(sys.modules[f"geoseg.{job}"], job, record)
    command = import_module(f"geoseg_cli.{job}").command
    result = CliRunner().invoke(command, words)
    assert isinstance(result.exception, Called), result.output
    return result.exception


MINIMAL = {
    "tile": ["a.tif", "--labels", "l.gpkg", "-o", "out"],
    "predict": ["a.tif", "-m", "m.safetensors", "-o", "out.tif"],
    "vectorize": ["a.tif", "-o", "out.gpkg"],
    "evaluate": ["a.tif", "--labels", "l.gpkg"],
    "export": ["m.safetensors", "-o", "m.onnx"],
    "mosaic": ["a.tif", "-o", "m.vrt"],
}
OPTIONS = {
    "tile": "TileOptions",
    "predict": "PredictOptions",
    "vectorize": "VectorizeOptions",
    "evaluate": "EvaluateOptions",
    "export": "ExportOptions",
    "mosaic": "MosaicOptions",
}


@pytest.mark.parametrize("job", MINIMAL)
def test_defaults_are_those_of_the_library(monkeypatch, job):
    call = called_with(monkeypatch, job, MINIMAL[job])
    kind = getattr(geoseg, OPTIONS[job])
    given = [v for v in (*call.values, *call.named.values()) if isinstance(v, kind)]
    assert given == [kind()]


@pytest.mark.parametrize("job", MINIMAL)
def test_overwrite_is_handed_on(monkeypatch, job):
    kind = getattr(geoseg, OPTIONS[job])
    assert "overwrite" in {field.name for field in fields(kind)}
    words = [*MINIMAL[job], "--overwrite"]
    if job == "evaluate":
        words += ["-o", "report"]
    call = called_with(monkeypatch, job, words)
    given = [v for v in (*call.values, *call.named.values()) if isinstance(v, kind)]
    assert given == [kind(overwrite=True)]


def test_predict_hands_on_every_option(monkeypatch):
    words = [
        *("a.tif", "b.tif", "-m", "m.safetensors", "-o", "out", "--probabilities", "p"),
        *("--polygons", "q", "--window", "64", "--stride", "32", "--blend", "hann"),
        *("--mosaic", "r.vrt"),
        *("--mode", "resize", "--aoi", "aoi.gpkg", "--exclude", "road", "--exclude", "2"),
        *("--scale", "0.1", "--bands", "3,nir", "--device", "cpu", "--precision", "fp32"),
        *("--backend", "torch"),
        *("--overlap", "0.25", "--tta", "d4", "--scales", "0.5,1", "--combine", "vote"),
        *("--max-memory", "4G", "--resume", "--timings", "-m", "n.safetensors"),
        *("--batch-size", "3", "--co", "COMPRESS=ZSTD", "--prob-dtype", "float32"),
        *("--model-resolution", "--margin", "--uncertainty", "u", "--measures", "margin,entropy"),
        *("--cluster", "local:3"),
    ]
    call = called_with(monkeypatch, "predict", words)
    scenes, bundle, output, options = call.values
    assert (list(scenes), bundle, str(output)) == (
        ["a.tif", "b.tif"],
        ("m.safetensors", "n.safetensors"),
        "out",
    )
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    names = ("probabilities", "polygons", "uncertainty", "mosaic")
    assert [str(given.pop(name)) for name in names] == ["p", "q", "u", "r.vrt"]
    assert given.pop("scene").bands == (3, "nir")
    assert given == {
        "backend": "torch",
        "window": 64,
        "stride": 32,
        "overlap": 0.25,
        "tta": "d4",
        "scales": (0.5, 1.0),
        "model_resolution": True,
        "combine": "vote",
        "measures": ("margin", "entropy"),
        "max_memory": 4 << 30,
        "cluster": "local:3",
        "resume": True,
        "timings": True,
        "blend": "hann",
        "mode": "resize",
        "scale": 0.1,
        "aoi": "aoi.gpkg",
        "exclude": ("road", "2"),
        "margin": True,
        "prob_dtype": "float32",
        "device": "cpu",
        "precision": "fp32",
        "batch_size": 3,
        "creation_options": (("COMPRESS", "ZSTD"),),
        "overwrite": False,
    }


def test_mosaic_hands_on_every_option(monkeypatch):
    words = ["a.json", "b.tif", "-o", "m.vrt", "--assets", "red,B08", "--assume-crs", "EPSG:32632"]
    words += ["--trust-vrt", "--allow-remote", "-j", "3"]
    call = called_with(monkeypatch, "mosaic", words)
    given = geoseg.MosaicOptions(
        assets=("red", "B08"), assume_crs="EPSG:32632", trust_vrt=True, allow_remote=True, jobs=3
    )
    assert call.values == (("a.json", "b.tif"), Path("m.vrt"), given)


def test_tile_hands_on_the_cluster(monkeypatch):
    call = called_with(monkeypatch, "tile", [*MINIMAL["tile"], "--cluster", "local:3"])
    assert call.values[3].cluster == "local:3"


def test_vectorize_hands_on_every_option(monkeypatch):
    words = [
        *("a.tif", "-o", "out.gpkg", "--classes", "roof, 3", "--min-area", "9"),
        *("--fill-holes", "4", "--simplify", "0.5", "--probabilities", "p.tif"),
        *("--legend", "l.toml", "--assume-crs", "EPSG:32633", "--connectivity", "8"),
        *("b.tif", "--smooth", "--margin", "--merge", "--append"),
    ]
    call = called_with(monkeypatch, "vectorize", words)
    options = call.values[2]
    assert call.values[0] == ("a.tif", "b.tif")
    assert (options.connectivity, options.smooth, options.margin) == (8, True, True)
    assert (options.merge, options.append, options.regularize) == (True, True, False)
    words = ["a.tif", "-o", "out.gpkg", "--regularize", "--probabilities", "p", "--probabilities=q"]
    regular = called_with(monkeypatch, "vectorize", words)
    assert regular.values[2].regularize
    assert regular.named["probabilities"] == ("p", "q")
    assert (options.classes, options.min_area, options.fill_holes) == (("roof", "3"), 9, 4)
    assert (options.simplify, options.assume_crs) == (0.5, "EPSG:32633")
    assert call.named["probabilities"] == "p.tif"
    assert call.named["legend"] == "l.toml"


def test_export_hands_on_every_option(monkeypatch):
    words = [
        *("m.safetensors", "-o", "out", "--format", "openvino", "--profile", "deepness"),
        *("--window", "64", "--opset", "19", "--stac", "--check", "a.tif"),
    ]
    bundle, output, options = called_with(monkeypatch, "export", words).values
    assert (bundle, str(output)) == ("m.safetensors", "out")
    assert {field.name: getattr(options, field.name) for field in fields(options)} == {
        "format": "openvino",
        "profile": "deepness",
        "window": 64,
        "opset": 19,
        "stac": True,
        "check": "a.tif",
        "overwrite": False,
    }


def test_vectorize_prints_what_it_made(tmp_path):
    import numpy as np
    import rasterio

    path = tmp_path / "classes.tif"
    profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 5_300_000)}
    with rasterio.open(path, "w", nodata=255, **profile, **place) as dataset:
        dataset.write(np.array([[[1, 1, 0], [1, 1, 255]]], "uint8"))
    command = import_module("geoseg_cli.vectorize").command
    words = [str(path), "-o", str(tmp_path / "p.gpkg"), "--json", "-q"]
    found = json.loads(CliRunner().invoke(command, words, catch_exceptions=False).stdout)
    assert (found["polygons"], found["unit"]) == (2, "m2")
    assert sorted(found["areas"].values()) == [pytest.approx(4), pytest.approx(16)]


@pytest.mark.parametrize("job", ["tile", "evaluate"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--assume-crs", "none"], "none"),
        (["--assume-crs", "EPSG:32633"], None),
        (["--label-crs", "EPSG:4326"], "EPSG:4326"),
    ],
)
def test_crs_of_labels(monkeypatch, job, words, expected):
    call = called_with(monkeypatch, job, [*MINIMAL[job], *words])
    options = next(v for v in call.values if hasattr(v, "labels"))
    assert options.labels.assume_crs == expected


def test_labels_are_told_apart(monkeypatch):
    words = [
        *(*MINIMAL["tile"], "--legend", "l.toml", "--label-field", "kind", "--label-layer", "a"),
        *("--label-buffer", "2", "--label-extent", "done.gpkg", "--weight", "roof=2"),
        *("--bands", "1,nir", "--split", "0.8,0.2,0"),
    ]
    call = called_with(monkeypatch, "tile", words)
    options = call.values[3]
    labels = options.labels
    assert (labels.field, labels.layer, labels.buffer, labels.extent) == (
        "kind",
        "a",
        2,
        "done.gpkg",
    )
    assert (options.weights, options.bands) == ({"roof": 2.0}, (1, "nir"))
    assert options.split == (0.8, 0.2, 0)
    assert call.named["legend"] == "l.toml"


@pytest.mark.parametrize("words", [["--split", "0.5,0.5"], ["--weight", "roof=much"]])
def test_tile_refuses_what_is_no_number_or_too_few(words):
    command = import_module("geoseg_cli.tile").command
    result = CliRunner().invoke(command, [*MINIMAL["tile"], *words])
    assert result.exit_code == 2
    assert words[0] in result.output
