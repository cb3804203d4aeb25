"""Borders, objects, probabilities and areas of an accuracy report: scores in sum or averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from geoseg.geo.comparing import Comparison
from geoseg.geo.ratios import mean_of

Part = Literal["boundary", "objects", "calibration"]
PARTS: tuple[Part, ...] = ("boundary", "objects", "calibration")
"""What is scored beside the confusion matrix, if asked for."""


def part_scores(
    part: Part,
    scenes: Sequence[Comparison],
    names: Sequence[str],
    left_out: Sequence[int],
    *,
    average: bool,
) -> dict[str, Any] | None:
    """The scores of one part of the report.

    Args:
        part: Which one.
        scenes: What was counted.
        names: Name of each class.
        left_out: Indices of classes that take no part in means.
        average: Whether scores are means over the scenes, each counting alike; numbers of
            pixels and objects remain sums.

    Returns:
        The scores; None where the part was not counted.
    """
    singles = [_scored(getattr(scene, part), names, left_out) for scene in scenes]
    if not singles or singles[0] is None:
        return None
    total = getattr(scenes[0], part)
    for scene in scenes[1:]:
        total = total + getattr(scene, part)
    found = _scored(total, names, left_out)
    averaged: dict[str, Any] | None = averages(found, singles) if average else found
    return averaged


def area_scores(scenes: Sequence[Comparison], names: Sequence[str]) -> dict[str, Any] | None:
    """Areas of all scenes together; None where they were not counted."""
    total = None
    for scene in scenes:
        if scene.areas is None:
            return None
        total = scene.areas if total is None else total + scene.areas
    return None if total is None else total.to_dict(names)


def averages(total: Any, singles: Sequence[Any]) -> Any:  # noqa: ANN401 - any JSON value
    """The fractions of a nested result as means over several results of the same form.

    Args:
        total: The result of all together, whose whole numbers, names and nulls are kept.
        singles: The results to be averaged; NaN takes no part.
    """
    if isinstance(total, dict):
        return {key: averages(value, [s[key] for s in singles]) for key, value in total.items()}
    if isinstance(total, list):
        return [averages(value, parts) for value, *parts in zip(total, *singles, strict=True)]
    if not isinstance(total, float) or all(single == total for single in singles):
        return total
    return mean_of(float(single) for single in singles)


def plain(content: Any) -> Any:  # noqa: ANN401 - any JSON value
    """NaN becomes None, as JSON knows no NaN."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _scored(
    counts: Any,  # noqa: ANN401 - the counts of any part
    names: Sequence[str],
    left_out: Sequence[int],
) -> dict[str, Any] | None:
    if counts is None:
        return None
    found: dict[str, Any] = counts.scores(names, left_out)
    return found
