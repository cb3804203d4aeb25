"""What is typed after `evaluate` and `sample` reaches the library."""

import json
import sys
from dataclasses import fields
from importlib import import_module

import numpy as np
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
    result = CliRunner().invoke(import_module(f"geoseg_cli.{job}").command, words)
    assert isinstance(result.exception, Called), result.output
    return result.exception


def test_evaluate_hands_on_every_option(monkeypatch):
    words = [
        *("a.tif", "b.tif", "--labels", "l.tif", "-o", "report", "--overwrite", "--mode"),
        *("per-image", "--ignore", "road,2", "--resample", "--boundary", "1.5", "--objects"),
        *("--object-classes", "roof, 3", "--object-sizes", "20,80", "--probabilities", "p"),
        *("--area", "--sample", "points.gpkg", "--sample-field", "seen", "--legend", "l.toml"),
        *("--assume-crs", "EPSG:32633", "--object-polygons", "o.gpkg", "--object-field", "kind"),
        *("--images", "i/{stem}.tif", "--windows", "6"),
    ]
    call = called_with(monkeypatch, "evaluate", words)
    predictions, labels, output, options = call.values
    assert (list(predictions), labels, str(output)) == (["a.tif", "b.tif"], "l.tif", "report")
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    assert given.pop("labels").assume_crs is None
    assert given == {
        "legend": "l.toml",
        "mode": "per-image",
        "ignore": ("road", "2"),
        "resample": True,
        "boundary": 1.5,
        "objects": True,
        "object_classes": ("roof", "3"),
        "object_polygons": "o.gpkg",
        "object_field": "kind",
        "images": "i/{stem}.tif",
        "windows": 6,
        "object_sizes": (20.0, 80.0),
        "probabilities": "p",
        "area": True,
        "sample": "points.gpkg",
        "sample_field": "seen",
        "assume_crs": "EPSG:32633",
        "overwrite": True,
    }


def test_a_sample_stands_in_for_labels(monkeypatch):
    call = called_with(monkeypatch, "evaluate", ["a.tif", "--sample", "p.gpkg"])
    assert call.values[1] is None
    command = import_module("geoseg_cli.evaluate").command
    result = CliRunner().invoke(command, ["a.tif"])
    assert result.exit_code == 2
    assert "Missing option '--labels' (or '--sample')" in result.output


def test_sample_hands_on_every_option(monkeypatch):
    words = [
        *("a.tif", "-o", "p.gpkg", "--overwrite", "--count", "700", "--min-per-class", "20"),
        *("--seed", "9", "--show-class", "--legend", "l.toml", "--assume-crs", "none"),
    ]
    call = called_with(monkeypatch, "sample", words)
    classes, output, options = call.values
    assert (classes, str(output), call.named["legend"]) == ("a.tif", "p.gpkg", "l.toml")
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    assert given == {
        "count": 700,
        "min_per_class": 20,
        "seed": 9,
        "show_class": True,
        "assume_crs": "none",
        "overwrite": True,
    }


def test_defaults_of_sample_are_those_of_the_library(monkeypatch):
    call = called_with(monkeypatch, "sample", ["a.tif", "-o", "p.gpkg"])
    assert call.values[2] == geoseg.SampleOptions()
    assert call.named["legend"] is None


@pytest.mark.parametrize("as_json", [False, True])
def test_sample_tells_what_it_drew(make_scene, tmp_path, as_json):
    values = np.zeros((1, 40, 40), np.uint8)
    values[:, :, :10] = 1
    path = make_scene(values, "c.tif", nodata=255)
    words = [str(path), "-o", str(tmp_path / "p.gpkg"), "-q", "--count", "120"]
    command = import_module("geoseg_cli.sample").command
    result = CliRunner().invoke(command, [*words, *(["--json"] if as_json else [])])
    assert result.exit_code == 0, result.output
    if as_json:
        found = json.loads(result.stdout)
        assert found["points"] == {"background": 70, "class_1": 50}
        assert found["areas"] == {"background": 4800.0, "class_1": 1600.0}
    else:
        assert "class_1" in result.stdout
        assert "50 points of          1,600.0 m2" in result.stdout
