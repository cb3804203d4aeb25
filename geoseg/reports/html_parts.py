"""The parts of `report.html` that are numbers: headline, tables, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geoseg.reports.accuracy_text import area_scale
from geoseg.reports.html import Cell, Content, Html, element, section, table

Found = Mapping[str, Any]

_SCORES = {"iou": "IoU", "dice": "Dice (F1)", "precision": "precision", "recall": "recall"}
_MANY = 8
"""Classes above which a confusion matrix is written small."""


def share(value: float | None) -> Cell:
    """A share, as per cent."""
    return Cell("-" if value is None else f"{value:.2%}", value)


def bar(value: float | None) -> Cell:
    """A share with a bar behind it."""
    if value is None:
        return share(value)
    part = f"{100 * value:.1f}%"
    style = f"background:linear-gradient(to right,var(--bar) {part},transparent {part})"
    style += ";min-width:140px"
    return Cell(f"{value:.2%}", value, style)


def number(value: float | None, form: str = ",") -> Cell:
    """A number in a format of Python's."""
    return Cell("-" if value is None else format(value, form), value)


def name(text: str, color: str | None = None) -> Cell:
    """The head of a row, with the colour of a class."""
    swatch = (
        [] if color is None else [element("span", class_="swatch", style=f"background:{color}")]
    )
    return Cell([*swatch, text], text, is_name=True)


def cards(content: Found) -> Html:
    """The headline numbers."""
    found: list[Html] = []
    if content["pixels"]["counted"]:
        trivial = content["trivial"]
        for key, title in (
            ("mean_iou", "mean IoU"),
            ("pixel_accuracy", "pixel accuracy"),
            ("mean_f1", "mean Dice (F1)"),
            ("kappa", "kappa"),
        ):
            say = number(content[key], ".3f") if key == "kappa" else share(content[key])
            bar_to_clear = trivial.get(key)
            text = number(bar_to_clear, ".3f") if key == "kappa" else share(bar_to_clear)
            note = f"trivial map: {text.content}" if key in trivial else "over the classes"
            found.append(_card(title, say, note))
    found += _part_cards(content)
    return element("div", found, class_="cards")


def classes_section(content: Found, colors: Sequence[str], chart: Html) -> Html:
    """The scores of each class."""
    head = ["class", *_SCORES.values(), "reference px", "predicted px"]
    rows = [
        [
            name(row["name"], color),
            bar(row["iou"]),
            *(share(row[key]) for key in list(_SCORES)[1:]),
            number(row["reference_pixels"]),
            number(row["predicted_pixels"]),
        ]
        for row, color in zip(content["classes"], colors, strict=True)
    ]
    note = "Precision is user's accuracy, recall producer's accuracy."
    return section(
        "Classes",
        table(head, rows, identity="classes"),
        element("p", note, class_="note"),
        chart,
        identity="by-class",
    )


def confusion_section(content: Found, colors: Sequence[str]) -> Html:
    """The confusion matrix: shares of rows, and pixels."""
    names = [row["name"] for row in content["classes"]]
    titles = [element("th", element("span", each), scope="col") for each in names]
    corner = element("th", "reference \u2193   map \u2192", class_="corner")
    lines = []
    for place, (each, row) in enumerate(zip(names, content["confusion"], strict=True)):
        total = sum(row)
        cells = [
            _matrix_cell(count, total, is_right=place == column) for column, count in enumerate(row)
        ]
        swatch = element("span", class_="swatch", style=f"background:{colors[place]}")
        lines.append(element("tr", element("th", swatch, each, scope="row"), cells))
    kind = "matrix many" if len(names) > _MANY else "matrix"
    whole = element(
        "table",
        element("thead", element("tr", corner, titles)),
        element("tbody", lines),
        id="confusion",
        class_=kind,
    )
    note = (
        "Rows are the labels, columns the map; each cell tells the share of its row, and pixels. "
        "Blue is right, red is wrong."
    )
    return section(
        "Confusion matrix",
        element("div", whole, class_="wide"),
        element("p", note, class_="note"),
        identity="confusion-matrix",
    )


def trivial_section(content: Found) -> Html:
    """This map beside one of a single class."""
    trivial = content["trivial"]
    titles = {
        "pixel_accuracy": "pixel accuracy",
        "mean_accuracy": "mean accuracy (recall)",
        "mean_iou": "mean IoU",
        "fw_iou": "frequency-weighted IoU",
        "mean_dice": "mean Dice (F1)",
    }
    rows = [
        [name(title), share(content[key]), share(trivial[key]) if key in trivial else Cell("")]
        for key, title in titles.items()
    ]
    kappa = number(content["kappa"], ".4f"), number(trivial["kappa"], ".4f")
    rows.append([name("kappa"), *kappa])
    head = ["", "this map", f"\u201c{trivial['class']}\u201d everywhere"]
    note = "The bar to clear is a map that shows the most frequent class of the labels everywhere."
    return section(
        "Against a trivial map",
        element("p", note, class_="note"),
        table(head, rows, identity="trivial", sortable=False),
        identity="trivial-map",
    )


def scenes_section(content: Found) -> Html:
    """The scores of each scene."""
    head = ["scene", "mean IoU", "pixel accuracy", "kappa", "counted px", "coverage"]
    rows = [
        [
            name(scene["prediction"]),
            bar(scene["mean_iou"]),
            share(scene["pixel_accuracy"]),
            number(scene["kappa"], ".4f"),
            number(scene["pixels"]["counted"]),
            share(scene["pixels"]["coverage"]),
        ]
        for scene in content["scenes"]
    ]
    note = "Coverage is the share of the labelled pixels that have a prediction."
    return section(
        "Scenes",
        table(head, rows, identity="scenes"),
        element("p", note, class_="note"),
        identity="by-scene",
    )


def settings_section(content: Found) -> Html:
    """What was asked for, and what the rasters tell of how they were made."""
    settings = {key: value for key, value in content["settings"].items() if key != "legend"}
    parts: list[Content] = [_pairs(settings, "settings")]
    scenes = content["scenes"]
    tags = [scene["tags"] for scene in scenes]
    common = {
        key: value
        for key, value in (tags[0] if tags else {}).items()
        if len(scenes) > 1 and all(other.get(key) == value for other in tags)
    }
    if common:
        parts += [element("h3", "All class rasters"), _pairs(common, "tags")]
    for scene in scenes:
        own = {key: value for key, value in scene["tags"].items() if key not in common}
        told = {"labels": scene["labels"], **own}
        parts.append(
            element(
                "details",
                element("summary", scene["prediction"]),
                _pairs(told, None),
                open=len(scenes) <= 4,
            )
        )
    return section("Settings and provenance", *parts, identity="provenance")


def calibration_section(found: Found, chart: Html) -> Html:
    """Whether probabilities mean what they say."""
    shares = {
        "expected_calibration_error": "expected calibration error",
        "maximum_calibration_error": "maximum calibration error",
        "classwise_calibration_error": "classwise calibration error",
        "mean_confidence": "mean probability of the class that is shown",
        "accuracy": "share of right pixels",
    }
    rows = [[name(title), share(found[key])] for key, title in shares.items()]
    scores = {"brier": "Brier score", "negative_log_likelihood": "negative log-likelihood"}
    rows += [[name(title), number(found[key], ".4f")] for key, title in scores.items()]
    rows.append([name("pixels"), number(found["pixels"])])
    classes = [
        [name(row["name"]), share(row["calibration_error"]), number(row["brier"], ".4f")]
        for row in found["classes"]
    ]
    whole = table(["", "all classes"], rows, identity="calibration", sortable=False)
    head = ["class", "calibration error", "Brier"]
    by_class = table(head, classes, identity="calibration-classes")
    return section(
        "Calibration",
        element("div", chart, element("div", whole, by_class), class_="beside"),
        identity="reliability",
    )


def area_section(found: Found, colors: Sequence[str], chart: Html) -> Html:
    """Areas as mapped, as labelled, and as estimated."""
    scale, unit = area_scale(found["unit"])

    def area(value: float) -> Cell:
        return Cell(f"{value / scale:,.2f}", value)

    keys = ["mapped", "mapped_compared", "reference_compared"]
    head = ["class", f"mapped, {unit}", "mapped where labelled", "labelled"]
    if not found["total_compared"]:
        keys, head = keys[:1], head[:2]
    rows = [
        [name(row["name"], color), *(area(row[key]) for key in keys)]
        for row, color in zip(found["classes"], colors, strict=True)
    ]
    both = element("div", chart, table(head, rows, identity="area"), class_="beside broad")
    parts: list[Content] = [both]
    sample = found["sample"]
    if sample is not None:
        head = ["class", f"estimated, {unit}", "user's accuracy", "producer's accuracy", "of map"]
        rows = [
            [
                name(row["name"], color),
                _interval(row["area"], lambda value: f"{value / scale:,.2f}"),
                _interval(row["users_accuracy"], lambda value: f"{value:.1%}"),
                _interval(row["producers_accuracy"], lambda value: f"{value:.1%}"),
                share(row["mapped_share"]),
            ]
            for row, color in zip(sample["classes"], colors, strict=True)
        ]
        note = (
            f"Estimated from {sample['points']:,} interpreted points, stratified by the classes of "
            "the map (Olofsson et al. 2014); \u00b1 is half of the 95 % confidence interval."
        )
        estimate = table(head, rows, identity="sample")
        parts += [element("h3", "From the sample"), estimate, element("p", note, class_="note")]
    return section("Areas", *parts, identity="areas")


def _card(title: str, cell: Cell, note: str) -> Html:
    value = "" if cell.value is None else str(cell.value)
    return element(
        "div",
        element("span", title),
        element("b", cell.content, data_value=value),
        element("small", note),
        class_="card",
    )


def _part_cards(content: Found) -> list[Html]:
    """Headlines of what is scored beside the confusion matrix."""
    found = []
    if (boundary := content["boundary"]) is not None:
        unit = "px" if boundary["unit"] == "pixels" else boundary["unit"]
        note = f"within {boundary['tolerance']:g} {unit}; F1 {share(boundary['mean_f1']).content}"
        found.append(_card("boundary IoU", share(boundary["mean_iou"]), note))
    if (objects := content["objects"]) is not None:
        note = f"{objects['matched']:,} of {objects['reference']:,} found"
        found.append(_card("objects, F1", share(objects["f1"]), note))
    if (calibration := content["calibration"]) is not None:
        error = share(calibration["expected_calibration_error"])
        note = f"sure of {share(calibration['mean_confidence']).content}"
        found.append(_card("calibration error", error, note))
    if content["area"] is not None and (sample := content["area"]["sample"]) is not None:
        overall = _interval(sample["overall_accuracy"], lambda value: f"{value:.1%}")
        found.append(_card("estimated accuracy", overall, f"from {sample['points']:,} points"))
    return found


def _matrix_cell(count: int, total: int, *, is_right: bool) -> Html:
    part = count / total if total else 0.0
    # The root, so that the few per cent that errors mostly are can be told apart.
    color, depth = ("31 95 168", 0.45 * part) if is_right else ("200 30 45", 0.7 * part**0.5)
    style = f"background:rgb({color} / {depth:.3f})" if count else None
    words = f"{part:.1%}" if total else "-"
    return element("td", words, element("small", f"{count:,}"), style=style, data_value=str(count))


def _interval(told: Found, say: Callable[[float], str]) -> Cell:
    value, margin = told["value"], told["margin"]
    if value is None:
        return Cell("-", None)
    return Cell(f"{say(value)} \u00b1 {'-' if margin is None else say(margin)}", value)


def _pairs(content: Mapping[str, Any], identity: str | None) -> Html:
    """Keys and values; what was not given is left out."""
    rows = [
        element("tr", element("th", key, scope="row"), element("td", _say(value)))
        for key, value in content.items()
        if value is not None and value != []
    ]
    whole = element("table", element("tbody", rows), id=identity, class_="pairs")
    return element("div", whole, class_="wide")


def _say(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_say, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
