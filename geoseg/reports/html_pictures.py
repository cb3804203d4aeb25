"""The parts of `report.html` that are pictures: windows, and a map of errors for each scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geoseg.geo.error_map import ErrorMap
from geoseg.geo.error_windows import ErrorWindow
from geoseg.geo.legend import Legend
from geoseg.reports.error_pictures import (
    FAINT,
    KINDS,
    RIGHT,
    UNCOUNTED,
    WRONG,
    WindowPictures,
    error_png,
    png,
)
from geoseg.reports.figures import IGNORE_COLOR
from geoseg.reports.html import Html, element, picture, section

_MOST_MAPS = 24
"""Error maps that the page carries along; of more scenes those of the worst."""


def windows_section(
    rows: Sequence[WindowPictures], worst: int, predictions: Sequence[str], legend: Legend
) -> Html:
    """The windows in which the maps are worst and best.

    Args:
        rows: The worst ones first, then the best.
        worst: How many of them are the worst.
        predictions: The class raster of each scene.
        legend: The classes.
    """
    classes = zip(legend.names, legend.colors, strict=True)
    groups = (("Worst", rows[:worst]), ("Best", rows[worst:]))
    shown = [
        (element("h3", title), [_row(row, predictions, legend) for row in group])
        for title, group in groups
        if group
    ]
    note = (
        "Windows with the largest and the smallest share of wrong pixels, of those in which at "
        "least half of the pixels count; the best only of those with something else than "
        "background. Missed is a class where the map has background, invented the reverse, "
        "confused one class for another."
    )
    return section(
        "Worst and best windows",
        element("p", note, class_="note"),
        _legend([*classes, ("not labelled", IGNORE_COLOR)]),
        _legend(KINDS),
        shown,
        identity="windows",
    )


def maps_section(
    maps: Sequence[ErrorMap], predictions: Sequence[str], files: Sequence[str]
) -> Html:
    """A map of errors for each scene.

    Args:
        maps: What was counted of each.
        predictions: The class rasters.
        files: Names of the pictures beside the report.
    """
    order = sorted(range(len(maps)), key=lambda place: -_wrong_share(maps[place]))
    chosen = order[:_MOST_MAPS]
    figures = [_map(maps[place], predictions[place], files[place]) for place in chosen]
    notes = []
    if len(maps) > 1:
        notes.append("The scene with most errors comes first.")
    if len(maps) > len(chosen):
        notes.append(f"The other {len(maps) - len(chosen)} stand beside this file as error_*.png.")
    legend = [
        ("right", RIGHT),
        ("some wrong", FAINT),
        ("all wrong", WRONG),
        ("not counted", UNCOUNTED),
    ]
    kind = "maps one" if len(chosen) == 1 else "maps"
    return section(
        "Where the errors are",
        element("p", " ".join(notes), class_="note") if notes else "",
        _legend(legend),
        element("div", figures, class_=kind),
        identity="errors",
    )


def place_of(window: ErrorWindow) -> str:
    """Where a window lies, in pixels."""
    rows = f"rows {window.row:,} to {window.row + window.height - 1:,}"
    return f"{rows}, columns {window.col:,} to {window.col + window.width - 1:,}"


def _row(row: WindowPictures, predictions: Sequence[str], legend: Legend) -> Html:
    window = row.view.window
    scene = Path(predictions[window.scene]).name
    figures = [
        element("div", picture(png(pixels), f"{title} of {scene}"), element("span", title))
        for title, pixels in row.columns.items()
    ]
    words = f"{scene}, {place_of(window)}: "
    share = element("b", f"{window.share:.1%} wrong", data_value=str(window.share))
    often = _most_confused(row, legend)
    kind = "row" if len(figures) == 4 else "row three"
    return element(
        "figure",
        element("div", figures, class_=kind),
        element("figcaption", words, share, f" of {window.counted:,} pixels{often}"),
        class_="window",
    )


def _most_confused(row: WindowPictures, legend: Legend) -> str:
    """The commonest error in words."""
    reference, prediction = row.view.reference, row.view.prediction
    seen = (reference != legend.ignore_index) & (prediction != legend.ignore_index)
    wrong = seen & (reference != prediction)
    if not wrong.any():
        return ""
    pairs = reference[wrong].astype(np.int64) * legend.count + prediction[wrong]
    counts = np.bincount(pairs)
    labelled, mapped = divmod(int(counts.argmax()), legend.count)
    return f"; most often {legend.names[mapped]} for {legend.names[labelled]}"


def _map(counts: ErrorMap, prediction: str, file: str) -> Html:
    cell = "" if counts.side == 1 else f"; a cell is {counts.side} x {counts.side} pixels"
    share = element("b", f"{_wrong_share(counts):.1%} wrong")
    pixels = f" of {int(counts.right.sum() + counts.wrong.sum()):,} pixels{cell}"
    return element(
        "figure",
        picture(error_png(counts), f"errors of {prediction}"),
        element("figcaption", f"{prediction}: ", share, pixels, f" ({file})"),
    )


def _wrong_share(counts: ErrorMap) -> float:
    counted = int(counts.right.sum() + counts.wrong.sum())
    return int(counts.wrong.sum()) / counted if counted else 0.0


def _legend(entries: Sequence[tuple[str, tuple[int, int, int]]]) -> Html:
    items = (
        element("li", element("span", class_="swatch", style=f"background:rgb{color}"), name)
        for name, color in entries
    )
    return element("ul", items, class_="legend")
