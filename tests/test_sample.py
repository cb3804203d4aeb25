"""A sample drawn from a map on disk, interpreted, and given to evaluate."""

import logging
import sqlite3

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
from affine import Affine

from geoseg.errors import ConfigError, LabelError, OutputError, SceneError
from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.legend import Legend, LegendClass
from geoseg.sample import SampleOptions, sample

LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="ground", color="#808080"),
        LegendClass(value=3, name="roof", color="#e6194b"),
        LegendClass(value=7, name="tree & bush", color="#3cb44b"),
    )
)
OPTIONS = SampleOptions(count=60, min_per_class=10, seed=5)


@pytest.fixture
def land(make_scene):
    rng = np.random.default_rng(0)
    values = rng.choice(np.uint8([0, 3, 7, 255]), (80, 50), p=[0.8, 0.12, 0.05, 0.03])
    return values, make_scene(values[None], "classes.tif", nodata=255)


def values_at(values, frame):
    rows = (5400000 - frame.geometry.y.to_numpy()) / 2
    cols = (frame.geometry.x.to_numpy() - 500000) / 2
    assert (rows % 1 == 0.5).all()
    assert (cols % 1 == 0.5).all()
    return values[rows.astype(int), cols.astype(int)]


def test_points_lie_in_their_classes(land, tmp_path):
    values, path = land
    found = sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    frame = geopandas.read_file(tmp_path / "p.gpkg", layer="sample")
    names = {0: "ground", 3: "roof", 7: "tree & bush"}
    drawn = pd.Series(values_at(values, frame)).map(names).value_counts().to_dict()
    assert drawn == found.points
    assert sum(found.points.values()) == len(frame) == 60
    assert found.points["tree & bush"] == found.points["roof"] == 10
    assert found.areas["roof"] == pytest.approx((values == 3).sum() * 4)
    assert found.unit == "m2"


def test_a_map_of_fewer_pixels_than_points_is_told(make_scene, tmp_path, caplog):
    path = make_scene(np.uint8([[[0, 3, 7, 255]] * 5]), "classes.tif", nodata=255)
    with caplog.at_level(logging.WARNING, "geoseg"):
        found = sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    assert sum(found.points.values()) == 15
    assert "15 points, as there are no more pixels with a class" in caplog.text


def test_the_map_is_hidden_from_the_interpreter(land, tmp_path):
    values, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    frame = geopandas.read_file(tmp_path / "p.gpkg", layer="sample")
    assert list(frame.columns) == ["id", "reference", "scene", "geometry"]
    assert frame["reference"].isna().all()
    assert frame["id"].tolist() == list(range(1, 61))
    assert set(frame["scene"]) == {"classes.tif"}
    sample(path, tmp_path / "q.gpkg", SampleOptions(show_class=True, count=60, min_per_class=10),
           legend=LEGEND)  # fmt: skip
    shown = geopandas.read_file(tmp_path / "q.gpkg", layer="sample")
    names = {0: "ground", 3: "roof", 7: "tree & bush"}
    assert shown["map_class"].tolist() == [names[v] for v in values_at(values, shown)]


def test_equal_seeds_draw_equal_points_however_rows_are_cut(land, tmp_path, monkeypatch):
    _, path = land
    sample(path, tmp_path / "a.gpkg", OPTIONS, legend=LEGEND)
    monkeypatch.setattr("geoseg.geo.classes._PIXELS", 120)
    sample(path, tmp_path / "b.gpkg", OPTIONS, legend=LEGEND)
    other = SampleOptions(count=60, min_per_class=10, seed=6)
    sample(path, tmp_path / "c.gpkg", other, legend=LEGEND)
    read = [geopandas.read_file(tmp_path / f"{n}.gpkg", layer="sample") for n in "abc"]
    assert read[0].geometry.equals(read[1].geometry)
    assert not read[0].geometry.equals(read[2].geometry)


def test_qgis_offers_the_classes(land, tmp_path):
    sample(land[1], tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    with sqlite3.connect(tmp_path / "p.gpkg") as database:
        ((qml, layer),) = database.execute("SELECT styleQML, f_table_name FROM layer_styles")
    database.close()
    assert layer == "sample"
    assert 'type="ValueMap"' in qml
    assert 'value="tree &amp; bush"' in qml
    assert pyogrio.read_info(tmp_path / "p.gpkg", layer="sample")["geometry_type"] == "Point"


def test_few_pixels_are_all_drawn_and_told(make_scene, tmp_path, caplog):
    values = np.zeros((30, 30), np.uint8)
    values[4, 4:9] = 3
    path = make_scene(values[None], "c.tif", nodata=255)
    with caplog.at_level(logging.WARNING, "geoseg"):
        found = sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    assert found.points == {"ground": 55, "roof": 5, "tree & bush": 0}
    assert "all pixels are drawn of classes with few: roof (5)" in caplog.text


def test_bad_input_is_refused(land, make_scene, tmp_path):
    _, path = land
    with pytest.raises(ConfigError, match="--count: 20 is less than 3 classes need, 30 points"):
        sample(path, tmp_path / "p.gpkg", SampleOptions(count=20, min_per_class=10), legend=LEGEND)
    assert not (tmp_path / "p.gpkg").exists()
    with pytest.raises(OutputError, match=r"Name it \.gpkg"):
        sample(path, tmp_path / "p.shp", OPTIONS, legend=LEGEND)
    empty = make_scene(np.full((1, 5, 5), 255, np.uint8), "empty.tif", nodata=255)
    with pytest.raises(SceneError, match="has no pixel with a class"):
        sample(empty, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    unknown = make_scene(np.full((1, 5, 5), 9, np.uint8), "unknown.tif", nodata=255)
    with pytest.raises(LabelError, match=r"9 \(25 pixels\)"):
        sample(unknown, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    for wrong in ({"count": 0}, {"min_per_class": 1}, {"seed": -1}):
        with pytest.raises(ConfigError):
            SampleOptions(**wrong)


def interpreted(path, truth, target, share=1.0):
    """Fill in what is true at each point, as an interpreter would."""
    frame = geopandas.read_file(path, layer="sample")
    names = {0: "ground", 3: "roof", 7: "tree & bush"}
    frame["reference"] = [names[v] for v in values_at(truth, frame)]
    frame.loc[frame.index[int(len(frame) * share) :], "reference"] = None
    frame.to_file(target, layer="sample")
    return target


@pytest.fixture
def truth(land):
    """Of the map, some pixels are wrong."""
    rng = np.random.default_rng(1)
    values = np.where(land[0] == 255, 0, land[0])
    wrong = rng.random(values.shape) < 0.15
    return np.where(wrong, rng.choice(np.uint8([0, 3, 7]), values.shape), values)


def test_estimates_surround_the_truth(land, truth, tmp_path):
    values, path = land
    options = SampleOptions(count=400, min_per_class=80)
    sample(path, tmp_path / "p.gpkg", options, legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "done.gpkg")
    report = evaluate([path], None, options=EvaluateOptions(legend=LEGEND, sample=points))
    found = report.to_dict()["area"]
    known = values != 255
    assert found["total_mapped"] == pytest.approx(4 * known.sum())
    sampled = found["sample"]
    assert sampled["points"] == 400
    assert np.sum(sampled["counts"]) == 400
    for row, value in zip(sampled["classes"], (0, 3, 7), strict=True):
        area = 4 * ((truth == value) & known).sum()
        assert abs(row["area"]["value"] - area) < 1.6 * row["area"]["margin"]
        users = (truth == value)[values == value].mean()
        told = row["users_accuracy"]
        assert abs(told["value"] - users) < 1.6 * told["margin"]
    assert report.to_dict()["pixel_accuracy"] is None
    assert report.to_dict()["settings"]["labels"] is None
    assert "overall accuracy" in report.to_text()
    assert " ± " in report.to_text()


def test_a_whole_interpretation_has_no_bias(make_scene, tmp_path):
    """All pixels drawn: the estimates are the truth."""
    rng = np.random.default_rng(2)
    values, truth = rng.choice(np.uint8([0, 3]), (2, 20, 20))
    path = make_scene(values[None], "c.tif", nodata=255)
    sample(path, tmp_path / "p.gpkg", SampleOptions(count=400, min_per_class=2), legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "done.gpkg")
    options = EvaluateOptions(legend=LEGEND, sample=points)
    found = evaluate([path], path, options=options).to_dict()
    areas = [row["area"]["value"] for row in found["area"]["sample"]["classes"]]
    assert areas == pytest.approx([4 * (truth == v).sum() for v in (0, 3, 7)])
    overall = found["area"]["sample"]["overall_accuracy"]["value"]
    assert overall == pytest.approx((truth == values).mean())
    assert found["pixel_accuracy"] == 1


def test_points_without_a_class_are_left_out_and_told(land, truth, tmp_path, caplog):
    _, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "half.gpkg", share=0.8)
    with caplog.at_level(logging.WARNING, "geoseg"):
        report = evaluate([path], None, options=EvaluateOptions(legend=LEGEND, sample=points))
    assert '12 of 60 points have no class in "reference" and are left out' in caplog.text
    assert report.to_dict()["area"]["sample"]["points"] == 48
    options = EvaluateOptions(legend=LEGEND, sample=tmp_path / "p.gpkg")
    with pytest.raises(LabelError, match=r'none of 60 points tells its class in "reference"'):
        evaluate([path], None, options=options)


def test_samples_that_do_not_fit_are_refused(land, truth, tmp_path):
    values, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "done.gpkg")

    def run(frame, **more):
        frame.to_file(tmp_path / "changed.gpkg", layer="sample")
        options = EvaluateOptions(legend=LEGEND, sample=tmp_path / "changed.gpkg", **more)
        return evaluate([path], None, options=options)

    good = geopandas.read_file(points)
    moved = good.copy()
    moved.loc[moved.index[:3], "geometry"] = moved.geometry[:3].translate(yoff=1e5)
    with pytest.raises(LabelError, match=r"3 of 60 points lie outside of the map, the first at"):
        run(moved)
    hole = np.argwhere(values == 255)[0]
    bare = good.copy()
    bare.loc[0, "geometry"] = geopandas.points_from_xy(
        [500000 + 2 * hole[1] + 1], [5400000 - 2 * hole[0] - 1]
    )[0]
    with pytest.raises(LabelError, match="1 of 60 points lie without data on the map"):
        run(bare)
    few = good[values_at(values, good) != 3]
    with pytest.raises(LabelError, match=r"fewer than 2 points on the map's roof \(0 points\)"):
        run(few)
    wrong = good.assign(reference="sea")
    with pytest.raises(LabelError, match=r"not in the legend: sea \(60 features\)"):
        run(wrong)
    with pytest.raises(LabelError, match=r'has no field "seen"'):
        run(good, sample_field="seen")
    with pytest.raises(LabelError, match="60 of 60 features are no points"):
        run(good.set_geometry(good.buffer(1)))
    with pytest.raises(ConfigError, match="there is no sample"):
        evaluate([path], None, options=EvaluateOptions(legend=LEGEND))


def test_points_of_another_crs_and_many_maps(land, truth, make_scene, tmp_path):
    values, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "done.gpkg")
    geopandas.read_file(points).to_crs(4326).to_file(tmp_path / "degrees.gpkg", layer="sample")
    halves = [
        make_scene(values[None, :40], "a.tif", nodata=255),
        make_scene(
            values[None, 40:], "b.tif", nodata=255, transform=Affine(2, 0, 5e5, 0, -2, 5399920)
        ),
    ]
    found = [
        evaluate(maps, None, options=EvaluateOptions(legend=LEGEND, sample=tmp_path / name))
        for maps, name in (([path], "done.gpkg"), (halves, "degrees.gpkg"))
    ]
    whole, parts = (each.to_dict()["area"] for each in found)
    assert whole["sample"]["counts"] == parts["sample"]["counts"]
    assert whole["sample"]["classes"] == parts["sample"]["classes"]
    assert [len(each.to_dict()["scenes"]) for each in found] == [1, 2]


def test_a_point_counts_in_the_first_map_with_data_there(land, truth, make_scene, tmp_path):
    values, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "done.gpkg")
    left, right = values.copy(), values.copy()
    left[:, 25:], right[:, :25] = 255, 255
    maps = [make_scene(each[None], f"{n}.tif", nodata=255) for n, each in enumerate((left, right))]
    options = EvaluateOptions(legend=LEGEND, sample=points)
    found = [evaluate(each, None, options=options).to_dict()["area"] for each in ([path], maps)]
    assert found[0]["sample"] == found[1]["sample"]


def test_maps_that_no_point_lies_on_are_told(land, truth, make_scene, tmp_path, caplog):
    values, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    points = interpreted(tmp_path / "p.gpkg", truth, tmp_path / "done.gpkg")
    far = Affine(2, 0, 6e5, 0, -2, 54e5)
    other = make_scene(values[None], "far.tif", nodata=255, transform=far)
    options = EvaluateOptions(legend=LEGEND, sample=points)
    evaluate([path], None, options=options)
    assert "no point lies on" not in caplog.text
    evaluate([path, other], None, options=options)
    assert "no point lies on 1 of the 2 maps" in caplog.text


def test_a_map_without_crs_gives_no_warning_of_others(make_scene, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    values = np.random.default_rng(0).integers(0, 2, (1, 9, 9), dtype=np.uint8)
    path = make_scene(values, "plain.tif", crs=None)
    options = SampleOptions(count=9, min_per_class=2, assume_crs="none")
    sample(path, tmp_path / "plain.gpkg", options)
    assert "'crs' was not provided" not in caplog.text


@pytest.mark.parametrize(
    "asked", [{"boundary": 4.0}, {"objects": True}, {"probabilities": "p.tif"}]
)
def test_figures_that_need_labels_are_refused_with_a_sample_alone(land, tmp_path, asked):
    _, path = land
    sample(path, tmp_path / "p.gpkg", OPTIONS, legend=LEGEND)
    options = EvaluateOptions(legend=LEGEND, sample=tmp_path / "p.gpkg", **asked)
    with pytest.raises(ConfigError, match="labels: are missing, which borders"):
        evaluate([path], None, options=options)
