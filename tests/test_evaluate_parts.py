"""Borders, objects, probabilities, areas and grids: from files to a report."""

import json
import logging
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.errors import ConfigError, LabelError, LegendError, SceneError
from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.grid import Grid
from geoseg.geo.labels import LabelOptions
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.style import raster_qml

UTM = CRS.from_epsg(32632)
HALF = Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="ground", color="#808080"),
        LegendClass(value=3, name="roof", color="#e6194b"),
        LegendClass(value=7, name="tree", color="#3cb44b"),
    )
)


def write(path, data, **profile):
    profile = {"crs": UTM, "transform": HALF, "nodata": 255, **profile}
    data = data if data.ndim == 3 else data[None]
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    with rasterio.open(path, "w", driver="GTiff", dtype=data.dtype, **shape, **profile) as dataset:
        dataset.write(data)
    return path


def blobs(seed, shape=(60, 50)):
    """A map of three classes in blobs and one with errors, both with a corner unknown."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    other = field + 0.5 * field.std() * ndimage.gaussian_filter(rng.normal(size=shape), 1)
    cuts = np.quantile(field, [0.6, 0.85])
    reference, prediction = (np.uint8([0, 3, 7])[np.digitize(f, cuts)] for f in (field, other))
    prediction[:4, :4] = 255
    reference[-5:, -6:] = 255
    return reference, prediction


def boundary_iou(reference, prediction, value, tolerance, left_out=()):
    """Cheng et al. on the whole of both maps; unknown pixels are no other class."""
    zones = []
    for each in (reference, prediction):
        others = (each != value) & (each != 255)
        near = ndimage.distance_transform_edt(~others, sampling=0.5) <= tolerance + 1e-9
        zones.append((each == value) & near)
    known = (reference != 255) & (prediction != 255) & ~np.isin(reference, left_out)
    return (zones[0] & zones[1] & known).sum() / ((zones[0] | zones[1]) & known).sum()


@pytest.fixture
def pair(tmp_path):
    reference, prediction = blobs(0)
    return (
        write(tmp_path / "prediction.tif", prediction),
        write(tmp_path / "labels.tif", reference),
    )


def test_nothing_more_is_counted_unless_asked(pair):
    found = evaluate([pair[0]], pair[1], options=EvaluateOptions(legend=LEGEND)).to_dict()
    parts = ("boundary", "objects", "calibration", "area")
    assert [found[part] for part in parts] == [None] * 4
    assert [found["scenes"][0][part] for part in parts] == [None] * 4


@pytest.mark.parametrize("pixels", [120, 1 << 22])
def test_borders_in_metres_however_rows_are_cut(pair, monkeypatch, pixels):
    monkeypatch.setattr("geoseg.geo.classes._PIXELS", pixels)
    options = EvaluateOptions(legend=LEGEND, boundary=1.5)
    report = evaluate([pair[0]], pair[1], options=options)
    found = report.to_dict()["boundary"]
    expected = [boundary_iou(*blobs(0), value, 1.5) for value in (0, 3, 7)]
    assert [row["iou"] for row in found["classes"]] == pytest.approx(expected)
    assert found["mean_iou"] == pytest.approx(np.mean(expected))
    assert (found["tolerance"], found["unit"]) == (1.5, "m")
    assert "boundary, 1.5 m" in report.to_text()
    assert report.to_dict()["settings"]["boundary"] == 1.5


def test_ignored_classes_have_no_borders(pair):
    options = EvaluateOptions(legend=LEGEND, boundary=1.5, ignore=("ground",))
    found = evaluate([pair[0]], pair[1], options=options).to_dict()["boundary"]
    expected = [boundary_iou(*blobs(0), value, 1.5, left_out=(0,)) for value in (3, 7)]
    assert found["classes"][0]["iou"] is None
    assert [row["iou"] for row in found["classes"][1:]] == pytest.approx(expected)
    assert found["mean_iou"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("pixels", [120, 1 << 22])
def test_objects_are_those_of_the_whole(pair, monkeypatch, pixels):
    monkeypatch.setattr("geoseg.geo.classes._PIXELS", pixels)
    options = EvaluateOptions(legend=LEGEND, objects=True, object_sizes=(5, 20))
    report = evaluate([pair[0]], pair[1], options=options)
    found = report.to_dict()["objects"]
    reference, prediction = blobs(0)
    known = (reference != 255) & (prediction != 255)
    for row, value in zip(found["classes"], (3, 7), strict=True):
        counts = [ndimage.label((m == value) & known)[1] for m in (reference, prediction)]
        assert [row["reference"], row["predicted"]] == counts
    assert [row["name"] for row in found["classes"]] == ["roof", "tree"]
    assert [(row["from"], row["to"]) for row in found["sizes"]] == [(0, 5), (5, 20), (20, None)]
    assert sum(row["reference"] for row in found["sizes"]) == found["reference"]
    assert report.to_dict()["settings"]["objects"] == ["roof", "tree"]
    assert "20 m2 and up" in report.to_text()


def test_objects_of_chosen_classes(pair):
    options = EvaluateOptions(legend=LEGEND, object_classes=("tree", 0))
    found = evaluate([pair[0]], pair[1], options=options).to_dict()["objects"]
    assert [row["name"] for row in found["classes"]] == ["tree", "ground"]
    fewer = evaluate([pair[0]], pair[1], options=replace(options, ignore=("ground",))).to_dict()
    assert fewer["objects"]["classes"] == found["classes"][:1]
    assert fewer["objects"]["reference"] == found["classes"][0]["reference"]
    none = replace(options, ignore=("ground", "tree"))
    with pytest.raises(ConfigError, match="no class is left that has any"):
        evaluate([pair[0]], pair[1], options=none)
    wrong = EvaluateOptions(legend=LEGEND, object_classes=("road",))
    with pytest.raises(LegendError, match="road: is no class of the legend"):
        evaluate([pair[0]], pair[1], options=wrong)


@pytest.mark.parametrize("pixels", [100, 1 << 22])
def test_polygons_are_objects_of_their_own(tmp_path, monkeypatch, pixels):
    """Row houses: as polygons they are three, burned into a raster they are one."""
    monkeypatch.setattr("geoseg.geo.classes._PIXELS", pixels)
    boxes = [shapely.box(4e5 + x, 5e6 - 9, 4e5 + x + 5, 5e6 - 3) for x in (3, 8, 13)]
    frame = geopandas.GeoDataFrame({"kind": ["roof"] * 3}, geometry=boxes, crs=32632)
    frame.to_file(tmp_path / "labels.gpkg")
    prediction = np.zeros((30, 50), np.uint8)
    for left in (6, 16, 26):
        prediction[6:18, left + 1 : left + 9] = 3
    maps = [write(tmp_path / "p.tif", prediction)]
    options = EvaluateOptions(legend=LEGEND, labels=LabelOptions(field="kind"), objects=True)
    found = evaluate(maps, tmp_path / "labels.gpkg", options=options).to_dict()["objects"]
    assert (found["reference"], found["predicted"], found["matched"]) == (3, 3, 3)
    assert found["mean_matched_iou"] == pytest.approx(0.8)
    burned = np.zeros((30, 50), np.uint8)
    burned[6:18, 6:36] = 3
    labels = write(tmp_path / "labels.tif", burned)
    found = evaluate(maps, labels, options=options).to_dict()["objects"]
    assert (found["reference"], found["predicted"], found["matched"]) == (1, 3, 0)


@pytest.fixture
def two(tmp_path):
    """Two scenes of unlike size, with labels and probabilities."""
    for name in ("maps", "labels", "shares"):
        (tmp_path / name).mkdir()
    for seed, shape in ((1, (50, 40)), (2, (90, 70))):
        reference, prediction = blobs(seed, shape)
        write(tmp_path / "maps" / f"s{seed}.tif", prediction)
        write(tmp_path / "labels" / f"s{seed}.tif", reference)
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet((1, 1, 1), shape).transpose(2, 0, 1).astype(np.float32)
        write(tmp_path / "shares" / f"s{seed}.tif", shares, nodata=None)
    return tmp_path


def run(folder, only=None, **options):
    maps = [folder / "maps"] if only is None else [folder / "maps" / f"s{only}.tif"]
    if "probabilities" in options and only is not None:
        options["probabilities"] = folder / "shares" / f"s{only}.tif"
    chosen = EvaluateOptions(legend=LEGEND, **options)
    return evaluate(maps, folder / "labels", options=chosen).to_dict()


@pytest.mark.parametrize("mode", ["global", "per-image"])
def test_parts_in_sum_and_by_scene(two, mode):
    options = {"boundary": 2, "objects": True, "probabilities": two / "shares", "area": True}
    both = run(two, mode=mode, **options)
    singles = [run(two, only=seed, **options) for seed in (1, 2)]
    for part in ("boundary", "objects", "calibration"):
        assert [scene[part] for scene in both["scenes"]] == [single[part] for single in singles]
    for part, key in (
        ("boundary", "mean_f1"),
        ("objects", "recall"),
        ("calibration", "brier"),
        ("calibration", "expected_calibration_error"),
    ):
        values = [single[part][key] for single in singles]
        if mode == "per-image":
            assert both[part][key] == pytest.approx(np.mean(values))
        else:
            assert min(values) < both[part][key] < max(values) or part == "calibration"
    objects = [single["objects"] for single in singles]
    assert both["objects"]["matched"] == sum(each["matched"] for each in objects)
    if mode == "global":
        found = both["objects"]
        assert found["recall"] == pytest.approx(found["matched"] / found["reference"])
    pixels = [single["calibration"]["pixels"] for single in singles]
    assert both["calibration"]["pixels"] == sum(pixels)
    assert both["area"]["total_mapped"] == pytest.approx(
        sum(single["area"]["total_mapped"] for single in singles)
    )


def test_calibration_of_a_raster(two):
    found = run(two, only=1, probabilities="")["calibration"]
    with rasterio.open(two / "shares" / "s1.tif") as dataset:
        shares = dataset.read()
    reference, _ = blobs(1, (50, 40))
    seen = reference != 255
    truth = np.searchsorted([0, 3, 7], reference[seen])
    own = shares[:, seen]
    assert found["accuracy"] == pytest.approx((own.argmax(axis=0) == truth).mean())
    expected = np.square(own - (np.arange(3)[:, None] == truth)).sum(axis=0).mean()
    assert found["brier"] == pytest.approx(expected, rel=1e-5)
    ignored = run(two, only=1, probabilities="", ignore=("ground",))["calibration"]
    assert ignored["pixels"] == (reference[seen] != 0).sum()
    assert ignored["classes"][0]["calibration_error"] is None


def test_areas_are_true_square_metres(tmp_path):
    """Of a map in degrees, whose pixels shrink toward the pole."""
    reference, prediction = blobs(3)
    transform = Affine(0.01, 0, 10, 0, -0.01, 70)
    place = {"crs": CRS.from_epsg(4326), "transform": transform}
    paths = [write(tmp_path / "p.tif", prediction, **place)]
    labels = write(tmp_path / "l.tif", reference, **place)
    report = evaluate(paths, labels, options=EvaluateOptions(legend=LEGEND, area=True))
    found = report.to_dict()["area"]
    own = Grid(height=60, width=50, transform=transform, crs=place["crs"]).row_areas()
    assert own[0] < 0.99 * own[-1]
    known = (reference != 255) & (prediction != 255)
    for row, value in zip(found["classes"], (0, 3, 7), strict=True):
        assert row["mapped"] == pytest.approx(own @ (prediction == value).sum(axis=1))
        there = ((prediction == value) & known).sum(axis=1)
        assert row["mapped_compared"] == pytest.approx(own @ there)
        labelled = ((reference == value) & known).sum(axis=1)
        assert row["reference_compared"] == pytest.approx(own @ labelled)
    assert (found["unit"], found["sample"]) == ("m2", None)
    assert "area, ha" in report.to_text()


def test_labels_on_another_grid_are_refused_unless_resampled(pair, tmp_path):
    reference, prediction = blobs(0)
    coarse = reference[1::2, 1::2]
    labels = write(tmp_path / "coarse.tif", coarse, transform=HALF @ Affine.scale(2))
    with pytest.raises(LabelError) as caught:
        evaluate([pair[0]], labels, options=EvaluateOptions(legend=LEGEND))
    text = str(caught.value)
    assert "lies on another grid (25 x 30 pixels of 1 x 1 from (400000, 5000000), EPSG:326" in text
    assert "(50 x 60 pixels of 0.5 x 0.5 from (400000, 5000000), EPSG:326" in text
    assert "--resample" in text
    options = EvaluateOptions(legend=LEGEND, resample=True)
    found = evaluate([pair[0]], labels, options=options)
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)
    known = (fine != 255) & (prediction != 255)
    assert found.scores["pixel_accuracy"] == pytest.approx((fine == prediction)[known].mean())
    assert found.to_dict()["settings"]["resample"] is True


def test_labels_that_reach_further_on_the_same_pixels_are_fine(pair, tmp_path):
    reference, _ = blobs(0)
    wide = np.pad(reference, 7, constant_values=255)
    labels = write(tmp_path / "wide.tif", wide, transform=HALF @ Affine.translation(-7, -7))
    options = EvaluateOptions(legend=LEGEND)
    found, expected = (evaluate([pair[0]], each, options=options) for each in (labels, pair[1]))
    assert (found.matrix == expected.matrix).all()
    shifted = write(
        tmp_path / "shifted.tif", reference, transform=HALF @ Affine.translation(0.4, 0)
    )
    with pytest.raises(LabelError, match="lies on another grid"):
        evaluate([pair[0]], shifted, options=options)


def test_maps_of_unlike_classes_are_refused(tmp_path):
    reference, prediction = blobs(0)
    for name in ("maps", "labels"):
        (tmp_path / name).mkdir()
    other = Legend(
        classes=tuple(
            LegendClass(value=e.value, name=n, color=e.color)
            for e, n in zip(LEGEND.classes, ("ground", "tree", "roof"), strict=True)
        )
    )
    for name, legend in (("a", LEGEND), ("b", other)):
        write(tmp_path / "maps" / f"{name}.tif", prediction)
        write(tmp_path / "labels" / f"{name}.tif", reference)
        legend_file = tmp_path / "maps" / f"{name}.qml"
        legend_file.write_text(raster_qml(legend))
    with pytest.raises(
        LabelError, match=r'b.tif: its classes are unlike .* 3 is "tree", not "roof"'
    ):
        evaluate([tmp_path / "maps"], tmp_path / "labels")


def test_names_that_are_given_win_and_that_is_told(tmp_path, caplog):
    reference, prediction = blobs(0)
    write(tmp_path / "a.tif", prediction)
    labels = write(tmp_path / "l.tif", reference)
    (tmp_path / "a.qml").write_text(raster_qml(LEGEND).replace('"roof"', '"house"'))
    with caplog.at_level(logging.WARNING, "geoseg"):
        found = evaluate([tmp_path / "a.tif"], labels, options=EvaluateOptions(legend=LEGEND))
    assert '3 is "house", not "roof"; the names given are used' in caplog.text
    assert found.names == LEGEND.names


def test_the_report_is_plain_json(two, tmp_path):
    options = EvaluateOptions(
        legend=LEGEND, boundary=2, objects=True, probabilities=two / "shares", area=True
    )
    evaluate([two / "maps"], two / "labels", tmp_path / "out", options)
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["boundary"]["classes"][1]["name"] == "roof"
    assert len(content["calibration"]["reliability"]) == 15
    assert content["calibration"]["reliability"][0]["accuracy"] is None
    assert content["scenes"][1]["objects"]["classes"][0]["sizes"][-1]["to"] is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"boundary": 0}, "--boundary: 0 is not above 0"),
        ({"object_sizes": (10, 5)}, "--object-sizes: 10, 5 do not ascend"),
        ({"object_sizes": (0, 5)}, "--object-sizes"),
    ],
)
def test_options_that_make_no_sense(options, match):
    with pytest.raises(ConfigError, match=match):
        EvaluateOptions(**options)


def test_what_does_not_fit_is_refused(two):
    with pytest.raises(ConfigError, match=r"0\.2 m is less than a pixel, 0\.5 x 0\.5 m"):
        run(two, boundary=0.2)
    with pytest.raises(SceneError, match="is one file for 2 predictions"):
        run(two, probabilities=two / "shares" / "s1.tif")
    write(two / "shares" / "s1.tif", np.ones((3, 50, 40), np.float32), nodata=None)
    with pytest.raises(SceneError, match=r"3 bands sum to 3 to 3 in 1970 of 1970 pixels"):
        run(two, probabilities=two / "shares")


def squares(path, *corners, side=8, names=("roof",)):
    """Polygons of the map's pixels; `corners` tell the first row and column of each."""
    shapes = [shapely.box(col, -row - side, col + side, -row) for row, col in corners]
    frame = geopandas.GeoDataFrame({"class_name": list(names) * len(shapes)}, geometry=shapes)
    frame.geometry = frame.affine_transform([0.5, 0, 0, 0.5, 4e5, 5e6])
    frame.set_crs(UTM.to_wkt()).to_file(path)
    return path


def test_polygons_take_the_place_of_the_regions_of_the_map(tmp_path):
    values = np.zeros((40, 40), np.uint8)
    values[2:10, 2:18] = 3  # two roofs that touch
    path = write(tmp_path / "map.tif", values)
    corners = (2, 2), (2, 10), (20, 20)  # the third is no roof in the map, but drawn
    labels = squares(tmp_path / "labels.gpkg", *corners[:2], (21, 20))
    drawn = squares(tmp_path / "drawn.gpkg", *corners)
    options = EvaluateOptions(legend=LEGEND, labels=LabelOptions(field="class_name"), objects=True)
    regions = evaluate([path], labels, options=options).to_dict()
    own = replace(options, object_polygons=drawn)
    polygons = evaluate([path], labels, options=own).to_dict()
    assert polygons["confusion"] == regions["confusion"]
    keys = "reference", "predicted", "matched"
    assert [regions["objects"][key] for key in keys] == [3, 1, 1]
    assert [polygons["objects"][key] for key in keys] == [3, 3, 3]
    shifted = 7 * 8 / (2 * 64 - 7 * 8)
    assert polygons["objects"]["mean_matched_iou"] == pytest.approx((2 + shifted) / 3)
    assert polygons["settings"]["object_polygons"] == str(drawn)


def test_polygons_count_where_the_map_is_known_and_by_their_own_class(tmp_path, caplog):
    values = np.zeros((40, 40), np.uint8)
    values[:, 30:] = 255
    path = write(tmp_path / "map.tif", values)
    labels = squares(tmp_path / "labels.gpkg", (2, 2), (20, 2), (2, 31))
    drawn = squares(tmp_path / "drawn.gpkg", (2, 2), (20, 2), (2, 31))
    frame = geopandas.read_file(drawn)
    frame.assign(class_name=["roof", "tree", "roof"]).to_file(drawn)
    options = EvaluateOptions(
        legend=LEGEND, labels=LabelOptions(field="class_name"), object_polygons=drawn
    )
    found = evaluate([path], labels, options=options).to_dict()["objects"]
    assert [found[key] for key in ("reference", "predicted", "matched")] == [2, 2, 1]
    frame.translate(9999).to_frame("geometry").assign(class_name="roof").to_file(drawn)
    found = evaluate([path], labels, options=options).to_dict()["objects"]
    assert (found["predicted"], found["recall"]) == (0, 0)
    assert "does not touch it" in caplog.text


def test_polygons_of_no_class_and_rasters_are_no_objects(tmp_path):
    path = write(tmp_path / "map.tif", np.zeros((40, 40), np.uint8))
    labels = squares(tmp_path / "labels.gpkg", (2, 2))
    options = EvaluateOptions(legend=LEGEND, labels=LabelOptions(field="class_name"))
    own = replace(options, object_polygons=labels, object_field="kind")
    with pytest.raises(LabelError, match='has no field "kind"'):
        evaluate([path], labels, options=own)
    with pytest.raises(LabelError):
        evaluate([path], labels, options=replace(options, object_polygons=path))
