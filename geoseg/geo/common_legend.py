"""One legend for the class rasters of several scenes."""

from __future__ import annotations

from collections.abc import Sequence

from geoseg.errors import LegendError
from geoseg.geo.legend import Legend, LegendClass

_CURE = "Give one with --legend that holds for all"


def common_legend(legends: Sequence[Legend], paths: Sequence[str]) -> Legend:
    """The classes of all rasters, in the order of their first mention.

    Args:
        legends: Of each raster, at least one.
        paths: The rasters, for errors.

    Raises:
        LegendError: If a value means two things, or is what another raster ignores.
    """
    first = legends[0]
    if all(legend == first for legend in legends):
        return first
    found: dict[int, tuple[LegendClass, str]] = {}
    for legend, path in zip(legends, paths, strict=True):
        for entry in legend.classes:
            known, source = found.setdefault(entry.value, (entry, path))
            if known.name != entry.name:
                problem = f'{entry.value} means "{entry.name}", and "{known.name}" in {source}'
                raise LegendError(path, problem, _CURE)
    ignore = max(legend.ignore for legend in legends)
    for legend, path in zip(legends, paths, strict=True):
        if legend.ignore in found:
            problem = f"ignores {legend.ignore}, which is a class of {found[legend.ignore][1]}"
            raise LegendError(path, problem, _CURE)
    try:
        return Legend(classes=tuple(entry for entry, _ in found.values()), ignore=ignore)
    except LegendError as error:
        raise LegendError(paths[-1], error.problem, _CURE) from error
