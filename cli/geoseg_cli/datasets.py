"""`geoseg datasets`: published data sets and the user's own, looked through and tiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from geoseg.errors import LabelError
from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.tile import class_weights, print_tiles

if TYPE_CHECKING:
    from geoseg.geo.dataset_check import DatasetReport
    from geoseg.geo.dataset_tables import Description

_WIDTH = 12
_SHARE = click.FloatRange(0, 1)
_MOST_FAULTS = 20
"""Faults of a kind that are printed; --json has all."""


@click.group("datasets")
def command() -> None:
    """List, check and tile published data sets, or your own.

    NAME is a data set of `geoseg datasets list`, or a TOML file that describes yours. ROOT is the
    folder that it was unpacked in.
    """


@command.command("list")
@options.as_json
@options.messages
def list_command(as_json: bool, progress: Progress) -> None:
    """List the data sets that geoseg knows."""
    from geoseg.datasets import list_datasets

    del progress
    described = [_summary(each) for each in list_datasets()]
    if as_json:
        options.print_json(described)
        return
    rows = [("name", "classes", "labels", "splits", "title")]
    rows += [
        (d["name"], str(d["classes"]), d["labels"], ", ".join(d["splits"]), d["title"])
        for d in described
    ]
    click.echo("\n".join(_table(rows)))


@command.command("show")
@click.argument("name", metavar="NAME")
@click.argument("root", metavar="[ROOT]", required=False)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Draw some images of ROOT with their labels into this picture.",
)
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists.")
@options.as_json
@options.messages
def show_command(
    name: str,
    root: str | None,
    sheet: Path | None,
    overwrite: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Show what a data set is, and how to get it; with --sheet also how it looks."""
    from geoseg.geo.dataset_description import open_description

    del progress
    if (root is None) != (sheet is None):
        raise click.UsageError("A sheet is drawn of a folder; give both ROOT and --sheet.")
    description = open_description(name)
    if root is not None and sheet is not None:
        from geoseg.reports.dataset_sheet import draw_dataset_sheet

        draw_dataset_sheet(description, root, sheet, overwrite=overwrite)
    if as_json:
        options.print_json(_everything(description))
    else:
        click.echo("\n".join(_lines(description)))


@command.command("check")
@click.argument("name", metavar="NAME")
@click.argument("root", metavar="ROOT")
@options.jobs
@options.as_json
@options.messages
def check_command(
    name: str, root: str, jobs: int | None, as_json: bool, progress: Progress
) -> None:
    """Look through a data set: pairs, sizes, classes, and all that is wrong.

    Every image is opened and every label read. Ends with 2 if anything is wrong.
    """
    from geoseg.datasets import check_dataset

    report = check_dataset(name, root, jobs=jobs, progress=progress)
    if as_json:
        options.print_json(report.to_dict())
    else:
        click.echo("\n".join(_report_lines(report)))
    if report.faults:
        count = len(report.faults)
        raise LabelError(root, f"{count} fault{'s' * (count > 1)} in {report.name}", "Mend them")


@command.command("tile")
@click.argument("name", metavar="NAME")
@click.argument("root", metavar="ROOT")
@options.output("Folder of the tile set.")
@options.cutting
@click.option(
    "--val-share",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Share of the train images for val, where the data set has no val.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--min-valid",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Least share of a tile with data.",
)
@click.option(
    "--min-labelled",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Least share of a tile with labels.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["tif", "png", "npy"]),
    default="tif",
    show_default=True,
    help="Files of the tiles.",
)
@click.option("--skip-faults", is_flag=True, help="Leave out images with faults, and go on.")
@options.jobs
@options.as_json
@options.messages
def tile_command(
    name: str,
    root: str,
    output: Path,
    overwrite: bool,
    method: Literal["stride", "random", "balanced"],
    size: int,
    stride: int | None,
    count: int,
    weights: tuple[tuple[str, str], ...],
    val_share: float,
    seed: int,
    min_valid: float,
    min_labelled: float,
    file_format: Literal["tif", "png", "npy"],
    skip_faults: bool,
    jobs: int | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Cut a data set into training tiles; its own splits are kept."""
    from geoseg.datasets import DatasetTileOptions, tile_dataset

    chosen = DatasetTileOptions(
        method=method,
        size=size,
        stride=stride,
        count=count,
        weights=class_weights(weights),
        val_share=val_share,
        seed=seed,
        min_valid=min_valid,
        min_labelled=min_labelled,
        format=file_format,
        skip_faults=skip_faults,
        jobs=jobs,
        overwrite=overwrite,
    )
    tiles = tile_dataset(name, root, output, chosen, progress=progress)
    if as_json:
        from geoseg.info import describe

        options.print_json(describe(tiles.root))
    else:
        print_tiles(tiles)


def _summary(description: Description) -> dict[str, Any]:
    return {
        "name": description.name,
        "title": description.title,
        "classes": description.legend.count,
        "ignore": description.legend.ignore,
        "labels": description.labels.encoding,
        "bands": list(description.images.bands),
        "resolution_m": description.images.resolution,
        "splits": list(description.used_splits),
    }


def _everything(description: Description) -> dict[str, Any]:
    tables = description.model_dump(mode="json", exclude_none=True)
    return {**tables, "legend": description.legend.to_dict()}


def _lines(description: Description) -> Iterator[str]:
    """What a person wants to know before getting the data set."""
    about, images, legend = description.about, description.images, description.legend
    yield description.title
    if description.description:
        yield description.description
    yield ""
    resolution = "" if images.resolution is None else f", {images.resolution:g} m"
    yield _line("images", ", ".join(images.bands) + resolution)
    yield _line("labels", description.labels.encoding)
    for split in description.used_splits:
        for part in description.parts(split):
            count = "" if part.pairs is None else f"{part.pairs} pairs: "
            yield _line(split, f"{count}{part.images or part.list_}")
            yield _line("", part.labels or ("" if part.list_of == "pairs" else "(no labels)"))
    if not about.licence and about.page:
        yield _line("licence", "not known here; see the page")
    for key, value in about.model_dump().items():
        values = value if isinstance(value, tuple | list) else [value]
        for place, text in enumerate(filter(None, values)):
            yield _line("" if place else key, text)
    yield ""
    yield _line("ignore", str(legend.ignore))
    for entry in legend.classes:
        sources = ", ".join(map(str, entry.sources))
        yield _line("", f"{entry.value:>5}  {entry.color}  {entry.name:<24} {sources}".rstrip())


def _report_lines(report: DatasetReport) -> Iterator[str]:
    yield f"{report.name} in {report.root}"
    for split, count in report.pairs.items():
        unlabelled = report.unlabelled[split]
        more = f", {unlabelled} images without labels" if unlabelled else ""
        yield _line(split, f"{count} pairs{more}")
        if count:
            yield _line("", _shares(report.class_pixels[split], report.ignored[split]))
    sizes = list(report.sizes.items())
    told = ", ".join(f"{size} ({count})" for size, count in sizes[:5])
    rest = f" and {len(sizes) - 5} other sizes" if len(sizes) > 5 else ""
    if sizes:
        yield _line("sizes", f"{told}{rest}, {report.dtype}")
    if report.unknown:
        unknown = list(report.unknown.items())
        told = ", ".join(f"{key} ({pixels} pixels)" for key, pixels in unknown[:_MOST_FAULTS])
        rest = f" and {len(unknown) - _MOST_FAULTS} more" if len(unknown) > _MOST_FAULTS else ""
        yield _line("unknown", told + rest)
    yield from (_line("note", note) for note in report.notes)
    for kind in dict.fromkeys(fault.kind for fault in report.faults):
        faults = [fault for fault in report.faults if fault.kind == kind]
        yield f"{kind}: {len(faults)}"
        yield from (f"  {fault}" for fault in faults[:_MOST_FAULTS])
        if len(faults) > _MOST_FAULTS:
            yield f"  and {len(faults) - _MOST_FAULTS} more; --json lists them"


def _shares(pixels: Mapping[str, int], ignored: int) -> str:
    total = max(sum(pixels.values()), 1)
    shares = ", ".join(f"{name} {count / total:.1%}" for name, count in pixels.items())
    return f"{shares}; without a class {ignored / max(total + ignored, 1):.1%}"


def _line(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}} {text}".rstrip()


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield "  ".join([*cells, row[-1]]).rstrip()
