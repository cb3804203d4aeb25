"""Bad labels and legends, and options of `tile` that make no sense, are refused in one line."""

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely import Point

LABELS = "--labels {} --legend legend.toml --label-field kind"
TILE = "tile scene.tif -o out --size 16 "
SUFFIXES = ["gpkg", "geojson", "shp", "fgb", "parquet", "tif", "zip", "kml"]
JOBS = {"tile": TILE, "evaluate": "evaluate classes.tif -o out "}


@pytest.fixture(params=JOBS)
def job(request):
    """Each command that reads labels, up to their name."""
    return JOBS[request.param] + LABELS


def test_missing(refuse, job):
    refuse(job.format("none.gpkg"), "none.gpkg: does not exist", cure="Give a label file")


def test_missing_by_pattern(refuse, job):
    refuse(job.format("{{stem}}.gpkg"), "has no labels", ".gpkg does not exist", cure="--labels")


def test_missing_in_a_folder(refuse, job, place):
    (place / "labels").mkdir()
    refuse(job.format("labels"), "has no labels", "in labels", cure="{stem}")


def test_several_in_a_folder(refuse, job, place):
    (place / "labels").mkdir()
    for stem in ("scene", "classes"):
        for suffix in ("gpkg", "tif"):
            (place / "labels" / f"{stem}.{suffix}").touch()
    refuse(job.format("labels"), "has several label files in labels", cure="{stem}")


@pytest.mark.parametrize(
    "suffix", ["gpkg", "geojson", "shp", "fgb", "parquet", "tif", "zip", "kml"]
)
def test_empty_file(refuse, job, place, suffix):
    (place / f"empty.{suffix}").touch()
    refuse(job.format(f"empty.{suffix}"), f"empty.{suffix}: ", cure="the file")


@pytest.mark.parametrize(
    "suffix", ["gpkg", "geojson", "shp", "fgb", "parquet", "tif", "zip", "kml"]
)
def test_garbage(refuse, job, place, suffix):
    (place / f"bad.{suffix}").write_text("neither a raster nor polygons\n" * 50)
    refuse(job.format(f"bad.{suffix}"), f"bad.{suffix}: ", cure="the file")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "parquet"])
def test_cut(refuse, job, place, make_labels, suffix, share):
    path = place / f"cut.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        geopandas.read_file("roofs.gpkg").to_parquet(path)
    else:
        make_labels(path.name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refuse(job.format(path.name), f"cut.{suffix}: ", cure="the file")


def test_no_features(refuse, job, place):
    frame = geopandas.read_file("roofs.gpkg")
    frame[:0].to_file(place / "none.gpkg")
    refuse(job.format("none.gpkg"), "none.gpkg: has no features", cure="right layer")


def test_empty_geometries(refuse, job, place):
    frame = geopandas.read_file("roofs.gpkg")
    frame.geometry = [None, None]
    frame.to_file(place / "none.gpkg", geometry_type="Polygon")
    refuse(job.format("none.gpkg"), "none.gpkg: has no polygons", cure="right layer")


def test_points(refuse, job, place):
    frame = geopandas.GeoDataFrame(
        {"kind": ["house"]}, geometry=[Point(500_010, 5_399_980)], crs="EPSG:32632"
    )
    frame.to_file(place / "points.gpkg")
    refuse(job.format("points.gpkg"), "points.gpkg: 1 features are points", cure="--label-buffer")


def test_missing_field(refuse, job):
    words = job.replace("kind", "sort").format("roofs.gpkg")
    refuse(words, 'roofs.gpkg: has no field "sort"', cure="Its fields are: kind")


def test_missing_layer(refuse, job):
    words = job.format("roofs.gpkg") + " --label-layer walls"
    refuse(words, 'roofs.gpkg: has no layer "walls"', cure="Its layers are: roofs")


def test_unnamed_layer(refuse, job, make_labels):
    make_labels("roofs.gpkg", layer="more")
    refuse(job.format("roofs.gpkg"), "roofs.gpkg: has several layers", cure="--label-layer")


def test_value_not_in_the_legend(refuse, job, make_labels):
    make_labels("sheds.gpkg", kinds=("house", "shed"))
    refuse(job.format("sheds.gpkg"), "sheds.gpkg", "shed", "1", cure="legend")


def test_raster_value_not_in_the_legend(refuse, job, make_scene):
    values = np.zeros((1, 40, 48), "uint8")
    values[0, :2, :3] = 9
    make_scene(values, "mask.tif")
    refuse(job.format("mask.tif"), "mask.tif", "9 (6", cure="legend")


def test_raster_of_fractions(refuse, job, make_scene):
    make_scene(np.full((1, 40, 48), 0.5, "float32"), "mask.tif")
    refuse(job.format("mask.tif"), "mask.tif: ", cure="classify it")


def test_raster_of_four_bands(refuse, job, make_scene):
    make_scene((5, 40, 48), "mask.tif")
    refuse(job.format("mask.tif"), "mask.tif: has 5 bands", cure="Give one band")


@pytest.mark.parametrize("kind", ["vector", "raster"])
def test_elsewhere(refuse, job, make_labels, make_scene, kind):
    if kind == "vector":
        path = make_labels("far.gpkg", corner=(9e5, 54e5))
    else:
        there = Affine(2, 0, 9e5, 0, -2, 54e5)
        path = make_scene(np.zeros((1, 9, 9), "uint8"), "far.tif", transform=there)
    scene = "classes.tif" if "evaluate" in job else "scene.tif"
    refuse(job.format(path.name), path.name, scene, cure="Check")


def test_no_crs(refuse, job, make_labels):
    make_labels("bare.gpkg", crs=None)
    refuse(job.format("bare.gpkg"), "bare.gpkg: has no CRS", cure="--label-crs")


def test_wrong_crs(refuse, job, make_labels):
    make_labels("bare.gpkg", crs=None)
    words = job.format("bare.gpkg") + " --label-crs EPSG:1"
    refuse(words, "--label-crs: 'EPSG:1' is no CRS", cure="EPSG:32632")


def test_crs_for_a_plain_image(refuse, make_scene):
    make_scene((3, 40, 48), "a.png", driver="PNG", crs=None, transform=None)
    words = TILE.replace("scene.tif", "a.png") + LABELS.format("roofs.gpkg")
    refuse(words, "roofs.gpkg: has a CRS, but the scene has none", cure="--assume-crs")


def test_extent_missing(refuse, job):
    words = job.format("roofs.gpkg") + " --label-extent none.gpkg"
    refuse(words, "none.gpkg: does not exist", cure="Check the path")


def test_extent_elsewhere(refuse, job, make_labels):
    make_labels("far.gpkg", corner=(9e5, 54e5))
    words = job.format("roofs.gpkg") + " --label-extent far.gpkg"
    refuse(words, ".tif", cure="Check")


@pytest.mark.parametrize(
    ("text", "part", "cure"),
    [
        ("[[classes]", "is not TOML", "Mend the syntax"),
        ("", "no class", "[[classes]]"),
        ("colour = 3", 'unknown key "colour"', "Known are ignore, classes"),
        ("[[classes]]\nvalue = 1\nname = 'a'\ncolour = '#000000'", '"colour"', '"color"'),
        ("[[classes]]\nname = 'a'", "has no value", "Add value"),
        ("[[classes]]\nvalue = '1'\nname = 'a'", "'1'", "whole number"),
        ("[[classes]]\nvalue = 70000\nname = 'a'", "70000", "whole number"),
        ("[[classes]]\nvalue = 1\nname = 'a'\ncolor = 'red'", '"red"', "#rrggbb"),
        ("[[classes]]\nvalue = 255\nname = 'a'\n[[classes]]\nvalue = 255\nname = 'b'", "255", ""),
        ("classes = 3", "classes is no list", "[[classes]]"),
        ("\xff", "is not TOML", "Mend the syntax"),
    ],
)
def test_legend(refuse, job, place, text, part, cure):
    (place / "legend.toml").write_text(text, encoding="latin-1")
    refuse(job.format("roofs.gpkg"), "legend.toml", part, cure=cure)


@pytest.mark.parametrize("name", ["none.toml", "none.qml", "none.tif"])
def test_legend_missing(refuse, job, name):
    words = job.format("roofs.gpkg").replace("legend.toml", name)
    refuse(words, f"{name}: does not exist", cure="Give a legend in TOML, QML or a raster")


@pytest.mark.parametrize("name", ["roofs.gpkg", "scene.tif", "folder"])
def test_legend_that_is_none(refuse, job, place, name):
    (place / "folder").mkdir()
    words = job.format("roofs.gpkg").replace("legend.toml", name)
    refuse(words, f"{name}: ", cure="legend")


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("--size 0", ["--size: 0 is below 1 pixel"], "1"),
        ("--size -5", ["--size: -5"], "1"),
        ("--size many", ["'--size'"], "See geoseg tile --help"),
        ("--stride 0", ["--stride: 0"], "stride"),
        ("--stride 17", ["--stride: 17", "16"], "stride"),
        ("--split 0.5,0.2,0.1", ["--split: sums to 0.8"], "0.7,0.2,0.1"),
        ("--split 2,-1,0", ["--split: "], "0.7,0.2,0.1"),
        ("--split 0.5,0.5", ["'--split'", "2 shares"], "See geoseg tile --help"),
        ("--split a,b,c", ["'--split'"], "0.7,0.3"),
        ("--split nan,0.5,0.5", ["--split: "], "0.7,0.2,0.1"),
        ("--count 0 --method random", ["--count: 0"], "1 or more"),
        ("--block 0", ["--block: 0"], "larger"),
        ("--block 15", ["--block: ", "15"], "--block"),
        ("--guard -1", ["--guard: -1"], "0 or more"),
        ("--method balanced --weight wall=1", ["wall"], "roof"),
        ("--method balanced --weight roof=-1", ["--weight: ", "roof"], "0 or more"),
        ("--method balanced --weight roof=x", ["'--weight'"], "See geoseg tile --help"),
        ("--min-valid 2", ["'--min-valid'"], "See geoseg tile --help"),
        ("--min-labelled 1 --label-extent roofs.gpkg", ["no tile is left"], "--min-labelled"),
        ("--size 500", ["--size"], "--size"),
        ("--split-by scene", ["--split-by: 1 scene"], "--split"),
        ("--split-by none.gpkg", ["none.gpkg: does not exist"], "Check the path"),
        ("--split-by roofs.gpkg", ["roofs.gpkg: has no column"], "train, val or test"),
        ("--format jpg", ["'--format'"], "See geoseg tile --help"),
        ("--resolution 0", ["'--resolution'"], "See geoseg tile --help"),
        ("--jobs 0", ["'--jobs'"], "See geoseg tile --help"),
    ],
)
def test_options_of_tile(refuse, words, parts, cure):
    refuse(f"{TILE} {LABELS.format('roofs.gpkg')} {words}", *parts, cure=cure)


def test_png_holds_no_four_bands(refuse, make_scene):
    make_scene((5, 40, 48), "many.tif")
    words = TILE.replace("scene", "many") + LABELS.format("roofs.gpkg") + " --format png"
    refuse(words, "--format: png holds 1 or 3 bands", "5 of uint8", cure="Give tif or npy")
