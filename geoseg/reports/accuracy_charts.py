"""Charts of an accuracy report: scores of the classes, reliability, areas with their errors."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoseg.reports.accuracy_text import area_scale
from geoseg.reports.drawing import literal, write_png

_INK, _PALE, _GRID = "#22262b", "#626b75", "#e4e6e8"
_BLUE, _ORANGE, _GREEN = "#1f5fa8", "#d97a1d", "#3a8f5c"
_DPI = 144
_ROW = 0.34
"""Inches of a class."""


def classes_figure(classes: Sequence[Mapping[str, Any]]) -> Figure:
    """IoU, precision and recall of each class, and their means.

    Args:
        classes: A row each with `name`, `iou`, `precision`, `recall`; None where undefined.
    """
    figure, axes = _rows_figure([row["name"] for row in classes], 0.9)
    places = np.arange(len(classes))
    ious = [row["iou"] or 0.0 for row in classes]
    axes.barh(places, ious, height=0.62, color="#a9c6e6", label="IoU")
    for key, marker, color in (("precision", ">", _ORANGE), ("recall", "<", _GREEN)):
        points = [(row[key], place) for place, row in enumerate(classes) if row[key] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, markersize=6, label=key)
    axes.set_xlim(0, 1.02)
    _percents(axes, "x")
    _legend(axes, "IoU")
    return figure


def reliability_figure(found: Mapping[str, Any]) -> Figure:
    """How often a map is right where it is so sure, and how often it is so sure.

    Args:
        found: `calibration` of a report.
    """
    figure = Figure(figsize=(5.2, 5.0), layout="constrained", facecolor="white")
    curve, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    bins = [row for row in found["reliability"] if row["pixels"]]
    sure, right = ([row[key] for row in bins] for key in ("confidence", "accuracy"))
    curve.plot([0, 1], [0, 1], color="#9aa4ae", linewidth=1, linestyle="--", label="as it should")
    curve.vlines(sure, sure, right, color=_ORANGE, linewidth=5, alpha=0.35, label="gap")
    curve.plot(
        sure, right, "o-", color=_BLUE, linewidth=1.8, markersize=5, clip_on=False, label="this map"
    )
    curve.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share of right pixels")
    curve.legend(frameon=False, fontsize=9, loc="upper left")
    every = found["reliability"]
    left, widths = [row["from"] for row in every], [row["to"] - row["from"] for row in every]
    total = max(sum(row["pixels"] for row in every), 1)
    shares = [row["pixels"] / total for row in every]
    below.bar(left, shares, widths, align="edge", color="#a9c6e6", edgecolor="white")
    below.set(xlabel="probability of the class that is shown", ylabel="pixels")
    for axes in (curve, below):
        _finish(axes)
        _percents(axes, "x")
        _percents(axes, "y")
    return figure


def area_figure(found: Mapping[str, Any]) -> Figure:
    """Area of each class: as mapped, as labelled, and as estimated from a sample.

    Args:
        found: `area` of a report.
    """
    scale, unit = area_scale(found["unit"])
    classes, sample = found["classes"], found["sample"]
    figure, axes = _rows_figure([row["name"] for row in classes], 1.1)
    places = np.arange(len(classes))
    key = "mapped_compared" if sample is None else "mapped"
    label = "mapped, where labelled" if sample is None else "mapped"
    mapped = [row[key] / scale for row in classes]
    axes.barh(places, mapped, height=0.62, color="#a9c6e6", label=label)
    if sample is None:
        labelled = [row["reference_compared"] / scale for row in classes]
        axes.plot(labelled, places, "D", color=_ORANGE, markersize=6, label="labelled")
    else:
        told = [row["area"] for row in sample["classes"]]
        axes.errorbar(
            [np.nan if area["value"] is None else area["value"] / scale for area in told],
            places,
            xerr=[(area["margin"] or 0.0) / scale for area in told],
            fmt="D", color=_ORANGE, markersize=5.5, capsize=4, label="estimated, 95 %",
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel(unit, fontsize=9, color=_PALE)
    _legend(axes, label)
    return figure


def saved(figure: Figure, kind: Literal["png", "svg"] = "png") -> bytes:
    """A figure as a file, the same bytes each time."""
    buffer = io.BytesIO()
    # Names of classes may be in any script, and the font may lack it: a box is no fault of ours.
    with rc_context({"svg.hashsalt": "geoseg"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if kind == "png":
            write_png(figure, buffer, _DPI)
        else:
            figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    return buffer.getvalue()


def _rows_figure(names: Sequence[str], more: float) -> tuple[Figure, Axes]:
    """A figure with a line for each class, from the top down."""
    figure = Figure(
        figsize=(7.2, _ROW * len(names) + more), layout="constrained", facecolor="white"
    )
    axes = figure.subplots()
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_yticks(range(len(names)), [literal(_shorten(name)) for name in names])
    _finish(axes)
    axes.tick_params(axis="y", length=0, labelcolor=_INK, labelsize=10)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _legend(axes: Axes, first: str) -> None:
    """What is what, above the axes; the bars before the marks on them."""
    named = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda e: e[1] != first)
    handles, labels = zip(*named, strict=True)
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False,
        fontsize=9, borderpad=0.2,
    )  # fmt: skip


def _finish(axes: Axes) -> None:
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b5bac0")
    axes.tick_params(colors=_PALE, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=_INK, fontsize=9.5)


def _percents(axes: Axes, which: Literal["x", "y"]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _shorten(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:30]}..."
