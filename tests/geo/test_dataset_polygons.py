"""Vector labels of data sets: stray points, empty files, neighbours' polygons."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geoseg.datasets import DatasetTileOptions, check_dataset, tile_dataset

SIDE = 8
UTM = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500_000, 0, -2, 5_400_000)}
TOML = """
title = "Roofs"
labels = {{ encoding = "polygons"{more} }}
legend.classes = [{{ value = {first}, name = "ground" }}, {{ value = 1, name = "roof" }}]
[splits.train]
images = "*.tif"
labels = "{{stem}}.{suffix}"
"""


@pytest.fixture
def write(tmp_path):
    """`write(a=[...], b=[...])`: an image of each name, with geometries as its labels."""

    def make(more="", first=0, suffix="geojson", **shapes):
        (tmp_path / "set").mkdir(exist_ok=True)
        text = TOML.format(more=more, first=first, suffix=suffix)
        (tmp_path / "roofs.toml").write_text(text)
        for name, geometries in shapes.items():
            data = np.full((3, SIDE, SIDE), 7, np.uint8)
            profile = {"count": 3, "height": SIDE, "width": SIDE, "dtype": "uint8", **UTM}
            with rasterio.open(tmp_path / "set" / f"{name}.tif", "w", **profile) as dataset:
                dataset.write(data)
            features = [{"type": "Feature", "properties": {}, "geometry": g} for g in geometries]
            content = {"type": "FeatureCollection", "features": features}
            crs = {"name": "urn:ogc:def:crs:EPSG::32632"}
            content["crs"] = {"type": "name", "properties": crs}
            (tmp_path / "set" / f"{name}.geojson").write_text(json.dumps(content))
        return str(tmp_path / "roofs.toml"), tmp_path / "set"

    return make


def at(col, row):
    return [500_000 + 2 * col, 5_400_000 - 2 * row]


def square(col, row, size):
    ring = [(0, 0), (size, 0), (size, size), (0, size), (0, 0)]
    return {"type": "Polygon", "coordinates": [[at(col + c, row + r) for c, r in ring]]}


POINT = {"type": "Point", "coordinates": at(6.5, 6.5)}
LINE = {"type": "LineString", "coordinates": [at(0, 7.5), at(3, 7.5)]}


def test_points_and_lines_are_left_out_and_counted_once(write, tmp_path, caplog):
    name, root = write(a=[square(1, 1, 2), POINT], b=[LINE, POINT], c=[square(2, 2, 1)])
    report = check_dataset(name, root, jobs=1)
    assert report.faults == ()
    assert report.class_pixels["train"] == {"ground": 3 * SIDE**2 - 5, "roof": 5}
    assert report.to_dict()["skipped"] == 3
    assert report.notes == ("3 points or lines are left out, for they cover no ground",)
    caplog.clear()
    tiles = tile_dataset(name, root, tmp_path / "t", DatasetTileOptions(size=SIDE, jobs=1))
    assert len(tiles.tiles) == 3
    told = [r.getMessage() for r in caplog.records if "points or lines" in r.getMessage()]
    assert told == [f"{root}: 3 points or lines are left out"]


def test_a_buffer_makes_points_polygons(write):
    name, root = write(more=", buffer = 1.5", a=[POINT])
    report = check_dataset(name, root, jobs=1)
    assert (report.faults, report.skipped) == ((), 0)
    assert report.class_pixels["train"]["roof"] > 0


def test_polygons_beside_the_image_leave_it_background(write):
    name, root = write(a=[square(-3, -3, 2)], b=[square(SIDE + 3, 0, 2)])
    report = check_dataset(name, root, jobs=1)
    assert report.faults == ()
    assert report.class_pixels["train"] == {"ground": 2 * SIDE**2, "roof": 0}


def test_polygons_far_away_are_a_fault(write):
    name, root = write(a=[square(3 * SIDE, 0, 2)])
    (fault,) = check_dataset(name, root, jobs=1).faults
    assert (fault.kind, fault.path) == ("label", "a.geojson")
    assert "lies away from its image" in fault.problem


def test_without_background_uncovered_images_are_ignored(write):
    name, root = write(more=', field = "kind"', first=2, a=[POINT])
    report = check_dataset(name, root, jobs=1)
    assert report.faults == ()
    assert report.ignored["train"] == SIDE**2


@pytest.mark.filterwarnings("ignore:'crs' was not provided")  # as is wanted
def test_cures_name_keys_of_the_description(write):
    name, root = write(a=[], suffix="gpkg")
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(*at(1, 3), *at(3, 1))])
    for layer in "uv":
        frame.set_crs(UTM["crs"]).to_file(root / "a.gpkg", layer=layer)
    (fault,) = check_dataset(name, root, jobs=1).faults
    assert fault.problem.endswith("has several layers: u, v. Name one with `layer` of [labels]")
    (root / "a.gpkg").unlink()
    frame.to_file(root / "a.gpkg", layer="u")
    (fault,) = check_dataset(name, root, jobs=1).faults
    assert "has no CRS" in fault.problem
    assert fault.problem.endswith("Give image and labels one CRS")
