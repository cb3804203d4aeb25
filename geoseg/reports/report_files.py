"""The folder of an accuracy report: JSON, a page, and each part as a picture and a table."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from geoseg.geo.error_map import ErrorMap
from geoseg.geo.error_windows import WindowView
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import publish
from geoseg.reports.accuracy import Report
from geoseg.reports.accuracy_charts import area_figure, classes_figure, reliability_figure, saved
from geoseg.reports.error_pictures import WindowPictures, draw_windows, error_png, windows_figure
from geoseg.reports.figures import confusion_figure
from geoseg.reports.html_report import ReportPictures, report_page

JSON, PAGE = "report.json", "report.html"
_LABELLED = (
    "confusion.png", "confusion.csv", "classes.png", "classes.csv", "scenes.csv",
    "windows.png", "windows.csv",
)  # fmt: skip
_OPTIONAL = {
    "boundary": ("boundary.csv",),
    "objects": ("objects.csv",),
    "calibration": ("reliability.png", "reliability.csv"),
    "area": ("area.png", "area.csv"),
    "sample": ("sample.csv",),
}


@dataclass(frozen=True, kw_only=True)
class ReportParts:
    """Which parts a report has."""

    labels: bool
    """Whether maps are compared with labels."""

    boundary: bool = False
    """Whether borders are scored."""

    objects: bool = False
    """Whether objects are matched."""

    calibration: bool = False
    """Whether probabilities are scored."""

    area: bool = False
    """Whether areas are summed."""

    sample: bool = False
    """Whether areas are estimated from a sample."""


def report_names(parts: ReportParts, predictions: Sequence[str]) -> list[str]:
    """The names of all files of a report; the last to appear comes first."""
    names = [JSON, PAGE]
    if parts.labels:
        names += [*_LABELLED, *error_names(predictions)]
    for part, files in _OPTIONAL.items():
        names += files if getattr(parts, part) else ()
    return names


def error_names(predictions: Sequence[str]) -> list[str]:
    """Name of the error map of each scene: `error_<stem>.png`, numbered where stems are equal."""
    names: list[str] = []
    for prediction in predictions:
        stem = re.sub(r"[^\w.-]+", "_", Path(prediction.rstrip("/")).stem)[:80] or "map"
        name, number = f"error_{stem}.png", 1
        while name.lower() in map(str.lower, names):
            number += 1
            name = f"error_{stem}_{number}.png"
        names.append(name)
    return names


def write_report_files(
    report: Report, folder: Path, legend: Legend, views: Sequence[WindowView]
) -> None:
    """Write all files of a report at once; those of these names are replaced.

    All are made beside their names first: if one fails, none appears. What an earlier report has
    written there and this one has not is removed, and nothing else.

    Args:
        report: The report.
        folder: Where; it exists.
        legend: The classes.
        views: What is seen in its windows, the worst ones first.

    Raises:
        WorkError: If the disk is full or fails.
    """
    files, earlier = report_files(report, legend, views), earlier_names(folder)
    with ExitStack() as stack:
        # The first one entered is the last to be renamed.
        for name, content in files.items():
            temporary = stack.enter_context(publish(folder / name))
            temporary.write_bytes(content)
    kept = {name.lower() for name in files}  # names may be one file in either case
    used = [Path(path) for scene in report.scenes for path in (scene.prediction, scene.labels)]
    for path in (folder / name for name in earlier if name.lower() not in kept):
        if path.is_file() and not any(each.is_file() and path.samefile(each) for each in used):
            path.unlink()


def earlier_names(folder: Path) -> list[str]:
    """Names of the files of the report that stands in a folder; none where it is not whole.

    A run folder of `train` has a `report.json`, too, but no page: its pictures are not ours.
    """
    if not (folder / PAGE).is_file():
        return []
    try:
        content = json.loads((folder / JSON).read_text(encoding="utf-8"))
        parts = ReportParts(
            labels=content["windows"] is not None,
            boundary=content["boundary"] is not None,
            objects=content["objects"] is not None,
            calibration=content["calibration"] is not None,
            area=content["area"] is not None,
            sample=content["area"] is not None and content["area"]["sample"] is not None,
        )
        return report_names(parts, [str(scene["prediction"]) for scene in content["scenes"]])
    except (OSError, ValueError, LookupError, TypeError):
        return []


def report_files(report: Report, legend: Legend, views: Sequence[WindowView]) -> dict[str, bytes]:
    """The content of each file, by its name."""
    content = report.to_dict()
    predictions = [scene.prediction for scene in report.scenes]
    maps = [scene.errors for scene in report.scenes if scene.errors is not None]
    windows = draw_windows(views, legend, report.left_out)
    names = error_names(predictions) if maps else []
    pictures = ReportPictures(maps=maps, files=names, windows=windows)
    files = {
        JSON: json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n",
        PAGE: report_page(content, legend, pictures),
        **_tables(content),
    }
    encoded = {name: text.encode("utf-8", "backslashreplace") for name, text in files.items()}
    figures = _figures(content, report, windows, legend)
    return {
        **encoded,
        **{name: saved(figure) for name, figure in figures.items()},
        **_error_maps(maps, names),
    }


def _error_maps(maps: Sequence[ErrorMap], names: Sequence[str]) -> dict[str, bytes]:
    return {name: error_png(counts) for name, counts in zip(names, maps, strict=True)}


def _figures(
    content: Mapping[str, Any], report: Report, windows: Sequence[WindowPictures], legend: Legend
) -> dict[str, Figure]:
    found = {}
    if windows:
        titles = [_window_title(row, report) for row in windows]
        found = {
            "confusion.png": confusion_figure(content["confusion"], report.names),
            "classes.png": classes_figure(content["classes"]),
            "windows.png": windows_figure(windows, titles, legend),
        }
    if content["calibration"] is not None:
        found["reliability.png"] = reliability_figure(content["calibration"])
    if content["area"] is not None:
        found["area.png"] = area_figure(content["area"])
    return found


def _window_title(row: WindowPictures, report: Report) -> str:
    window = row.view.window
    stem = Path(report.scenes[window.scene].prediction).stem
    name = stem if len(stem) <= 24 else f"{stem[:12]}...{stem[-9:]}"
    return f"{name}\n{window.row}, {window.col}: {window.share:.1%} wrong"


def _tables(content: Mapping[str, Any]) -> dict[str, str]:
    """The parts as CSV."""
    found = {}
    if content["windows"] is not None:
        found = _labelled_tables(content)
    if (boundary := content["boundary"]) is not None:
        found["boundary.csv"] = _csv(boundary["classes"])
    if (objects := content["objects"]) is not None:
        rows = [*objects["classes"], {**objects, "name": ""}]
        keys = ("precision", "recall", "f1", "mean_matched_iou", "reference", "predicted")
        found["objects.csv"] = _csv(rows, ("name", *keys, "matched"))
    if (calibration := content["calibration"]) is not None:
        found["reliability.csv"] = _csv(calibration["reliability"])
    if (area := content["area"]) is not None:
        found["area.csv"] = _csv(area["classes"])
        if area["sample"] is not None:
            found["sample.csv"] = _csv([_flat(row) for row in area["sample"]["classes"]])
    return found


def _labelled_tables(content: Mapping[str, Any]) -> dict[str, str]:
    names = [row["name"] for row in content["classes"]]
    # Columns go by their place: names may be equal to each other, or to the first title.
    lines: list[list[Any]] = [["reference", *names]]
    lines += [[name, *row] for name, row in zip(names, content["confusion"], strict=True)]
    windows, scenes = content["windows"], content["scenes"]
    kinds = [{"kind": kind, **row} for kind in ("worst", "best") for row in windows[kind]]
    keys = ("prediction", "labels", "mean_iou", "pixel_accuracy", "mean_accuracy", "fw_iou")
    return {
        "confusion.csv": _text(lines),
        "classes.csv": _csv(content["classes"]),
        "scenes.csv": _csv(
            [{**scene, **scene["pixels"]} for scene in scenes],
            (*keys, "mean_f1", "kappa", "total", "predicted", "labelled", "counted", "coverage"),
        ),
        "windows.csv": _csv(
            [{**row, "prediction": scenes[row["scene"]]["prediction"]} for row in kinds],
            ("kind", "prediction", "row", "col", "height", "width", "counted", "wrong", "share"),
        ),
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates of a class in one line: the value by its own name, errors by longer ones."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            names = {"value": key, **{each: f"{key}_{each}" for each in value if each != "value"}}
            flat |= {names[each]: number for each, number in value.items()}
        else:
            flat[key] = value
    return flat


def _csv(rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None) -> str:
    """Rows as CSV; what is undefined is empty."""
    keys = list(rows[0]) if keys is None and rows else keys or []
    return _text([keys, *([row[key] for key in keys] for row in rows)])


def _text(lines: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_cell(value) for value in line] for line in lines)
    return buffer.getvalue()


def _cell(value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    """A value; text that a spreadsheet would compute gets a quote, by which it stays text.

    See https://owasp.org/www-community/attacks/CSV_Injection; numbers are none.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_FORMULA = ("=", "+", "-", "@")
"""What formulas of spreadsheets begin with."""
