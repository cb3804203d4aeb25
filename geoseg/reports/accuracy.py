"""The accuracy report: as `report.json` has it, and as a table for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geoseg.geo.area_estimation import AreaSample
from geoseg.geo.comparing import Comparison
from geoseg.geo.confusion import majority_scores, scores
from geoseg.geo.error_windows import WindowChoice
from geoseg.geo.outputs import publish
from geoseg.reports.accuracy_parts import PARTS, Part, area_scores, part_scores, plain
from geoseg.reports.accuracy_text import (
    area_text,
    boundary_text,
    calibration_text,
    decimal,
    objects_text,
    percent,
    table,
)

SUMMARY = ("pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "mean_dice", "mean_f1", "kappa")
"""The scores of a whole map."""

_PART_TEXTS: dict[Part, Callable[[dict[str, Any]], str]] = {
    "boundary": boundary_text,
    "objects": objects_text,
    "calibration": calibration_text,
}

_CLASS_SCORES = ("iou", "dice", "precision", "recall", "f1")


@dataclass(frozen=True, kw_only=True)
class Report:
    """How well class rasters agree with labels."""

    scenes: tuple[Comparison, ...]
    """Each prediction."""

    names: tuple[str, ...]
    """Names of the classes, in the order of the matrices."""

    left_out: tuple[int, ...] = ()
    """Indices of classes whose reference pixels are not counted."""

    mode: Literal["global", "per-image"] = "global"
    """Whether scores are of the summed matrix or averaged over scenes."""

    sample: AreaSample | None = None
    """Interpreted places by class of the map, where there is a sample."""

    windows: WindowChoice | None = None
    """Where the maps are worst and best, where that was asked for."""

    settings: dict[str, Any] = field(default_factory=dict)
    """What was asked for, to be told in the report."""

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """(C, C) pixels of all scenes; rows are the reference."""
        total: npt.NDArray[np.int64] = np.sum([scene.matrix for scene in self.scenes], axis=0)
        return total

    @property
    def counted_pixels(self) -> int:
        """Pixels that the scores rest on."""
        return _counted(self.matrix, self.left_out)

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The scores as `geoseg.geo.confusion.scores` names them; NaN where undefined."""
        total = scores(self.matrix, self.names, self.left_out)
        if self.mode == "global":
            return total
        single = [scores(s.matrix, self.names, self.left_out) for s in self.scenes]
        total |= {key: _mean(s[key] for s in single) for key in SUMMARY}
        for index, row in enumerate(total["classes"]):
            row |= {key: _mean(s["classes"][index][key] for s in single) for key in _CLASS_SCORES}
        return total

    @cached_property
    def trivial(self) -> dict[str, Any]:
        """Scores of a map that shows the most frequent class of the labels everywhere."""
        total = majority_scores(self.matrix, self.left_out)
        majority = total["class"]
        if self.mode == "per-image":
            single = [majority_scores(s.matrix, self.left_out, majority) for s in self.scenes]
            total = {key: _mean(s[key] for s in single) for key in total}
        return {**total, "class": self.names[majority]}

    @cached_property
    def parts(self) -> dict[str, dict[str, Any] | None]:
        """`boundary`, `objects` and `calibration`; None where they were not asked for."""
        return self._parts(self.scenes)

    @cached_property
    def area(self) -> dict[str, Any] | None:
        """Areas on the maps, and as estimated from the sample (`sample`, else None)."""
        found = area_scores(self.scenes, self.names)
        return None if found is None else {**found, "sample": self._estimate()}

    def to_dict(self) -> dict[str, Any]:
        """The content of `report.json`: plain numbers, lists and text; null where undefined."""
        content: dict[str, Any] = plain(
            {
                **self.scores,
                **self.parts,
                "area": self.area,
                "trivial": self.trivial,
                "windows": None if self.windows is None else self.windows.to_dict(),
                "pixels": self._pixels(self.scenes),
                "scenes": [self._scene(scene) for scene in self.scenes],
                "settings": self.settings,
            }
        )
        return content

    def to_text(self) -> str:
        """A table to read in a terminal: classes, then the whole map, then each scene."""
        parts = []
        if any(scene.labels for scene in self.scenes):
            parts += [table(_class_lines(self.scores)), self._summary_text()]
        for part, say in _PART_TEXTS.items():
            found = self.parts[part]
            parts += [] if found is None else [say(found)]
        if self.area is not None:
            parts.append(area_text(self.area))
        if any(scene.labels for scene in self.scenes):
            parts += [table(self._scene_lines())] if len(self.scenes) > 1 else []
            parts.append(self._pixels_text())
        return "\n\n".join(parts)

    def _scene(self, scene: Comparison) -> dict[str, Any]:
        found = scores(scene.matrix, self.names, self.left_out)
        return {
            "prediction": scene.prediction,
            "labels": scene.labels or None,
            **found,
            **self._parts([scene]),
            "area": area_scores([scene], self.names),
            "pixels": self._pixels([scene]),
            "tags": dict(scene.tags),
        }

    def _parts(self, scenes: Sequence[Comparison]) -> dict[str, dict[str, Any] | None]:
        average = self.mode == "per-image" and len(scenes) > 1
        return {
            part: part_scores(part, scenes, self.names, self.left_out, average=average)
            for part in PARTS
        }

    def _estimate(self) -> dict[str, Any] | None:
        if self.sample is None:
            return None
        return {
            "points": int(self.sample.counts.sum()),
            "counts": self.sample.counts.tolist(),
            **self.sample.estimate.to_dict(self.names),
        }

    def _pixels(self, scenes: Sequence[Comparison]) -> dict[str, Any]:
        """What share of the map the scores rest on."""
        matrix = np.sum([scene.matrix for scene in scenes], axis=0)
        compared, labelled = int(matrix.sum()), sum(s.labelled_pixels for s in scenes)
        return {
            "total": sum(s.pixels for s in scenes),
            "predicted": sum(s.predicted_pixels for s in scenes),
            "labelled": labelled,
            "counted": _counted(matrix, self.left_out),
            "coverage": compared / labelled if labelled else math.nan,
        }

    def _summary_text(self) -> str:
        found, trivial = self.scores, self.trivial
        say = f'"{trivial["class"]}" everywhere'
        lines = [["", "this map", say]]
        lines += [[_title(k), percent(found[k]), percent(trivial.get(k))] for k in SUMMARY[:4]]
        lines += [["mean Dice (F1)", percent(found["mean_dice"]), ""]]
        lines += [["kappa", decimal(found["kappa"]), decimal(trivial["kappa"])]]
        return table(lines)

    def _scene_lines(self) -> list[list[str]]:
        lines = [["scene", "pixel accuracy", "mean IoU", "kappa", "pixels"]]
        for scene in self.scenes:
            found = scores(scene.matrix, self.names, self.left_out)
            lines.append(
                [
                    scene.prediction,
                    percent(found["pixel_accuracy"]),
                    percent(found["mean_iou"]),
                    decimal(found["kappa"]),
                    f"{_counted(scene.matrix, self.left_out):,}",
                ]
            )
        return lines

    def _pixels_text(self) -> str:
        pixels = self._pixels(self.scenes)
        text = (
            f"{pixels['counted']:,} pixels counted; {percent(pixels['coverage'])} of the "
            f"{pixels['labelled']:,} labelled pixels have a prediction"
        )
        if self.mode == "per-image":
            text += f"; scores are averages over {len(self.scenes)} scenes"
        if self.left_out:
            listing = ", ".join(self.names[index] for index in self.left_out)
            text += f"; not counted: reference pixels of {listing}"
        return text


def write_report(report: Report, path: Path) -> None:
    """Write a report as `report.json`; a file of that name is replaced.

    Raises:
        WorkError: If the disk is full or fails.
    """
    with publish(path) as temporary:
        text = json.dumps(report.to_dict(), indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _counted(matrix: npt.NDArray[np.int64], left_out: Sequence[int]) -> int:
    return int(matrix.sum() - matrix[list(left_out)].sum())


def _mean(values: Iterable[float]) -> float:
    """The mean of the values that are defined; NaN where none is."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _class_lines(found: dict[str, Any]) -> list[list[str]]:
    lines = [["class", "IoU", "Dice", "precision", "recall", "reference px", "predicted px"]]
    for row in found["classes"]:
        shares = [percent(row[key]) for key in ("iou", "dice", "precision", "recall")]
        pixels = [f"{row[key]:,}" for key in ("reference_pixels", "predicted_pixels")]
        lines.append([row["name"], *shares, *pixels])
    return lines


def _title(key: str) -> str:
    return key.replace("_", " ").replace("iou", "IoU").replace("fw", "frequency-weighted")
