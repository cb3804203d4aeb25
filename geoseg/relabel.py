"""Job: label images from one coding to another, votes over class rasters, lists of names."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.errors import ConfigError, LabelError, LegendError, OutputError
from geoseg.geo.classes import legend_of_classes, open_classes
from geoseg.geo.gdal import limit_block_cache
from geoseg.geo.label_images import (
    LabelImage,
    choose_reading,
    find_label_images,
    kept_grid,
    open_label_image,
)
from geoseg.geo.legend import Legend
from geoseg.geo.list_files import ListOptions, lists
from geoseg.geo.name_lists import check_stems
from geoseg.geo.outputs import check_output, check_output_folder, publish_folder
from geoseg.geo.paths import find_scenes
from geoseg.geo.png_writer import check_picture, driver_by_suffix, writer_by_suffix
from geoseg.geo.raster import Scene
from geoseg.geo.recolor import ColorTable, Reading, Unknown, ignore_color
from geoseg.geo.recolor_files import (
    LEGEND_FILE,
    IndexTables,
    Recolored,
    add_side_files,
    class_profile,
    write_colors,
    write_index,
)
from geoseg.geo.rle_files import RleOptions, rle_decode, rle_encode
from geoseg.geo.values import count_raster_values, count_values, list_counts
from geoseg.geo.vote import Ballot, Rule, ballots, check_alike, check_names
from geoseg.geo.workers import Workers
from geoseg.progress import Progress
from geoseg.reports.relabelled import Comparison, draw_comparisons

__all__ = [
    "ListOptions",
    "RelabelOptions",
    "RelabelResult",
    "RleOptions",
    "lists",
    "rle_decode",
    "rle_encode",
    "to_color",
    "to_index",
    "vote",
]

logger = logging.getLogger(__name__)

Format = Literal["png", "tif"]

_LEAST_CACHE, _BLOCK_ROWS = 64 << 20, 4 * 512
"""Bytes of GDAL's cache, and rows of three bands that it is to hold at least."""


@dataclass(frozen=True, kw_only=True)
class RelabelOptions:
    """How label images are read and written."""

    by: Reading | None = None
    """Whether one-band images hold values or colours; None finds it out."""

    unknown: Unknown = "refuse"
    """What becomes of values and colours that are not in the legend."""

    ignore_color: str | None = None
    """Colour (`#rrggbb`) of pixels that are not labelled; None takes `#e0e0c0`."""

    gray: bool = False
    """Whether colours, which must be grays then, are written as one band."""

    variable: str | None = None
    """Name of the array in `.mat` files."""

    assume_crs: str | None = None
    """CRS of rasters that have none; without it they are taken as plain images."""

    format: Format = "png"
    """Files of an output folder."""

    jobs: int | None = None
    """Threads, each with an image; None takes one per processor."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""


@dataclass(frozen=True, kw_only=True)
class RelabelResult:
    """What was written."""

    path: Path
    """The file or folder."""

    files: int
    """Images written."""

    counts: dict[str, int]
    """Pixels of each class that has some; `ignore` is what is not labelled."""

    unknown: dict[str, int] = field(default_factory=dict)
    """Pixels of each value or colour that is not in the legend."""


def to_index(
    labels: Sequence[str],
    output: str | Path,
    legend: Legend | str | Path,
    options: RelabelOptions | None = None,
    *,
    compare: str | Path | None = None,
    progress: Progress | None = None,
) -> RelabelResult:
    """Turn label images of colours or foreign values into class values.

    Args:
        labels: Images, folders, globs or lists: gray, RGB or paletted rasters, and `.mat` files.
        output: A `.tif` or `.png` for one image, else a folder of files of the same stems.
        legend: The classes, with the colours and values (`from`) that mean them.
        options: How to read and write.
        compare: PNG that is to show the first images before and after.
        progress: Where to tell how far it is.

    Returns:
        What was written.

    Raises:
        SceneError: If a file cannot be read.
        LabelError: If an image is of no kind that labels are, or holds what the legend lacks.
        LegendError: If the legend cannot be read, or its colours are ambiguous.
        ConfigError: If an option makes no sense, or an image can be read in two ways.
        OutputError: If the output cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options = options or RelabelOptions()
    paths = find_label_images(labels)
    target = _check_target(paths, output, compare, options)
    legend = legend if isinstance(legend, Legend) else Legend.open(legend)
    images = [_open(path, options, lossy=options.unknown == "nearest") for path in paths]
    unlabelled = ignore_color(legend, options.ignore_color)
    reading = choose_reading(images, legend, unlabelled, options.by)
    told = options.ignore_color is not None
    tables = IndexTables(legend, reading, options.unknown, unlabelled, told=told)

    def write(image: LabelImage, path: Path) -> Recolored:
        return write_index(image, tables.table_of(image), path, overwrite=options.overwrite)

    return _relabel(_Work(images, target, legend, options, write), compare, progress or Progress())


def to_color(
    labels: Sequence[str],
    output: str | Path,
    legend: Legend | str | Path | None = None,
    options: RelabelOptions | None = None,
    *,
    compare: str | Path | None = None,
    progress: Progress | None = None,
) -> RelabelResult:
    """Turn class values into the colours of the legend.

    Args:
        labels: Images, folders, globs or lists: class rasters of one band.
        output: A `.tif` or `.png` for one image, else a folder of files of the same stems.
        legend: The classes; None takes what the first image tells.
        options: How to read and write.
        compare: PNG that is to show the first images before and after.
        progress: Where to tell how far it is.

    Returns:
        What was written.

    Raises:
        SceneError: If a file cannot be read.
        LabelError: If an image has colours already, or values that the legend lacks.
        LegendError: If the legend cannot be read, or two classes have one colour.
        ConfigError: If an option makes no sense.
        OutputError: If the output cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options = options or RelabelOptions()
    paths = find_label_images(labels)
    target = _check_target(paths, output, compare, options)
    images = [_open(path, options, lossy=False) for path in paths]
    for image in images:
        if image.is_rgb:
            raise LabelError(image.path, "has colours already", "Give images of class values")
    if not isinstance(legend, Legend):
        legend = _legend_of_image(images[0]) if legend is None else Legend.open(legend)
    unlabelled = ignore_color(legend, options.ignore_color)
    table = ColorTable(legend, unlabelled, options.unknown, gray=options.gray)

    def write(image: LabelImage, path: Path) -> Recolored:
        return write_colors(image, table, path, overwrite=options.overwrite)

    return _relabel(_Work(images, target, legend, options, write), compare, progress or Progress())


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
        ConfigError: If weights or rule make no sense.
        OutputError: If the output cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options, progress = options or RelabelOptions(), progress or Progress()
    paths = find_scenes(rasters)
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
    _bound_cache(scenes[0].grid.width)
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
    return RelabelResult(path=target, files=1, counts=_named(counts, known))


@dataclass(frozen=True)
class _Target:
    """Where the outputs go."""

    path: Path
    """The file or folder."""

    is_folder: bool
    """Whether it is a folder of files of the inputs' stems."""


@dataclass(frozen=True)
class _Work:
    """What is to be made of which images."""

    images: list[LabelImage]
    target: _Target
    legend: Legend
    options: RelabelOptions
    write: Callable[[LabelImage, Path], Recolored]


def _relabel(work: _Work, compare: str | Path | None, progress: Progress) -> RelabelResult:
    """Write all images; of several none has its name before all are written."""
    _bound_cache(max(image.grid.width for image in work.images))
    with _files(work) as files:
        made: list[Recolored] = []
        with Workers(work.options.jobs) as workers:
            pairs = list(zip(work.images, files, strict=True))
            results = workers.map(lambda pair: work.write(*pair), pairs)
            made.extend(progress.track(results, "relabel", len(pairs), "image"))
        if compare is not None:
            shown = [
                Comparison(before=image.path, after=str(file), variable=work.options.variable)
                for image, file in pairs
            ]
            draw_comparisons(shown, work.legend, Path(compare))
    unknown = sum((one.unknown for one in made), Counter[str]())
    if unknown:
        logger.warning(
            "not in the legend, taken as %s: %s",
            *(work.options.unknown, list_counts(unknown, "pixels")),
        )
    return RelabelResult(
        path=work.target.path,
        files=len(made),
        counts=_named(sum((one.counts for one in made), Counter[int]()), work.legend),
        unknown=dict(unknown.most_common()),
    )


def _bound_cache(width: int) -> None:
    """Keep GDAL from holding 5 % of the machine's memory: blocks are read once."""
    limit_block_cache(max(_LEAST_CACHE, 3 * _BLOCK_ROWS * width))


@contextmanager
def _files(work: _Work) -> Iterator[list[Path]]:
    """Where each image is to be written; a folder gets the legend, too."""
    if not work.target.is_folder:
        yield [work.target.path]
        return
    with publish_folder(work.target.path) as folder:
        (folder / LEGEND_FILE).write_text(work.legend.to_toml(), encoding="utf-8")
        suffix = work.options.format
        yield [folder / f"{Path(image.path).stem}.{suffix}" for image in work.images]


def _check_target(
    paths: Sequence[str], output: str | Path, compare: str | Path | None, options: RelabelOptions
) -> _Target:
    """Refuse outputs early: those that cannot be written, and stems that would be one file."""
    if compare is not None:
        check_picture(compare, overwrite=options.overwrite, inputs=paths)
        if Path(compare).expanduser().resolve() == Path(output).expanduser().resolve():
            raise OutputError(compare, "is the output itself", "Name another picture")
    if Path(output).suffix and not Path(output).is_dir():
        if len(paths) > 1:
            problem = f"is one file for {len(paths)} images"
            raise OutputError(output, problem, "Name a folder, without a suffix")
        driver_by_suffix(output)
        target = check_output(output, overwrite=options.overwrite, inputs=paths)
        return _Target(target, is_folder=False)
    check_stems(paths)
    folder = check_output_folder(
        output, overwrite=options.overwrite, inputs=paths, marker=LEGEND_FILE
    )
    return _Target(folder, is_folder=True)


def _open(path: str, options: RelabelOptions, *, lossy: bool) -> LabelImage:
    return open_label_image(
        path, assume_crs=options.assume_crs, variable=options.variable, lossy=lossy
    )


def _legend_of_image(image: LabelImage) -> Legend:
    if image.scene is None:
        raise LegendError(image.path, "tells no legend", "Give --legend")
    return legend_of_classes(image.scene)


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


def _named(counts: Counter[int], legend: Legend) -> dict[str, int]:
    named = {c.name: counts[c.value] for c in legend.classes if counts[c.value]}
    return named | ({"ignore": counts[legend.ignore]} if counts[legend.ignore] else {})
