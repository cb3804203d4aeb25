"""The folder of an accuracy report: which files, what is in them, and all of them or none."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hostile_report import LEGEND, NAMES, STEMS, make_report, write
from PIL import Image
from rasterio.crs import CRS

from geoseg.errors import OutputError, WorkError
from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.error_map import ErrorCounter
from geoseg.geo.grid import Grid
from geoseg.reports import report_files as module
from geoseg.reports.error_pictures import error_png
from geoseg.reports.report_files import ReportParts, error_names, report_names

ALL = {
    "report.json", "report.html", "confusion.png", "confusion.csv", "classes.png", "classes.csv",
    "scenes.csv", "windows.png", "windows.csv", "boundary.csv", "objects.csv", "reliability.png",
    "reliability.csv", "area.png", "area.csv", "error_a_b.png", "error_it_s_i_.png", "error_c.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_report(tmp_path_factory.mktemp("files"))


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    reference, prediction = rng.choice(np.uint8([0, 1, 2, 3]), (2, 20, 30))
    write(tmp_path / "map.tif", prediction)
    write(tmp_path / "labels.tif", reference)
    return tmp_path / "map.tif", tmp_path / "labels.tif"


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_part_has_its_files(made):
    assert {path.name for path in made[0].iterdir()} == ALL


def test_what_is_planned_is_what_is_written(made):
    parts = ReportParts(labels=True, boundary=True, objects=True, calibration=True, area=True)
    names = report_names(parts, [f"{stem}.tif" for stem in STEMS])
    assert set(names) == ALL and len(names) == len(ALL)
    assert names[0] == "report.json"


def test_tables_hold_the_numbers_of_the_report(made):
    folder, content, _ = made
    rows = rows_of(folder / "confusion.csv")
    assert rows[0] == ["reference", *NAMES]
    assert [row[0] for row in rows[1:]] == list(NAMES)
    assert [list(map(int, row[1:])) for row in rows[1:]] == content["confusion"]
    rows = rows_of(folder / "classes.csv")
    assert [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] == [
        {key: str(value) for key, value in row.items()} for row in content["classes"]
    ]
    rows = rows_of(folder / "scenes.csv")
    ious = [float(row[rows[0].index("mean_iou")]) for row in rows[1:]]
    assert ious == [scene["mean_iou"] for scene in content["scenes"]]
    rows = rows_of(folder / "windows.csv")
    assert [row[0] for row in rows[1:]].count("worst") == len(content["windows"]["worst"])
    rows = rows_of(folder / "reliability.csv")
    bins = content["calibration"]["reliability"]
    assert [int(row[rows[0].index("pixels")]) for row in rows[1:]] == [b["pixels"] for b in bins]


def test_pictures_can_be_opened_and_are_as_large_as_they_should_be(made):
    for path in made[0].glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) >= 200


def test_the_same_work_gives_the_same_bytes(made, tmp_path):
    again, _, _ = make_report(tmp_path)
    for path in sorted(made[0].iterdir()):
        if path.suffix == ".png":
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("crs", "res", "ratio"),
    [("EPSG:4326", (1e-4, 1e-4), 0.5), ("EPSG:32632", (6, 2), 3), ("EPSG:32632", (2, 2), 1)],
)
def test_error_maps_are_as_wide_as_the_ground(tmp_path, crs, res, ratio):
    """At 60 degrees north, a degree of longitude is half as long as one of latitude."""
    transform = Affine(res[0], 0, 10, 0, -res[1], 60)
    grid = Grid(transform=transform, width=90, height=40, crs=CRS.from_string(crs))
    counter = ErrorCounter(grid, LEGEND, (), 40)
    counter.push(np.zeros((40, 90), np.uint8), np.eye(40, 90, dtype=np.uint8))
    (tmp_path / "error.png").write_bytes(error_png(counter.result()))
    with Image.open(tmp_path / "error.png") as picture:
        assert picture.width / picture.height == pytest.approx(90 / 40 * ratio, rel=0.02)


def test_stems_that_are_equal_are_numbered():
    paths = ["a/x.tif", "b/x.tif", "c/X.tif", "https://e.org/x.tif", "d/" + "y" * 300 + ".tif"]
    names = error_names(paths)
    assert names[:4] == ["error_x.png", "error_x_2.png", "error_X_3.png", "error_x_4.png"]
    assert len({name.lower() for name in names}) == 5 and max(map(len, names)) < 100


def test_any_file_of_the_report_is_only_replaced_when_asked(pair, tmp_path):
    options = EvaluateOptions(legend=LEGEND)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "windows.png").write_text("mine")
    with pytest.raises(OutputError, match=r"windows\.png: already exists"):
        evaluate([pair[0]], pair[1], tmp_path / "out", options)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["windows.png"]
    evaluate([pair[0]], pair[1], tmp_path / "out", EvaluateOptions(legend=LEGEND, overwrite=True))
    assert (tmp_path / "out" / "windows.png").read_bytes().startswith(b"\x89PNG")


def test_what_an_earlier_report_wrote_is_removed_and_only_that(pair, tmp_path):
    folder = tmp_path / "out"
    full = EvaluateOptions(legend=LEGEND, boundary=4, objects=True, area=True)
    evaluate([pair[0]], pair[1], folder, full)
    (folder / "sample.csv").write_text("mine")  # a name of reports, but not of this one
    (folder / "notes.txt").write_text("mine")
    other = pair[0].with_name("other.tif")
    pair[0].rename(other)
    plain = EvaluateOptions(legend=LEGEND, overwrite=True)
    evaluate([other], pair[1], folder, plain)
    wanted = report_names(ReportParts(labels=True), [str(other)])
    assert {path.name for path in folder.iterdir()} == {*wanted, "sample.csv", "notes.txt"}


def test_what_stands_beside_no_page_is_not_ours(pair, tmp_path):
    """Such as the pictures of a run folder."""
    folder = tmp_path / "out"
    evaluate([pair[0]], pair[1], folder, EvaluateOptions(legend=LEGEND, boundary=4))
    (folder / "report.html").unlink()
    evaluate([pair[0]], pair[1], folder, EvaluateOptions(legend=LEGEND, overwrite=True))
    assert (folder / "boundary.csv").exists()


@pytest.mark.parametrize("garbage", ["", "[]", '{"windows": null}', "\xff"])
def test_a_report_that_cannot_be_read_is_left(tmp_path, garbage):
    (tmp_path / "report.html").touch()
    (tmp_path / "report.json").write_text(garbage, encoding="latin-1")
    assert module.earlier_names(tmp_path) == []


def test_an_input_that_an_earlier_report_wrote_stays(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("map.tif", "labels.tif"):
        write(tmp_path / name, rng.choice(np.uint8([0, 1]), (9, 9)))
    evaluate([tmp_path / "map.tif"], tmp_path / "labels.tif", tmp_path, EvaluateOptions())
    labels = tmp_path / "error_map.png"
    Image.fromarray(rng.choice(np.uint8([0, 1]), (9, 9))).save(labels)
    options = EvaluateOptions(overwrite=True, legend=LEGEND, assume_crs="none")
    Image.fromarray(rng.choice(np.uint8([0, 1]), (9, 9))).save(tmp_path / "other.png")
    evaluate([tmp_path / "other.png"], labels, tmp_path, options)
    assert labels.exists()


def test_names_are_no_formulas(pair, tmp_path):
    names = ["=1+1", "+cmd", "-cmd", "@SUM(A1)"]
    classes = zip(LEGEND.classes, names, strict=True)
    legend = replace(LEGEND, classes=tuple(replace(each, name=name) for each, name in classes))
    evaluate([pair[0]], pair[1], tmp_path / "out", EvaluateOptions(legend=legend))
    quoted = [f"'{name}" for name in names]
    assert [row[0] for row in rows_of(tmp_path / "out" / "classes.csv")[1:]] == quoted
    assert rows_of(tmp_path / "out" / "confusion.csv")[0][1:] == quoted
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["name"] for row in content["classes"]] == names


def test_no_input_is_replaced(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / "map.tif", rng.choice(np.uint8([0, 1]), (9, 9)))
    labels = tmp_path / "error_map.png"
    Image.fromarray(rng.choice(np.uint8([0, 1]), (9, 9))).save(labels)
    options = EvaluateOptions(legend=LEGEND, overwrite=True)
    with pytest.raises(OutputError, match=r"error_map\.png: is the input itself"):
        evaluate([tmp_path / "map.tif"], labels, tmp_path, options)


def test_all_files_appear_or_none(pair, tmp_path, monkeypatch):
    files = module.report_files

    def lose_the_last(*values):
        made = files(*values)
        last = list(made)[-1]
        return {**made, last: made[last].decode("latin-1")}  # no bytes: cannot be written

    monkeypatch.setattr(module, "report_files", lose_the_last)
    with pytest.raises(TypeError):
        evaluate([pair[0]], pair[1], tmp_path / "out", EvaluateOptions(legend=LEGEND))
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fails_is_told(pair, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.Path, "write_bytes", fail)
    with pytest.raises(WorkError, match="No space left"):
        evaluate([pair[0]], pair[1], tmp_path / "out", EvaluateOptions(legend=LEGEND))
    assert not (tmp_path / "out").exists()


def test_the_json_tells_windows_and_tags(made):
    content = json.loads((made[0] / "report.json").read_text())
    assert set(content["windows"]) == {"worst", "best"}
    assert content["scenes"][0]["tags"]["GEOSEG_SCENE"] == f"{STEMS[0]}.tif"
    assert "AREA_OR_POINT" not in content["scenes"][0]["tags"]


def test_without_a_folder_nothing_of_it_is_counted(pair):
    report = evaluate([pair[0]], pair[1], options=EvaluateOptions(legend=LEGEND))
    assert report.windows is None and report.scenes[0].errors is None
