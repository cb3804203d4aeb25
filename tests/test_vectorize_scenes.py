"""Several scenes in a layer: one after the other, merged, and added to what is there."""

import json
import logging
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio import features
from rasterio.crs import CRS

from geoseg.errors import ConfigError, LegendError, OutputError, SceneError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.vectorize import VectorizeOptions, vectorize

UTM = CRS.from_epsg(32632)
LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="ground", color="#808080"),
        LegendClass(value=3, name="roof", color="#e6194b"),
        LegendClass(value=7, name="tree", color="#3cb44b"),
    )
)
MERGE = VectorizeOptions(merge=True, margin=True)


def place(row=0, col=0):
    return Affine(0.5, 0, 4e5 + col / 2, 0, -0.5, 5e6 - row / 2)


def write(path, data, transform=None, **profile):
    data = data[None] if data.ndim == 2 else data
    profile = {"crs": UTM, "transform": transform or place(), "nodata": 255, **profile}
    count, height, width = data.shape
    shape = {"count": count, "height": height, "width": width, "dtype": data.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as dataset:
        dataset.write(data)
    return path


def read(path: Path):
    return geopandas.read_file(path, layer="segments")


def patches(shape, seed=0):
    small = np.random.default_rng(seed).choice(
        np.uint8([0, 3, 7, 255]), (shape[0] // 4, shape[1] // 4)
    )
    return np.kron(small, np.ones((4, 4), np.uint8))


@pytest.fixture
def whole():
    return patches((64, 80))


@pytest.fixture
def quarters(tmp_path, whole):
    """The raster in four parts that overlap, and what is known of it in all of them."""
    parts = []
    probabilities = np.random.default_rng(1).random((3, *whole.shape)).astype(np.float32)
    for row, rows in ((0, 40), (32, 32)):
        for col, cols in ((0, 33), (30, 50)):
            window = np.s_[row : row + rows, col : col + cols]
            path = write(tmp_path / f"{row}_{col}.tif", whole[window], place(row, col))
            folder = tmp_path / "prob"
            folder.mkdir(exist_ok=True)
            own = probabilities[:, window[0], window[1]]
            write(folder / path.name, own, place(row, col), nodata=None)
            parts.append(path)
    at_once = (
        write(tmp_path / "whole.tif", whole),
        write(tmp_path / "p.tif", probabilities, nodata=None),
    )
    return parts, at_once


@pytest.mark.parametrize("rows", [5, 1000])
def test_merged_scenes_give_the_polygons_of_the_whole(tmp_path, monkeypatch, quarters, rows):
    monkeypatch.setattr("geoseg.geo.class_mosaic._PIXELS", rows * 80)
    parts, (raster, probabilities) = quarters
    result = vectorize(
        parts, tmp_path / "m.gpkg", MERGE, legend=LEGEND, probabilities=tmp_path / "prob"
    )
    once = vectorize(raster, tmp_path / "w.gpkg", MERGE, legend=LEGEND, probabilities=probabilities)
    merged, expected = read(result.path), read(once.path)
    assert merged.drop(columns="scene").equals(expected.drop(columns="scene"))
    assert (result.counts, result.areas) == (once.counts, once.areas)
    names = {path.name: rasterio.open(path).bounds for path in parts}
    for shape, scene in zip(merged.geometry, merged["scene"], strict=True):
        box = shapely.box(*shape.bounds)
        touched = [n for n, b in names.items() if shapely.box(*b).intersection(box).area > 0]
        assert scene.split(", ") == touched


def test_where_scenes_overlap_the_last_with_data_counts(tmp_path):
    one = write(tmp_path / "one.tif", np.full((2, 4), 3, np.uint8))
    two = write(tmp_path / "two.tif", np.uint8([[7, 255], [7, 7]]), place(0, 3))
    result = vectorize([one, two], tmp_path / "m.gpkg", VectorizeOptions(merge=True), legend=LEGEND)
    assert result.areas == {"roof": 6 / 4, "tree": 3 / 4}


def test_where_scenes_overlap_confidence_is_that_of_the_scene_that_gave_the_class(tmp_path):
    """Although the other one has probabilities there as well."""

    one = write(tmp_path / "one.tif", np.full((2, 4), 3, np.uint8))
    two = write(tmp_path / "two.tif", np.uint8([[7, 255], [7, 7]]), place(0, 3))
    folder = tmp_path / "prob"
    folder.mkdir()
    for name, shape, roof, left in (("one", (2, 4), 0.75, 0), ("two", (2, 2), 0.25, 3)):
        data = np.stack([np.full(shape, value, np.float32) for value in (0, roof, 1 - roof)])
        write(folder / f"{name}.tif", data, place(0, left), nodata=None)
    options = VectorizeOptions(merge=True, margin=True)
    found = {}
    for order in ([one, two], [two, one]):
        path = tmp_path / f"{order[0].stem}.gpkg"
        vectorize(order, path, options, legend=LEGEND, probabilities=folder)
        frame = read(path)
        found[order[0].stem] = {
            name: (area, prob, margin)
            for name, area, prob, margin in zip(
                frame["class_name"],
                frame["area_m2"],
                frame["mean_prob"],
                frame["margin"],
                strict=True,
            )
        }
    # The column that both have: trees of the second, though the first is quite sure of roofs.
    assert found["one"] == {"roof": (1.5, 0.75, 0.5), "tree": (0.75, 0.75, 0.5)}
    # The second says nothing of one pixel there, and the first, which comes last, has all of it.
    assert found["two"] == {"roof": (2.0, 0.75, 0.5), "tree": (0.25, 0.75, 0.5)}


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        (
            place(0, 4.25),
            UTM,
            r"b.tif: lies [+]0.25 columns and [+]0 rows off the pixels of .*a.tif",
        ),
        (
            place() @ Affine.scale(1.2),
            UTM,
            r"has pixels of 0.6 x -0.6, those of .*a.tif are 0.5 x -0.5",
        ),
        (place() @ Affine.rotation(5), UTM, r"turned by"),
        (place(), CRS.from_epsg(32633), r"is in EPSG:32633, .*a.tif in EPSG:32632"),
    ],
)
def test_scenes_off_the_lattice_are_not_merged(tmp_path, transform, crs, message):
    one = write(tmp_path / "a.tif", np.zeros((3, 4), np.uint8))
    two = write(tmp_path / "b.tif", np.zeros((3, 4), np.uint8), transform, crs=crs)
    with pytest.raises(SceneError, match=message):
        vectorize([one, two], tmp_path / "m.gpkg", VectorizeOptions(merge=True), legend=LEGEND)
    assert not (tmp_path / "m.gpkg").exists()


def test_several_scenes_are_one_layer_as_are_appended_ones(tmp_path, quarters):
    parts, _ = quarters
    result = vectorize(parts, tmp_path / "a.gpkg", legend=LEGEND)
    frame = read(result.path)
    assert list(dict.fromkeys(frame["scene"])) == [path.name for path in parts]
    assert result.polygons == len(frame)
    for path in parts:
        options = VectorizeOptions(append=True)
        vectorize(path, tmp_path / "b.gpkg", options, legend=LEGEND)
    assert frame.equals(read(tmp_path / "b.gpkg"))
    other = write(tmp_path / "other.tif", np.zeros((3, 4), np.uint8), crs=CRS.from_epsg(32633))
    with pytest.raises(OutputError, match=r"is in EPSG:32632, what is to be added in EPSG:32633"):
        vectorize(other, tmp_path / "b.gpkg", VectorizeOptions(append=True), legend=LEGEND)
    with pytest.raises(SceneError, match=r"other.tif: is in EPSG:32633, .* a layer has one CRS"):
        vectorize([parts[0], other], tmp_path / "c.gpkg", legend=LEGEND)
    with pytest.raises(ConfigError, match="contradict"):
        VectorizeOptions(append=True, overwrite=True)


def test_legends_of_several_scenes_must_not_contradict(tmp_path):
    one = write(tmp_path / "one.tif", np.uint8([[0, 3]]))
    two = write(tmp_path / "two.tif", np.uint8([[7, 3]]))
    result = vectorize([one, two], tmp_path / "m.gpkg")
    assert result.counts == {"background": 1, "class_3": 2, "class_7": 1}
    for name, text in (("one", "roof"), ("two", "road")):
        legend = Legend.of_values([0, 3, 7], names={3: text})
        (tmp_path / f"{name}.tif.aux.xml").unlink(missing_ok=True)
        from geoseg.geo.style import raster_attribute_xml

        (tmp_path / f"{name}.tif.aux.xml").write_text(raster_attribute_xml(legend))
    with pytest.raises(LegendError, match=r'two.tif: 3 means "road", and "roof" in .*one.tif'):
        vectorize([one, two], tmp_path / "n.gpkg")


def test_probabilities_are_one_for_each_scene(tmp_path, quarters):
    parts, (_, probabilities) = quarters
    with pytest.raises(ConfigError, match="1 given, 4 class rasters"):
        vectorize(parts, tmp_path / "m.gpkg", legend=LEGEND, probabilities=probabilities)
    with pytest.raises(SceneError, match=r"holds no whole.tif"):
        vectorize(
            tmp_path / "whole.tif", tmp_path / "m.gpkg", legend=LEGEND,
            probabilities=tmp_path / "prob",
        )  # fmt: skip
    with pytest.raises(SceneError, match="lies on another grid"):
        vectorize(parts[0], tmp_path / "m.gpkg", legend=LEGEND, probabilities=probabilities)
    with pytest.raises(ConfigError, match="--margin: needs --probabilities"):
        vectorize(parts[0], tmp_path / "m.gpkg", VectorizeOptions(margin=True), legend=LEGEND)


def test_margin_is_the_lead_over_the_best_of_the_others(tmp_path, whole, quarters):
    _, (raster, probabilities) = quarters
    options = VectorizeOptions(margin=True, min_area=5)
    result = vectorize(
        raster, tmp_path / "m.gpkg", options, legend=LEGEND, probabilities=probabilities
    )
    frame = read(result.path)
    with rasterio.open(probabilities) as dataset:
        stored = dataset.read().astype(float)
    values = features.rasterize(
        list(zip(frame.geometry, frame["class_id"], strict=True)), whole.shape, 255,
        transform=place(),
    )  # fmt: skip
    assert (values != whole).any()
    number = features.rasterize(
        list(zip(frame.geometry, range(1, len(frame) + 1), strict=True)), whole.shape,
        transform=place(),
    )  # fmt: skip
    own = np.take_along_axis(stored, np.searchsorted([0, 3, 7], values).clip(0, 2)[None], 0)[0]
    channel = np.searchsorted([0, 3, 7], values).clip(0, 2)
    others = np.where(np.arange(3)[:, None, None] == channel, -1, stored).max(0)
    for place_, (mean, margin) in enumerate(
        zip(frame["mean_prob"], frame["margin"], strict=True), 1
    ):
        assert mean == pytest.approx(own[number == place_].mean(), abs=1e-6)
        assert margin == pytest.approx((own - others)[number == place_].mean(), abs=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"connectivity": 8},
        {"simplify": 0.7},
        {"smooth": True, "simplify": 0.4},
        {"min_area": 5, "fill_holes": 9},
        {"regularize": True, "classes": ("roof",)},
    ],
)
def test_rows_at_once_change_nothing(tmp_path, monkeypatch, whole, changes):
    monkeypatch.setattr("geoseg.geo.regular_stream._STEP", 5)
    monkeypatch.setattr("geoseg.geo.regular_stream.HIGHEST", 16)
    path = write(tmp_path / "classes.tif", whole)
    frames = []
    for rows in (1, 7, 64):
        monkeypatch.setattr("geoseg.geo.classes._PIXELS", rows * whole.shape[1])
        options = VectorizeOptions(overwrite=True, **changes)
        frames.append(read(vectorize(path, tmp_path / "o.gpkg", options, legend=LEGEND).path))
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])
    if not changes or "connectivity" in changes:
        shapes = list(zip(frames[0].geometry, frames[0]["class_id"], strict=True))
        assert (features.rasterize(shapes, whole.shape, 255, transform=place()) == whole).all()
    if "classes" not in changes:
        assert shapely.coverage_is_valid(shapely.get_parts(frames[0].geometry.to_numpy()))
    else:
        assert shapely.is_valid(frames[0].geometry.to_numpy()).all()


def test_regularize_works_alone():
    with pytest.raises(ConfigError, match="Leave out --simplify and --smooth"):
        VectorizeOptions(regularize=True, smooth=True)


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
def test_without_crs_there_is_no_geojson(tmp_path, suffix):
    path = write(tmp_path / "plain.tif", np.zeros((3, 4), np.uint8), crs=None)
    with pytest.raises(OutputError, match=r"have no CRS.*--assume-crs"):
        vectorize(path, tmp_path / f"out{suffix}")
    options = VectorizeOptions(assume_crs="EPSG:32632")
    assert vectorize(path, tmp_path / f"out{suffix}", options).unit == "m2"


def test_a_grid_over_the_antimeridian_is_cut_in_geojson(tmp_path):
    transform = Affine(1, 0, 170, 0, -1, 10)
    path = write(
        tmp_path / "c.tif", np.full((4, 20), 3, np.uint8), transform, crs=CRS.from_epsg(4326)
    )
    out = vectorize(path, tmp_path / "o.geojson", legend=LEGEND).path
    (feature,) = json.loads(out.read_text())["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert sorted(part.bounds for part in shape.geoms) == [(-180, 6, -170, 10), (170, 6, 180, 10)]
    assert feature["properties"]["area_m2"] == pytest.approx(9.8e11, rel=0.02)


def test_exotic_crs_is_kept_or_told(tmp_path, caplog):
    sinusoidal = CRS.from_proj4("+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m")
    path = write(tmp_path / "c.tif", np.zeros((3, 4), np.uint8), crs=sinusoidal)
    with caplog.at_level(logging.WARNING, "geoseg"):
        for suffix in (".gpkg", ".fgb", ".parquet", ".shp"):
            result = vectorize(path, tmp_path / f"o{suffix}", legend=LEGEND)
            assert result.areas == {"ground": 3}
    assert CRS.from_wkt(read(tmp_path / "o.gpkg").crs.to_wkt()) == sinusoidal
