"""Several label files under one legend: as given, or made of what all of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from geoseg.errors import LegendError
from geoseg.geo.label_sources import PolygonSource, RasterSource
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.matching import legend_of_attributes, legend_of_names


def open_all(
    paths: Sequence[str], legend: str | Path | Legend | None, options: LabelOptions | None = None
) -> dict[str, Labels]:
    """Look at label files, each once, and give them one legend.

    Args:
        paths: The files; one may come several times.
        legend: The classes, or a file that tells them; None makes a legend of all label files.
        options: How to look at them.

    Returns:
        Labels by path, in the order of the paths.

    Raises:
        LabelError: If a file cannot be read, or does not fit the legend.
        LegendError: If the legend is wrong, or none can be made of all files.
    """
    if legend is not None and not isinstance(legend, Legend):
        legend = Legend.open(legend)
    opened = {path: Labels.open(path, legend, options) for path in dict.fromkeys(paths)}
    if legend is not None:
        return opened
    common = _common_legend(list(opened.values()), options or LabelOptions())
    return {path: _with_legend(labels, common) for path, labels in opened.items()}


def _common_legend(labels: Sequence[Labels], options: LabelOptions) -> Legend:
    """One legend of all those that were made of single files."""
    first = labels[0].legend
    if all(each.legend == first for each in labels):
        return first
    kinds = [isinstance(each.source, PolygonSource) for each in labels]
    if not any(kinds):
        return _joined(labels)
    if not all(kinds):
        raise LegendError(
            labels[kinds.index(False)].path,
            f"is a raster, {labels[kinds.index(True)].path} holds polygons",
            "Give a legend that serves both",
        )
    if options.field is None:
        return legend_of_names(["foreground"])
    names = sorted({str(c.sources[0]) for each in labels for c in each.legend.foreground})
    return legend_of_attributes(names, ", ".join(each.path for each in labels), options.field)


def _joined(labels: Sequence[Labels]) -> Legend:
    """All classes of label rasters, which must agree on the names of their values."""
    classes: dict[int, LegendClass] = {}
    for each in labels:
        for entry in each.legend.classes:
            known = classes.setdefault(entry.value, entry)
            if known.name != entry.name:
                raise LegendError(
                    each.path,
                    f'value {entry.value} is "{entry.name}" here and '
                    f'"{known.name}" in another file',
                    "Give a legend",
                )
    ignore = max(each.legend.ignore for each in labels)
    return Legend(classes=tuple(classes[value] for value in sorted(classes)), ignore=ignore)


def _with_legend(labels: Labels, legend: Legend) -> Labels:
    """The labels of a file with the classes of the common legend in place of its own."""
    if labels.legend == legend:
        return labels
    source = labels.source
    if isinstance(source, RasterSource):
        source = RasterSource(source.scene, legend, by_color=False)
    elif isinstance(source, PolygonSource):
        by_sources = {entry.sources: entry.value for entry in legend.classes}
        # Without an attribute all polygons are of the one class, which each file names anew.
        only = legend.foreground[0].value
        new = {c.value: by_sources.get(c.sources, only) for c in labels.legend.classes}
        values = np.array([new[value] for value in source.values.tolist()], dtype=np.uint16)
        source = PolygonSource(
            source.path, source.geometries, values, source.crs, source.fill, legend.dtype
        )
    return replace(labels, legend=legend, source=source)
