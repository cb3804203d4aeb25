"""`report.html`: an accuracy report as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.geo.error_map import ErrorMap
from geoseg.geo.legend import Legend
from geoseg.reports.accuracy_charts import (
    area_figure,
    classes_figure,
    reliability_figure,
    saved,
)
from geoseg.reports.error_pictures import WindowPictures
from geoseg.reports.html import Cell, Content, Html, element, page, picture, section, table
from geoseg.reports.html_parts import (
    area_section,
    bar,
    calibration_section,
    cards,
    classes_section,
    confusion_section,
    name,
    number,
    scenes_section,
    settings_section,
    share,
    trivial_section,
)
from geoseg.reports.html_pictures import maps_section, windows_section

Found = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ReportPictures:
    """What a report shows beside numbers."""

    maps: Sequence[ErrorMap] = ()
    """Errors of each scene; empty where there are no labels."""

    files: Sequence[str] = ()
    """Names of the error maps beside the report."""

    windows: Sequence[WindowPictures] = field(default_factory=tuple)
    """The worst windows, then the best."""


def report_page(content: Found, legend: Legend, pictures: ReportPictures) -> str:
    """A report as a page of HTML.

    Args:
        content: What `report.json` holds.
        legend: The classes.
        pictures: Errors in maps and windows.
    """
    predictions = [scene["prediction"] for scene in content["scenes"]]
    title = _title(predictions)
    sections = _sections(content, legend, pictures, predictions)
    links = [element("a", name, href=f"#{identity}") for name, identity, _ in sections]
    return page(
        title,
        element("h1", title),
        element("p", _lead(content), class_="lead"),
        element("nav", links),
        cards(content),
        [part for _, _, part in sections],
        element("footer", f"Made by geoseg {__version__}. All numbers are those of report.json."),
    )


def _sections(
    content: Found, legend: Legend, pictures: ReportPictures, predictions: Sequence[str]
) -> list[tuple[str, str, Html]]:
    """Title in the list of links, identity, and content of each part."""
    colors = [entry.color for entry in legend.classes]
    found: list[tuple[str, str, Html]] = []
    if content["pixels"]["counted"]:
        chart = _chart(classes_figure(content["classes"]), "scores of the classes")
        found += [
            ("Classes", "by-class", classes_section(content, colors, chart)),
            ("Confusion matrix", "confusion-matrix", confusion_section(content, colors)),
            ("Trivial map", "trivial-map", trivial_section(content)),
        ]
    if (boundary := content["boundary"]) is not None:
        found.append(("Borders", "borders", _boundary_section(boundary)))
    if (objects := content["objects"]) is not None:
        found.append(("Objects", "by-object", _objects_section(objects)))
    if (calibration := content["calibration"]) is not None:
        chart = _chart(reliability_figure(calibration), "reliability curve")
        found.append(("Calibration", "reliability", calibration_section(calibration, chart)))
    if (area := content["area"]) is not None:
        chart = _chart(area_figure(area), "areas of the classes")
        found.append(("Areas", "areas", area_section(area, colors, chart)))
    if content["pixels"]["counted"]:
        found.append(("Scenes", "by-scene", scenes_section(content)))
    if pictures.maps:
        maps = maps_section(pictures.maps, predictions, pictures.files)
        found.append(("Where the errors are", "errors", maps))
    if pictures.windows:
        worst = len(content["windows"]["worst"])
        windows = windows_section(pictures.windows, worst, predictions, legend)
        found.append(("Windows", "windows", windows))
    found.append(("Settings", "provenance", settings_section(content)))
    return found


def _title(predictions: Sequence[str]) -> str:
    if len(predictions) == 1:
        return f"Accuracy of {Path(predictions[0]).name}"
    return f"Accuracy of {len(predictions)} maps"


def _lead(content: Found) -> str:
    """What the numbers rest on, in a sentence or two."""
    pixels, settings = content["pixels"], content["settings"]
    if not pixels["counted"]:
        return f"{pixels['predicted']:,} of {pixels['total']:,} pixels have a class."
    text = (
        f"{pixels['counted']:,} pixels counted against {settings.get('labels')}; "
        f"{share(pixels['coverage']).content} of the {pixels['labelled']:,} labelled pixels have "
        "a prediction."
    )
    if settings.get("mode") == "per-image":
        text += f" Scores are averages over {len(content['scenes'])} scenes."
    if settings.get("ignore"):
        text += f" Not counted: reference pixels of {', '.join(settings['ignore'])}."
    return text


def _boundary_section(found: Found) -> Html:
    unit = "pixels" if found["unit"] == "pixels" else found["unit"]
    head = ["class", "IoU", "F1", "precision", "recall"]
    rows = [
        [
            name(row["name"]),
            bar(row["iou"]),
            *(share(row[k]) for k in ("f1", "precision", "recall")),
        ]
        for row in found["classes"]
    ]
    means = f"mean IoU {share(found['mean_iou']).content}, F1 {share(found['mean_f1']).content}"
    note = f"Borders within {found['tolerance']:g} {unit}; {means}."
    return section(
        "Borders",
        element("p", note, class_="note"),
        table(head, rows, identity="boundary"),
        identity="borders",
    )


def _objects_section(found: Found) -> Html:
    """Objects by class and by size."""
    keys = ("recall", "f1")
    head = ["precision", "recall", "F1", "in labels", "in map", "matched"]

    def cells(row: Found) -> list[Cell]:
        counts = (number(row[key]) for key in ("reference", "predicted", "matched"))
        return [share(row["precision"]), *(share(row[key]) for key in keys), *counts]

    iou = "matched IoU"
    rows = [
        [name(row["name"]), *cells(row), share(row["mean_matched_iou"])]
        for row in [*found["classes"], {**found, "name": "all"}]
    ]
    unit = "px" if found["unit"] == "pixels" else "m\N{SUPERSCRIPT TWO}"
    sizes = []
    for row in found["sizes"]:
        end = "and more" if row["to"] is None else f"to {row['to']:,g}"
        sizes.append([Cell(f"{row['from']:,g} {end}", row["from"], is_name=True), *cells(row)])
    parts: list[Content] = [
        element("p", f"Connected regions, matched at an IoU of {found['iou']:g}.", class_="note"),
        table(["class", *head, iou], rows, identity="objects", sortable=False),
        element("h3", "By size"),
        table([f"size, {unit}", *head], sizes, identity="object-sizes"),
    ]
    return section("Objects", *parts, identity="by-object")


def _chart(figure: Any, text: str) -> Html:  # noqa: ANN401 - matplotlib's Figure
    """A chart of lines, sharp on screens and on paper."""
    return picture(saved(figure, "svg"), text, kind="image/svg+xml", class_="chart")
