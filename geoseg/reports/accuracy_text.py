"""The parts of an accuracy report as tables for the terminal."""

from __future__ import annotations

import math
from typing import Any

Lines = list[list[str]]

_HECTARE = 10_000


def table(lines: Lines) -> str:
    """Columns side by side, the first to the left, the others to the right; a head line."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    shown.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
    return "\n".join(shown)


def percent(share: float | None) -> str:
    """A share as `12.34%`; `-` where undefined."""
    return "-" if share is None or math.isnan(share) else f"{share:.2%}"


def decimal(value: float) -> str:
    """A number as `0.1234`; `-` where undefined."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def boundary_text(found: dict[str, Any]) -> str:
    """Boundary IoU and F1 of each class."""
    unit = "px" if found["unit"] == "pixels" else found["unit"]
    head = f"boundary, {found['tolerance']:g} {unit}"
    lines = [[head, "IoU", "F1", "precision", "recall"]]
    for row in found["classes"]:
        keys = ("iou", "f1", "precision", "recall")
        lines.append([row["name"], *(percent(row[key]) for key in keys)])
    lines.append(["mean", percent(found["mean_iou"]), percent(found["mean_f1"]), "", ""])
    return table(lines)


def objects_text(found: dict[str, Any]) -> str:
    """Objects found, missed and made up, by class and by size."""
    lines = [["objects", "precision", "recall", "F1", "matched IoU", "labels", "map"]]
    lines += [[row["name"], *_object_cells(row)] for row in found["classes"]]
    if len(found["classes"]) > 1:
        lines.append(["all", *_object_cells(found)])
    unit = "px" if found["unit"] == "pixels" else "m2"
    for row in found["sizes"]:
        end = "up" if row["to"] is None else f"to {row['to']:g}"
        name = f"{row['from']:g} {end} {unit}" if row["to"] else f"{row['from']:g} {unit} and up"
        lines.append([name, *_object_cells(row)])
    return table(lines)


def calibration_text(found: dict[str, Any]) -> str:
    """Calibration errors and proper scores."""
    return (
        f"calibration: expected error {percent(found['expected_calibration_error'])} (sure of "
        f"{percent(found['mean_confidence'])}, right in {percent(found['accuracy'])}), by class "
        f"{percent(found['classwise_calibration_error'])}; Brier {decimal(found['brier'])}; "
        f"negative log-likelihood {decimal(found['negative_log_likelihood'])}"
    )


def area_text(found: dict[str, Any]) -> str:
    """Areas as mapped, as labelled, and as estimated from a sample."""
    scale, unit = area_scale(found["unit"])
    sample = found["sample"]
    if sample is None:
        lines = [[f"area, {unit}", "mapped", "mapped there", "labelled"]]
        for row in found["classes"]:
            areas = (row["mapped"], row["mapped_compared"], row["reference_compared"])
            lines.append([row["name"], *(f"{area / scale:,.2f}" for area in areas)])
        return table(lines)
    head = f"area, {unit} (95 %)"
    lines = [[head, "mapped", "estimated", "user's acc.", "producer's acc."]]
    for row, own in zip(sample["classes"], found["classes"], strict=True):
        lines.append(
            [
                row["name"],
                f"{own['mapped'] / scale:,.2f}",
                _interval(row["area"], scale),
                _share_interval(row["users_accuracy"]),
                _share_interval(row["producers_accuracy"]),
            ]
        )
    overall = _share_interval(sample["overall_accuracy"])
    return f"{table(lines)}\noverall accuracy {overall}, of {sample['points']} points"


def area_scale(unit: str) -> tuple[int, str]:
    """By what areas are divided to be read, and the unit they then have."""
    return (_HECTARE, "ha") if unit == "m2" else (1, unit)


def _object_cells(row: dict[str, Any]) -> list[str]:
    shares = [percent(row[key]) for key in ("precision", "recall", "f1")]
    iou = percent(row["mean_matched_iou"]) if "mean_matched_iou" in row else ""
    return [*shares, iou, f"{row['reference']:,}", f"{row['predicted']:,}"]


def _interval(told: dict[str, float], scale: float) -> str:
    return f"{told['value'] / scale:,.2f} ± {told['margin'] / scale:,.2f}"


def _share_interval(told: dict[str, float]) -> str:
    value, margin = told["value"], told["margin"]
    if math.isnan(value):
        return "-"
    return f"{value:.1%} ± {'-' if math.isnan(margin) else f'{margin:.1%}'}"
