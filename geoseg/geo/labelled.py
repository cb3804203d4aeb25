"""Scenes with their labels, checked to fit one another."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import shapely
from rasterio.crs import CRS

from geoseg.errors import LabelError, SceneError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.label_sets import open_all
from geoseg.geo.label_sources import PolygonSource, RasterSource
from geoseg.geo.labels import LabelOptions, Labels, find_labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene, SceneOptions

logger = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100
_RESOLUTION_RATIO = 1.25


def open_labelled(
    scenes: Sequence[str],
    labels: str,
    legend: str | Path | Legend | None = None,
    scene_options: SceneOptions | None = None,
    label_options: LabelOptions | None = None,
) -> list[LabelledScene]:
    """Open scenes with their labels, and check that they can be learnt from together.

    Args:
        scenes: Paths of the scenes.
        labels: A file of labels, a folder, or a pattern with `{stem}`.
        legend: The classes, or a file that tells them; None takes what the labels hold.
        scene_options: How to look at the scenes.
        label_options: How to look at the labels.

    Returns:
        The scenes in order, all with one legend.

    Raises:
        SceneError: If a scene cannot be read, or their bands differ in number, name or type.
        LabelError: If labels cannot be read, or do not touch their scene.
        LegendError: If the legend is wrong, or several labels without one contradict each other.
    """
    opened = [Scene.open(path, scene_options) for path in scenes]
    _check_alike(opened)
    paths = find_labels(labels, scenes)
    by_path = open_all(paths, legend, label_options)
    for labels_of_one in by_path.values() if legend is not None else ():
        # All unknown values are told before any work; a legend made of the labels knows all.
        labels_of_one.check()
    pairs = [
        LabelledScene(scene=scene, labels=by_path[path])
        for scene, path in zip(opened, paths, strict=True)
    ]
    for pair in pairs:
        _check_touching(pair)
    return pairs


def name_scenes(paths: Sequence[str]) -> list[str]:
    """Short names for scenes, unique and fit for file names: the stem, numbered when taken."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = _UNSAFE.sub("_", Path(path).stem)[:_LONGEST_NAME].lstrip(".") or "scene"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _check_alike(scenes: Sequence[Scene]) -> None:
    first = scenes[0]
    for scene in scenes:
        if scene.is_paletted:
            raise SceneError(
                scene.path, "holds indices of colours", "Give --expand-palette to read its colours"
            )
        if scene.count != first.count or scene.dtype != first.dtype:
            raise SceneError(
                scene.path,
                f"has {scene.count} bands of {scene.dtype}, "
                f"{first.path} has {first.count} of {first.dtype}",
                "Choose --bands that all scenes have, or tile them apart",
            )
        names = (scene.band_names, first.band_names)
        if all(all(side) for side in names) and names[0] != names[1]:
            raise SceneError(
                scene.path,
                f"has the bands {', '.join(names[0])}, {first.path} has {', '.join(names[1])}",
                "Choose --bands by name",
            )
    _warn_about_resolution(scenes)


def _warn_about_resolution(scenes: Sequence[Scene]) -> None:
    sides = [s.grid.ground_resolution() for s in scenes if s.grid.is_georeferenced]
    if sides and max(sides) > _RESOLUTION_RATIO * min(sides):
        logger.warning(
            "the scenes' pixels are %.3g to %.3g m wide; --resolution makes them equal",
            min(sides),
            max(sides),
        )


def _check_touching(pair: LabelledScene) -> None:
    grid = pair.scene.grid
    if not pair.labels.touches(grid):
        raise LabelError(
            pair.labels.path,
            f"lies at {_extent_of(pair.labels)}, "
            f"away from {pair.scene.path} at {_extent_text(grid.bounds, grid.crs)}",
            "Check that both belong together and bear the right CRS",
        )


def _extent_of(labels: Labels) -> str:
    """Where the labels lie, in their own CRS."""
    source = labels.extent or labels.source
    if isinstance(source, RasterSource):
        grid = source.scene.grid
        return _extent_text(grid.bounds, grid.crs)
    if isinstance(source, PolygonSource):
        return _extent_text(shapely.total_bounds(source.geometries), source.crs)
    return "another place"


def _extent_text(bounds: Sequence[float], crs: CRS | None) -> str:
    left, bottom, right, top = (f"{value:.10g}" for value in bounds)
    return f"{left} to {right}, {bottom} to {top} ({crs.to_string() if crs else 'pixels'})"
