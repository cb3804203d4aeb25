"""The plugin in a real QGIS without a screen: styles, progress, failures, cancelling."""

import json
import os
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.style import raster_attribute_xml, raster_colormap, raster_qml
from geoseg.vectorize import VectorizeOptions, vectorize

LEGEND = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#101010"},
            {"value": 1, "name": 'tile & "slate" <roof>', "color": "#dc1e1e"},
            {"value": 5, "name": "Straße", "color": "#00ff7f"},
        ]
    }
)
SAMPLES = Path(__file__).parents[2] / "sample_data"
ENTRIES = [[0, "background", "#101010"], [1, 'tile & "slate" <roof>', "#dc1e1e"]]
ENTRIES += [[5, "Straße", "#00ff7f"]]


def write_map(path):
    grid = Grid(
        height=60,
        width=80,
        transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000),
        crs=CRS.from_epsg(32632),
    )
    values = np.kron(np.array([[0, 1, 5, 255], [5, 5, 1, 0]]), np.ones((30, 20)))[None]
    profile = RasterProfile(
        grid=grid, nodata=255, colormap=raster_colormap(LEGEND), band_names=("class",)
    )
    with RasterWriter(path, profile) as writer:
        writer.write(values.astype("uint8"), grid.window)
        writer.sidecars[".aux.xml"] = raster_attribute_xml(LEGEND)
        writer.sidecars[".qml"] = raster_qml(LEGEND)
    vectorize(path, path.with_suffix(".gpkg"), VectorizeOptions())


@pytest.fixture
def made(room):
    write_map(room / "made" / "map.tif")
    return room / "made" / "map.tif"


def called(room):
    return json.loads((room / "called.json").read_text())


def test_results_are_loaded_with_names_and_colours(qgis, room, made):
    model = room / "model.safetensors"
    model.touch()
    out, polygons = room / "out.tif", room / "out.gpkg"
    answer = qgis.script(
        algorithm="predict",
        parameters={
            "INPUT": str(made),
            "MODEL": str(model),
            "OUTPUT": str(out),
            "POLYGONS": str(polygons),
            "OVERLAP": 0.25,
            "EXTRA": "--co 'COMPRESS=ZSTD' --quiet",
        },
        load=["OUTPUT", "POLYGONS"],
    )
    assert answer["error"] is None
    assert answer["layers"][str(out)] == {"type": "paletted", "entries": ENTRIES}
    shapes = next(v for k, v in answer["layers"].items() if k.startswith(str(polygons)))
    assert shapes["type"] == "categorizedSymbol"
    assert [entry for entry in shapes["entries"] if entry[1]] == [
        [str(value) if isinstance(entry[0], str) else value, name, color]
        for entry, (value, name, color) in zip(shapes["entries"], ENTRIES, strict=False)
    ]
    assert answer["warnings"] == ["no such colour"]
    assert answer["steps"][-1] == 100
    told = called(room)
    assert told["options"]["--overlap"] == "0.25"
    assert told["inputs"] == [str(made)]
    assert told["cwd"] == str(room)
    assert "QGIS_PLUGINPATH" not in told["environ"]
    assert "PYTHONPATH" not in told["environ"]
    assert "--window" not in told["options"]


def test_without_the_post_processor_qgis_leaves_the_style_beside(qgis, room, made):
    """The reason for it; the test above would tell nothing if QGIS loaded styles by itself."""
    answer = qgis.script(
        algorithm="predict",
        parameters={"INPUT": str(made), "MODEL": str(made), "OUTPUT": str(room / "out.tif")},
        load=["OUTPUT"],
        styled=False,
    )
    assert len(answer["layers"][str(room / "out.tif")]["entries"]) != len(ENTRIES)


def test_a_failure_is_told_in_its_own_words(qgis, room, made):
    bad = made.rename(made.with_name("bad.tif"))
    done = qgis.run("vectorize", check=False, INPUT=bad, OUTPUT=room / "out.gpkg")
    assert done.returncode == 1
    assert f"geoseg exited with 2: {bad}: is bad. Mend it." in done.stdout + done.stderr


def test_cancelling_ends_the_command(qgis, room, made):
    slow = made.rename(made.with_name("slow.tif"))
    answer = qgis.script(
        algorithm="vectorize",
        parameters={"INPUT": str(slow), "OUTPUT": str(room / "out.gpkg")},
        cancel=True,
    )
    assert answer["error"] == "geoseg was cancelled."
    assert answer["seconds"] < 20
    assert (room / "cleaned").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((room / "pid").read_text()), 0)


def test_the_setting_names_the_command_and_a_missing_one_is_told(qgis, room, made):
    answer = qgis.script(
        algorithm="vectorize",
        parameters={"INPUT": str(made), "OUTPUT": str(room / "out.gpkg")},
        setting=str(room / "nowhere"),
    )
    assert "nowhere, which the setting geoseg/executable names" in answer["error"]
    assert not (room / "called.json").exists()


def test_the_menu_entry_comes_and_goes(qgis):
    assert qgis.script(visit=True) == [["geoseg: choose the command…"], []]


def test_tile_and_evaluate_hand_on_labels(qgis, room, made):
    polygons = made.with_suffix(".gpkg")
    common = {"LABELS": polygons, "LABEL_FIELD": "class_name", "INPUT": [made, made]}
    told = qgis.run("evaluate", OUTPUT=room / "report", IGNORE="roof", **common)
    results = json.loads(told.stdout)["results"]
    assert (results["PIXEL_ACCURACY"], results["MEAN_IOU"]) == (0.75, 0.5)
    call = called(room)
    assert call["inputs"] == [str(made)] * 2
    assert call["options"]["--labels"] == str(polygons)
    assert call["options"]["--label-field"] == "class_name"
    assert (call["options"]["--ignore"], call["options"]["--mode"]) == ("roof", "global")
    told = qgis.run("tile", OUTPUT=room / "tiles", METHOD=2, SIZE=64, **common)
    assert json.loads(told.stdout)["results"]["INDEX"] == str(room / "tiles" / "index.gpkg")
    options = called(room)["options"]
    assert (options["--method"], options["--size"]) == ("balanced", "64")
    assert options["--split"] == "0.7,0.2,0.1"


def test_evaluate_hands_on_what_else_is_asked(qgis, room, made):
    polygons = geopandas.read_file(made.with_suffix(".gpkg"), layer="segments")
    points = polygons.assign(reference="roof")
    points.set_geometry(points.centroid).to_file(room / "points.gpkg", layer="sample")
    told = qgis.run(
        "evaluate",
        INPUT=[made],
        SAMPLE=room / "points.gpkg",
        BOUNDARY=1.5,
        OBJECTS=True,
        AREA=True,
        PROBABILITIES=made,
        OUTPUT=room / "report",
    )
    results = json.loads(told.stdout)["results"]
    assert (results["OBJECT_F1"], "BOUNDARY_IOU" in results) == (0.25, False)
    assert results["HTML"] == str(room / "report" / "report.html")
    options = called(room)["options"]
    assert "--labels" not in options
    assert (options["--boundary"], options["--probabilities"]) == ("1.5", str(made))
    assert {"--objects", "--area"} <= set(options)
    assert len(geopandas.read_file(room / "sample.fgb")) == len(points)


def test_evaluate_wants_labels_or_a_sample(qgis, room, made):
    told = qgis.run("evaluate", check=False, INPUT=[made], OUTPUT=room / "report")
    assert told.returncode == 1
    assert "Give labels, or interpreted sample points." in told.stdout + told.stderr


def test_a_filter_of_the_area_of_interest_is_honoured(qgis, room, made):
    """QGIS may hand over a part of a layer: the command gets a file of that part."""
    area = f"{made.with_suffix('.gpkg')}|layername=segments|subset=class_id=1"
    qgis.run("predict", INPUT=made, MODEL=made, OUTPUT=room / "out.tif", AOI=area)
    assert set(geopandas.read_file(room / "area.fgb")["class_id"]) == {1}


@pytest.mark.slow
def test_all_algorithms_with_the_real_command(real_qgis, room):
    out, polygons, again = room / "out.tif", room / "out.gpkg", room / "again.gpkg"
    common = {"LABELS": SAMPLES / "labels.gpkg", "LABEL_FIELD": "kind"}
    common["LEGEND"] = SAMPLES / "legend.toml"
    east = shutil.copy(SAMPLES / "east.tif", room)  # QGIS writes statistics beside it
    real_qgis.run(
        "predict",
        INPUT=east,
        MODEL=SAMPLES / "demo.safetensors",
        OUTPUT=out,
        POLYGONS=polygons,
        OVERLAP=0,
    )
    assert out.with_suffix(".qml").exists()
    real_qgis.run(
        "vectorize", INPUT=out, OUTPUT=again, MIN_AREA=20, SIMPLIFY=1, SMOOTH=True, CLASSES="water"
    )
    assert again.exists() and polygons.exists()
    told = real_qgis.run("evaluate", INPUT=out, OUTPUT=room / "report", **common)
    assert json.loads(told.stdout)["results"]["PIXEL_ACCURACY"] > 0.9
    real_qgis.run("tile", INPUT=east, OUTPUT=room / "tiles", SIZE=256, **common)
    assert (room / "tiles" / "tileset.json").exists()
    failed = real_qgis.run(
        "predict", check=False, INPUT=east, MODEL=SAMPLES / "legend.toml", OUTPUT=room / "no.tif"
    )
    assert failed.returncode == 1
    assert "geoseg exited with 2:" in failed.stdout + failed.stderr
