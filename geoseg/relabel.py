"""Job: label images from one coding to another, votes over class rasters, lists of names."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import LabelError, LegendError, OutputError
from geoseg.geo.classes import legend_of_classes
from geoseg.geo.label_images import (
    LabelImage,
    bound_cache,
    choose_reading,
    find_label_images,
    open_label_image,
)
from geoseg.geo.legend import Legend
from geoseg.geo.list_files import ListOptions, lists
from geoseg.geo.name_lists import check_stems
from geoseg.geo.outputs import check_output, check_output_folder, publish, publish_folder
from geoseg.geo.png_writer import check_picture, driver_by_suffix
from geoseg.geo.recolor import ColorTable, ignore_color
from geoseg.geo.recolor_files import (
    LEGEND_FILE,
    IndexTables,
    Look,
    Recolored,
    write_colors,
    write_index,
)
from geoseg.geo.relabel_options import RelabelOptions, RelabelResult, named_counts
from geoseg.geo.rle_files import RleOptions, rle_decode, rle_encode
from geoseg.geo.values import list_counts
from geoseg.geo.vote_files import vote
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

    def write(image: LabelImage, path: Path, look: Look | None) -> Recolored:
        table = tables.table_of(image)
        return write_index(image, table, path, overwrite=options.overwrite, look=look)

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
        legend: The classes; None takes the `legend.toml` beside the images, as `to_index` writes
            it, else what the first image tells.
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
        legend = _legend_of_images(images) if legend is None else Legend.open(legend)
    unlabelled = ignore_color(legend, options.ignore_color)
    table = ColorTable(legend, unlabelled, options.unknown, gray=options.gray)

    def write(image: LabelImage, path: Path, look: Look | None) -> Recolored:
        return write_colors(image, table, path, overwrite=options.overwrite, look=look)

    return _relabel(_Work(images, target, legend, options, write), compare, progress or Progress())


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
    write: Callable[[LabelImage, Path, Look | None], Recolored]


def _relabel(work: _Work, compare: str | Path | None, progress: Progress) -> RelabelResult:
    """Write all images; none has its name before all are written, and drawn if they are to be."""
    bound_cache(max(image.grid.width for image in work.images))
    # the picture gets its name last
    with _picture(compare) as picture, _files(work) as files:

        def draw(*written: Path) -> None:
            if picture is not None:
                draw_comparisons(_comparisons(work, written, files), work.legend, picture)

        made: list[Recolored] = []
        with Workers(work.options.jobs) as workers:
            pairs = list(zip(work.images, files, strict=True))
            look = None if work.target.is_folder else draw
            results = workers.map(lambda pair: work.write(*pair, look), pairs)
            made.extend(progress.track(results, "relabel", len(pairs), "image"))
        if work.target.is_folder:
            draw(*files)
    unknown = sum((one.unknown for one in made), Counter[str]())
    if unknown:
        logger.warning(
            "not in the legend, taken as %s: %s",
            *(work.options.unknown, list_counts(unknown, "pixels")),
        )
    return RelabelResult(
        path=work.target.path,
        files=len(made),
        counts=named_counts(sum((one.counts for one in made), Counter[int]()), work.legend),
        unknown=dict(unknown.most_common()),
    )


def _picture(compare: str | Path | None) -> AbstractContextManager[Path | None]:
    """Where the picture is to be drawn."""
    return nullcontext() if compare is None else publish(compare)


def _comparisons(work: _Work, written: Sequence[Path], files: Sequence[Path]) -> list[Comparison]:
    variable = work.options.variable
    return [
        Comparison(before=image.path, after=str(path), name=file.name, variable=variable)
        for image, path, file in zip(work.images, written, files, strict=True)
    ]


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


def _legend_of_images(images: Sequence[LabelImage]) -> Legend:
    beside = {Path(image.path).parent / LEGEND_FILE for image in images}
    if len(beside) == 1 and (path := beside.pop()).is_file():
        logger.info("the classes are those of %s", path)
        return Legend.open(path)
    image = images[0]
    if image.scene is None:
        raise LegendError(image.path, "tells no legend", "Give --legend")
    return legend_of_classes(image.scene)
