"""Bad class rasters, and options of the commands that read them, are refused in one line."""

import numpy as np
import pytest
from affine import Affine

VECTORIZE = "vectorize {} -o out.gpkg"
EVALUATE = "evaluate {} --labels roofs.gpkg --legend legend.toml --label-field kind -o out"
JOBS = {"vectorize": VECTORIZE, "evaluate": EVALUATE}


@pytest.fixture(params=JOBS)
def job(request):
    """Each command that reads class rasters."""
    return JOBS[request.param]


def test_float_raster(refuse, job, make_scene):
    make_scene((1, 40, 48), "height.tif", dtype="float32")
    refuse(job.format("height.tif"), "height.tif: holds float32 numbers", cure="whole numbers")


def test_scene(refuse, job):
    refuse(job.format("scene.tif"), "scene.tif: has 3 bands", cure="Give a class raster")


def test_values_not_in_the_legend(refuse, job, make_scene):
    values = np.zeros((1, 40, 48), "uint8")
    values[0, :2, :3] = 9
    make_scene(values, "other.tif")
    words = job.format("other.tif") + ("" if "legend" in job else " --legend legend.toml")
    refuse(words, "other.tif", "9 (6", cure="legend")


@pytest.mark.parametrize("value", [-1, 70000])
def test_values_that_no_class_has(refuse, job, make_scene, value):
    make_scene(np.full((1, 40, 48), value, "int32"), "other.tif")
    refuse(job.format("other.tif"), "other.tif", str(value))


def test_legend_missing(refuse, job):
    words = job.replace(" --legend legend.toml", "").format("classes.tif")
    refuse(f"{words} --legend none.toml", "none.toml: does not exist", cure="Give a legend")


def test_all_nodata(refuse, make_scene):
    make_scene(np.full((1, 40, 48), 255, "uint8"), "none.tif", nodata=255)
    refuse(EVALUATE.format("none.tif"), "no pixel has both a class and a label", cure="Check")


def test_prediction_without_crs(refuse, make_scene):
    make_scene(np.zeros((1, 40, 48), "uint8"), "bare.tif", crs=None)
    problem = "roofs.gpkg: has a CRS, but the scene has none"
    refuse(EVALUATE.format("bare.tif"), problem, cure="--assume-crs")


def test_labels_elsewhere(refuse, make_labels):
    make_labels("far.gpkg", corner=(9e5, 54e5))
    words = EVALUATE.replace("roofs", "far").format("classes.tif")
    refuse(words, "classes.tif: does not touch its labels, far.gpkg", cure="CRS and extent")


def test_second_of_two_elsewhere(refuse, make_scene):
    there = Affine(2, 0, 9e5, 0, -2, 54e5)
    make_scene(np.zeros((1, 40, 48), "uint8"), "far.tif", transform=there)
    words = EVALUATE.format("classes.tif far.tif")
    refuse(words, "far.tif: does not touch its labels", cure="CRS and extent")


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("--classes wall", ["wall"], "class_1"),
        ("--classes 9", ["9"], "class_1"),
        ("--classes ,", ["'--classes'"], "See geoseg vectorize --help"),
        ("--min-area -1", ["'--min-area'"], "See geoseg vectorize --help"),
        ("--simplify -1", ["'--simplify'"], "See geoseg vectorize --help"),
        ("--simplify nan", ["--simplify: nan is not 0 or more"], "Give 0 for none"),
        ("--min-area inf", ["--min-area: inf is not 0 or more"], "Give 0 for none"),
        ("--probabilities none.tif", ["none.tif: does not exist"], "Check the path"),
        ("--probabilities scene.tif", ["scene.tif: has 3 bands"], "one band per class"),
        ("--probabilities small.tif", ["small.tif: lies on another grid"], "together"),
        ("--probabilities bytes.tif", ["bytes.tif: holds", "probabilities are 0 to 1"], "scale"),
    ],
)
def test_options_of_vectorize(refuse, make_scene, words, parts, cure):
    make_scene((2, 20, 20), "small.tif")
    make_scene((2, 40, 48), "bytes.tif", dtype="int16")
    words = f"{VECTORIZE} {words} -q".format("classes.tif")
    refuse(words, *parts, cure=cure)


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("--ignore wall", ["wall"], "roof"),
        ("--ignore ,", ["'--ignore'"], "See geoseg evaluate --help"),
        ("--ignore ground,roof", ["no pixel"], "Check"),
        ("--mode each", ["'--mode'"], "See geoseg evaluate --help"),
    ],
)
def test_options_of_evaluate(refuse, words, parts, cure):
    refuse(f"{EVALUATE} {words}".format("classes.tif"), *parts, cure=cure)


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("scene.tif -o out.png --polygons none.gpkg", ["none.gpkg: does not exist"], "Check"),
        ("scene.tif -o out.png --polygons legend.toml", ["legend.toml: is not a vector"], "Check"),
        ("scene.tif -o out.png --legend none.toml", ["none.toml: does not exist"], "Give a legend"),
        ("scene.tif -o out.png --size 3", ["'--size'"], "See geoseg preview --help"),
    ],
)
def test_options_of_preview(refuse, words, parts, cure):
    refuse(f"preview {words}", *parts, cure=cure)


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("predict scene.tif -o out.tif", ["'-m' / '--model'"], "See geoseg predict --help"),
        ("predict -m model.safetensors -o out.tif", ["'SCENE...'"], "See geoseg predict --help"),
        ("predict scene.tif -m model.safetensors", ["'--output'"], "See geoseg predict --help"),
        ("tile scene.tif -o out", ["'--labels'"], "See geoseg tile --help"),
        ("train", ["'CONFIG.toml'"], "See geoseg train --help"),
        ("vectorize -o out.gpkg", ["'CLASSES.tif...'"], "See geoseg vectorize --help"),
        ("evaluate classes.tif", ["'--labels'"], "See geoseg evaluate --help"),
        ("segment scene.tif", ["'segment'"], "See geoseg --help"),
        ("info", ["'PATH...'"], "See geoseg info --help"),
    ],
)
def test_usage(refuse, words, parts, cure):
    refuse(words, *parts, cure=cure)
