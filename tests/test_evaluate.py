"""From class rasters and labels on disk to a report, against scikit-learn."""

import json
import logging
import math

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio import features
from rasterio.crs import CRS
from sklearn import metrics

from geoseg.errors import ConfigError, LabelError, LegendError, OutputError, SceneError
from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.labels import LabelOptions
from geoseg.geo.legend import Legend, LegendClass

UTM = CRS.from_epsg(32632)
METRE = Affine(1, 0, 4e5, 0, -1, 5e6)
LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="ground", color="#808080"),
        LegendClass(value=3, name="roof", color="#e6194b"),
        LegendClass(value=7, name="tree", color="#3cb44b"),
    )
)
OPTIONS = EvaluateOptions(legend=LEGEND)


def _write(path, data, **profile):
    profile = {"crs": UTM, "transform": METRE, "nodata": 255, **profile}
    height, width = data.shape
    shape = {"count": 1, "height": height, "width": width, "dtype": data.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as dataset:
        dataset.write(data, 1)
    return path


def _maps(seed, shape=(50, 40), share=0.7):
    rng = np.random.default_rng(seed)
    reference = rng.choice(np.uint8([0, 0, 0, 3, 7]), shape)
    prediction = np.where(rng.random(shape) < share, reference, rng.choice(np.uint8([0, 3]), shape))
    return reference, prediction.astype(np.uint8)


@pytest.fixture
def pair(tmp_path):
    reference, prediction = _maps(0)
    prediction[:5] = 255
    reference[-3:] = 255
    _write(tmp_path / "prediction.tif", prediction)
    _write(tmp_path / "labels.tif", reference)
    return tmp_path / "prediction.tif", tmp_path / "labels.tif"


def test_report_equals_sklearn(pair):
    found = evaluate([pair[0]], pair[1], options=OPTIONS).to_dict()
    reference, prediction = (a[5:-3].ravel() for a in _maps(0))
    assert found["confusion"] == metrics.confusion_matrix(reference, prediction).tolist()
    assert found["pixel_accuracy"] == pytest.approx(metrics.accuracy_score(reference, prediction))
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(reference, prediction))
    iou = metrics.jaccard_score(reference, prediction, average=None)
    assert [row["iou"] for row in found["classes"]] == pytest.approx(iou)
    assert found["mean_iou"] == pytest.approx(iou.mean())
    assert [row["name"] for row in found["classes"]] == ["ground", "roof", "tree"]
    assert found["pixels"] == {
        "total": 2000,
        "predicted": 45 * 40,
        "labelled": 47 * 40,
        "counted": 42 * 40,
        "coverage": 42 / 47,
    }


def test_report_has_the_promised_keys(pair):
    found = evaluate([pair[0]], pair[1], options=OPTIONS).to_dict()
    promised = (
        "pixel_accuracy mean_accuracy mean_iou fw_iou mean_dice mean_f1 kappa confusion classes "
        "boundary objects area scenes"
    )
    assert set(promised.split()) <= set(found)
    in_class = "name iou dice precision recall f1 reference_pixels predicted_pixels"
    assert set(found["classes"][0]) == set(in_class.split())


def test_strips_add_up_to_the_whole(pair, monkeypatch):
    whole = evaluate([pair[0]], pair[1], options=OPTIONS).matrix
    monkeypatch.setattr("geoseg.geo.classes._PIXELS", 120)
    assert (evaluate([pair[0]], pair[1], options=OPTIONS).matrix == whole).all()


def test_vector_labels_of_another_crs(tmp_path):
    shapes = [shapely.box(4e5 + x, 5e6 - 30, 4e5 + x + 7, 5e6 - 10) for x in (3, 20)]
    frame = geopandas.GeoDataFrame({"kind": ["roof", "tree"]}, geometry=shapes, crs=32632)
    frame.to_crs(4326).to_file(tmp_path / "labels.gpkg")
    reference = features.rasterize(
        [(shapes[0], 3), (shapes[1], 7)], (50, 40), transform=METRE, dtype="uint8"
    )
    prediction = _maps(1)[1]
    _write(tmp_path / "prediction.tif", prediction)
    report = evaluate(
        [tmp_path / "prediction.tif"],
        tmp_path / "labels.gpkg",
        options=EvaluateOptions(legend=LEGEND, labels=LabelOptions(field="kind")),
    )
    expected = metrics.confusion_matrix(reference.ravel(), prediction.ravel())
    assert report.to_dict()["confusion"] == expected.tolist()


@pytest.fixture
def three_scenes(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "labels").mkdir()
    pairs = [_maps(seed, (20 + 10 * seed, 30), 0.9 - 0.2 * seed) for seed in range(3)]
    pairs[2][0][pairs[2][0] == 7] = 0
    pairs[2][1][pairs[2][1] == 7] = 0
    for seed, (reference, prediction) in enumerate(pairs):
        _write(tmp_path / "maps" / f"scene{seed}.tif", prediction)
        _write(tmp_path / "labels" / f"scene{seed}.tif", reference)
    return tmp_path, pairs


def test_global_scores_are_those_of_all_pixels(three_scenes):
    folder, pairs = three_scenes
    found = evaluate([folder / "maps"], folder / "labels", options=OPTIONS).to_dict()
    reference, prediction = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    assert found["mean_iou"] == pytest.approx(
        metrics.jaccard_score(reference, prediction, average="macro")
    )
    singles = [metrics.accuracy_score(r.ravel(), p.ravel()) for r, p in pairs]
    assert [scene["pixel_accuracy"] for scene in found["scenes"]] == pytest.approx(singles)
    assert [scene["labels"] for scene in found["scenes"]] == [
        str(folder / "labels" / f"scene{seed}.tif") for seed in range(3)
    ]


def test_per_image_scores_are_means_over_scenes(three_scenes):
    folder, pairs = three_scenes
    options = EvaluateOptions(legend=LEGEND, mode="per-image")
    found = evaluate([folder / "maps"], folder / "labels", options=options).to_dict()
    singles = [metrics.accuracy_score(r.ravel(), p.ravel()) for r, p in pairs]
    assert found["pixel_accuracy"] == pytest.approx(np.mean(singles))
    macro = [metrics.jaccard_score(r.ravel(), p.ravel(), average="macro") for r, p in pairs]
    assert found["mean_iou"] == pytest.approx(np.mean(macro))
    # The third scene has no trees, so it says nothing about them.
    trees = [
        metrics.jaccard_score(r.ravel(), p.ravel(), labels=[7], average="macro")
        for r, p in pairs[:2]
    ]
    assert found["classes"][2]["iou"] == pytest.approx(np.mean(trees))
    assert found["scenes"][2]["classes"][2]["iou"] is None


@pytest.mark.parametrize("ignored", ["ground", "0", 0])
def test_ignored_class_keeps_misses(pair, ignored):
    options = EvaluateOptions(legend=LEGEND, ignore=(ignored,))
    found = evaluate([pair[0]], pair[1], options=options).to_dict()
    reference, prediction = (a[5:-3].ravel() for a in _maps(0))
    labelled = reference != 0
    expected = metrics.confusion_matrix(reference[labelled], prediction[labelled])
    assert found["confusion"] == expected.tolist()
    assert found["classes"][0]["iou"] is None
    iou = metrics.jaccard_score(reference[labelled], prediction[labelled], average=None)
    assert found["mean_iou"] == pytest.approx(iou[1:].mean())
    assert found["settings"]["ignore"] == ["ground"]


def test_trivial_map_is_the_majority_everywhere(pair):
    report = evaluate([pair[0]], pair[1], options=OPTIONS)
    reference = _maps(0)[0][5:-3]
    assert report.trivial["class"] == "ground"
    assert report.trivial["pixel_accuracy"] == pytest.approx((reference == 0).mean())
    assert report.trivial["mean_iou"] == pytest.approx((reference == 0).mean() / 3)
    assert '"ground" everywhere' in report.to_text()


def test_table_names_all_classes_and_fits_a_terminal(pair):
    report = evaluate([pair[0]], pair[1], options=OPTIONS)
    text = report.to_text()
    row = next(line for line in text.splitlines() if line.startswith("roof"))
    assert f"{report.scores['classes'][1]['iou']:.2%}" in row
    assert max(map(len, text.splitlines())) <= 100
    assert "89.36% of the 1,880 labelled pixels have a prediction" in text


def test_report_is_written_and_plain_json(pair, tmp_path):
    evaluate([pair[0]], pair[1], tmp_path / "deep" / "report", OPTIONS)
    content = json.loads((tmp_path / "deep" / "report" / "report.json").read_text())
    assert content["pixels"]["total"] == 2000
    with pytest.raises(OutputError, match="already exists"):
        evaluate([pair[0]], pair[1], tmp_path / "deep" / "report", OPTIONS)
    (tmp_path / "deep" / "report" / "mine.txt").touch()
    options = EvaluateOptions(legend=LEGEND, overwrite=True)
    evaluate([pair[0]], pair[1], tmp_path / "deep" / "report", options)
    assert (tmp_path / "deep" / "report" / "mine.txt").exists()
    with pytest.raises(OutputError, match="is a file, a folder is wanted"):
        evaluate([pair[0]], pair[1], pair[1], OPTIONS)


def test_class_absent_from_both_is_null(tmp_path):
    path = _write(tmp_path / "p.tif", np.zeros((4, 4), np.uint8))
    report = evaluate([path], path, tmp_path / "out", OPTIONS)
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["classes"][1]["iou"] is None
    assert content["kappa"] is None
    assert content["mean_iou"] == 1
    assert math.isnan(report.scores["kappa"])
    assert report.to_text().splitlines()[3].split()[1:5] == ["-"] * 4


def test_legend_of_the_prediction_is_the_default(tmp_path):
    values = np.array([[0, 1], [1, 1]], np.uint8)
    path = _write(tmp_path / "p.tif", values)
    report = evaluate([path], path)
    assert report.names == ("background", "class_1")


def test_plain_images_are_compared_corner_on_corner(tmp_path):
    reference, prediction = _maps(0)
    plain = {"crs": None, "transform": Affine.identity()}
    for name, data in (("p.tif", prediction), ("l.tif", reference)):
        with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
            _write(tmp_path / name, data, **plain)
    options = EvaluateOptions(legend=LEGEND, labels=LabelOptions(assume_crs="none"))
    report = evaluate([tmp_path / "p.tif"], tmp_path / "l.tif", options=options)
    assert (report.matrix == metrics.confusion_matrix(reference.ravel(), prediction.ravel())).all()


def test_labels_far_away_are_refused(pair, tmp_path):
    away = _write(tmp_path / "away.tif", _maps(0)[0], transform=Affine(1, 0, 5e5, 0, -1, 5e6))
    with pytest.raises(LabelError, match="does not touch its labels"):
        evaluate([pair[0]], away, options=OPTIONS)


def test_nothing_to_compare_is_refused(pair, tmp_path):
    empty = _write(tmp_path / "empty.tif", np.full((50, 40), 255, np.uint8))
    with pytest.raises(LabelError, match="no pixel has both a class and a label"):
        evaluate([empty], pair[1], tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


def test_one_empty_scene_among_others_is_told(three_scenes, caplog):
    folder, _ = three_scenes
    _write(folder / "maps" / "scene1.tif", np.full((30, 30), 255, np.uint8))
    with caplog.at_level(logging.WARNING, "geoseg"):
        report = evaluate([folder / "maps"], folder / "labels", options=OPTIONS)
    assert "scene1.tif: no pixel has both a class and a label" in caplog.text
    assert report.to_dict()["scenes"][1]["pixel_accuracy"] is None


def test_bad_input_is_refused(pair, tmp_path):
    unknown = _write(tmp_path / "u.tif", np.array([[0, 5], [9, 5]], np.uint8))
    with pytest.raises(LabelError, match=r"u.tif: values .* 5 \(2 pixels\), 9 \(1 pixels\)"):
        evaluate([unknown], pair[1], options=OPTIONS)
    fractions = _write(tmp_path / "f.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(SceneError, match="holds float32 numbers, not classes"):
        evaluate([fractions], pair[1], options=OPTIONS)
    with pytest.raises(LegendError, match="road: is no class of the legend"):
        evaluate([pair[0]], pair[1], options=EvaluateOptions(legend=LEGEND, ignore=("road",)))
    with pytest.raises(LabelError, match=r"none.gpkg"):
        evaluate([pair[0]], tmp_path / "none.gpkg", options=OPTIONS)
    with pytest.raises(ConfigError, match="--mode"):
        EvaluateOptions(mode="image")
