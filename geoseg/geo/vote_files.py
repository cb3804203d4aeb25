"""Votes over files: several class rasters of one grid become one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from geoseg.errors import ConfigError, LegendError
from geoseg.geo.classes import open_classes
from geoseg.geo.label_images import bound_cache, kept_grid
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output
from geoseg.geo.paths import find_scenes
from geoseg.geo.png_writer import driver_by_suffix, writer_by_suffix
from geoseg.geo.raster import Scene
from geoseg.geo.recolor_files import add_side_files, class_profile
from geoseg.geo.relabel_options import RelabelOptions, RelabelResult, named_counts
from geoseg.geo.values import count_raster_values, count_values
from geoseg.geo.vote import Ballot, Rule, ballots, check_alike, check_names
from geoseg.progress import Progress

logger = logging.getLogger(__name__)


def vote(
    rasters: Sequence[str],
    output: str | Path,
    *,
    weights: Sequence[float] | None = None,
    rule: Rule = "weighted",
    legend: Legend | str | Path | None = None,
    options: RelabelOptions | None = None,
    progress: Progress | None = None,
) -> RelabelResult:
    """Combine class rasters of one grid: every pixel gets the class that most of them give it.

    Nodata, what a mask hides, and the legend's `ignore` do not vote; where nothing votes, the
    result has no data.

    Args:
        rasters: Class rasters, the first the one that decides ties.
        output: A `.tif` or `.png`.
        weights: Of each raster, above 0; None weighs all alike.
        rule: See `geoseg.geo.vote.Ballot`.
        legend: The classes; None takes what the first raster tells.
        options: `assume_crs` and `overwrite`.
        progress: Where to tell how far it is.

    Returns:
        What was written.

    Raises:
        SceneError: If a raster cannot be read, does not hold classes, or lies on another grid.
        LabelError: If a raster holds values that are not in the legend.
        LegendError: If the legend cannot be read, or a raster calls a value otherwise.
        ConfigError: If weights or rule make no sense, or a raster is given twice.
        OutputError: If the output cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options, progress = options or RelabelOptions(), progress or Progress()
    paths = _voters(rasters)
    target = check_output(output, overwrite=options.overwrite, inputs=paths)
    driver_by_suffix(target)
    if len(paths) < 2:
        raise ConfigError("rasters", f"{len(paths)} is given", "Name two or more")
    if weights is not None and len(weights) != len(paths):
        raise ConfigError("--weights", f"{len(weights)} for {len(paths)} rasters", "Give one each")
    scenes = [open_classes(path, options.assume_crs) for path in paths]
    check_alike(scenes)
    known = _legend_of_votes(scenes, legend)
    ballot = Ballot(known, weights or [1.0] * len(scenes), rule)
    bound_cache(scenes[0].grid.width)
    counts: Counter[int] = Counter()
    profile = class_profile(kept_grid(scenes[0]), known, target)
    with (
        progress.task("vote", scenes[0].grid.height, "row") as task,
        writer_by_suffix(target, profile, overwrite=options.overwrite) as to,
    ):
        for window, values in ballots(scenes, ballot):
            counts.update(count_values(values))
            to.write(values[None], window)
            task.advance(window.height)
        add_side_files(to, known, counts)
    return RelabelResult(path=target, files=1, counts=named_counts(counts, known))


def _voters(rasters: Sequence[str]) -> list[str]:
    """The files, of which each has one vote."""
    paths = [path for entry in rasters for path in find_scenes([entry])]
    owners: dict[str, str] = {}
    for path in paths:
        file = str(Path(path).resolve()) if Path(path).exists() else path
        if owners.setdefault(file, path) != path or paths.count(path) > 1:
            cure = "Give it once, and a larger number in --weights"
            raise ConfigError(path, "is given twice, and a raster has one vote", cure)
    return paths


def _legend_of_votes(scenes: Sequence[Scene], given: Legend | str | Path | None) -> Legend:
    """The legend of a vote: as given, as the rasters tell alike, or else of all their values."""
    if given is not None:
        return given if isinstance(given, Legend) else Legend.open(given)
    told = []
    for scene in scenes:
        try:
            told.append((scene.path, Legend.open(scene.path)))
        except LegendError:
            logger.info("%s: tells no legend", scene.path)
    if not told:
        values = set().union(*(count_raster_values(scene.path) for scene in scenes))
        return Legend.of_values(values or {0})
    check_names(told[0][1], told[1:])
    return told[0][1]
