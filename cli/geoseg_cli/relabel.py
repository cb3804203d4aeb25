"""`geoseg relabel`: label images from one coding to another, votes, lists of names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options

if TYPE_CHECKING:
    from geoseg.relabel import RelabelResult

_UNKNOWN = ["refuse", "ignore", "background", "nearest"]
_FORMAT = click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "tif"]),
    default="png",
    show_default=True,
    help="Files of an output folder.",
)
_IGNORE_COLOR = click.option(
    "--ignore-color", metavar="#RRGGBB", help="Colour of what is not labelled.  [default: #e0e0c0]"
)
_COMPARE = click.option(
    "--compare", metavar="P.png", help="Draw the first images before and after."
)
_SEVERAL = "LABELS..."


def _recoding(command: Callable[..., None]) -> Callable[..., None]:
    """The last options of both `to-index` and `to-color`, in this order."""
    shared = (_COMPARE, _FORMAT, options.assume_crs, options.jobs)
    for option in reversed((*shared, options.as_json, options.messages)):
        command = option(command)
    return command


def _pair(text: str) -> tuple[int, int]:
    parts = options.comma_list(text)
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is not of the form HEIGHT,WIDTH.")
    return int(parts[0]), int(parts[1])


@click.group("relabel")
def command() -> None:
    """Recode label images, write run lengths, vote, deal names to lists."""


@command.command("to-index")
@click.argument("labels", metavar=_SEVERAL, nargs=-1, required=True)
@options.output("A .tif or .png for one image, else a folder.")
@click.option(
    "--legend", required=True, metavar="F", help="Classes: TOML, QML, or a raster with colours."
)
@click.option(
    "--by",
    type=click.Choice(["auto", "value", "color"]),
    default="auto",
    show_default=True,
    help="What gray and paletted images hold: values or colours.",
)
@click.option(
    "--unknown",
    type=click.Choice(_UNKNOWN),
    default="refuse",
    show_default=True,
    help="What becomes of colours and values that are not in the legend.",
)
@_IGNORE_COLOR
@click.option("--variable", metavar="NAME", help="Array of .mat files, such as GTcls.Segmentation.")
@_recoding
def to_index_command(
    labels: tuple[str, ...],
    output: Path,
    overwrite: bool,
    legend: str,
    by: Literal["auto", "value", "color"],
    compare: str | None,
    as_json: bool,
    progress: Progress,
    file_format: Literal["png", "tif"],
    **chosen: Any,  # noqa: ANN401 - fields of RelabelOptions under their own names
) -> None:
    """Turn coloured, gray, paletted or .mat label images into class values."""
    from geoseg.relabel import RelabelOptions, to_index

    reading = None if by == "auto" else by
    given = RelabelOptions(by=reading, format=file_format, overwrite=overwrite, **chosen)
    result = to_index(labels, output, legend, given, compare=compare, progress=progress)
    _tell(result, as_json)


@command.command("to-color")
@click.argument("labels", metavar=_SEVERAL, nargs=-1, required=True)
@options.output("A .tif or .png for one image, else a folder.")
@click.option(
    "--legend",
    metavar="F",
    help="Classes.  [default: legend.toml beside the images, else what the first tells]",
)
@click.option(
    "--unknown",
    type=click.Choice(_UNKNOWN[:3]),
    default="refuse",
    show_default=True,
    help="What becomes of values that are not in the legend.",
)
@_IGNORE_COLOR
@click.option("--gray", is_flag=True, help="Write grays as one band.")
@_recoding
def to_color_command(
    labels: tuple[str, ...],
    output: Path,
    overwrite: bool,
    legend: str | None,
    compare: str | None,
    as_json: bool,
    progress: Progress,
    file_format: Literal["png", "tif"],
    **chosen: Any,  # noqa: ANN401 - fields of RelabelOptions under their own names
) -> None:
    """Turn class values into the colours of the legend."""
    from geoseg.relabel import RelabelOptions, to_color

    given = RelabelOptions(format=file_format, overwrite=overwrite, **chosen)
    result = to_color(labels, output, legend, given, compare=compare, progress=progress)
    _tell(result, as_json)


@command.command("rle-encode")
@click.argument("masks", metavar="MASKS...", nargs=-1, required=True)
@options.output("Table to write: name<TAB>start length start length ...")
@click.option(
    "--value", type=int, metavar="V", help="Value of the pixels that count.  [default: all but 0]"
)
@click.option("--suffix", metavar=".jpg", help="Suffix of the names.  [default: that of the masks]")
@click.option("--sample", metavar="CSV", help="Table whose names and order the new one gets.")
@options.jobs
@options.as_json
@options.messages
def rle_encode_command(
    masks: tuple[str, ...],
    output: Path,
    sample: str | None,
    as_json: bool,
    progress: Progress,
    **chosen: Any,  # noqa: ANN401 - fields of RleOptions under their own names
) -> None:
    """Write masks as run lengths, column by column from 1, one line each."""
    from geoseg.relabel import RleOptions, rle_encode

    count = rle_encode(masks, output, RleOptions(**chosen), sample=sample, progress=progress)
    _tell_count(output, count, "masks", as_json)


@command.command("rle-decode")
@click.argument("table", metavar="TABLE.csv")
@options.output("Folder of the masks.")
@click.option("--images", metavar="DIR", help="Images that tell the sizes of the masks.")
@click.option(
    "--size",
    type=_pair,
    default="512,512",
    show_default=True,
    metavar="H,W",
    help="Size of the masks, where no images tell it.",
)
@click.option(
    "--value", type=click.IntRange(1, 255), default=1, show_default=True, help="Value of the runs."
)
@click.option("--name-column", metavar="NAME", help="Column of image names.  [default: the first]")
@click.option("--runs-column", metavar="NAME", help="Column of run lengths.  [default: the second]")
@options.jobs
@options.as_json
@options.messages
def rle_decode_command(
    table: str,
    output: Path,
    images: str | None,
    as_json: bool,
    progress: Progress,
    **chosen: Any,  # noqa: ANN401 - fields of RleOptions under their own names
) -> None:
    """Write the masks of a table of run lengths as PNGs."""
    from geoseg.relabel import RleOptions, rle_decode

    count = rle_decode(table, output, RleOptions(**chosen), images=images, progress=progress)
    _tell_count(output, count, "masks", as_json)


@command.command("vote")
@click.argument("rasters", metavar="CLASSES.tif...", nargs=-1, required=True)
@options.output("Class raster: .tif or .png.")
@click.option(
    "--weights", type=options.number_list, metavar="W,W,...", help="Weight of each raster."
)
@click.option(
    "--rule",
    type=click.Choice(["weighted", "majority", "unanimous"]),
    default="weighted",
    show_default=True,
    help="What wins: the larger sum of weights, more rasters, or what all agree on.",
)
@click.option("--legend", metavar="F", help="Classes.  [default: what the rasters tell]")
@options.assume_crs
@options.as_json
@options.messages
def vote_command(
    rasters: tuple[str, ...],
    output: Path,
    overwrite: bool,
    weights: tuple[float, ...] | None,
    rule: Literal["weighted", "majority", "unanimous"],
    legend: str | None,
    assume_crs: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Combine class rasters of one grid by a vote on every pixel."""
    from geoseg.relabel import RelabelOptions, vote

    given = RelabelOptions(assume_crs=assume_crs, overwrite=overwrite)
    result = vote(
        rasters,
        output,
        weights=weights,
        rule=rule,
        legend=legend,
        options=given,
        progress=progress,
    )
    _tell(result, as_json)


@command.command("lists")
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True)
@options.output("Folder of train.txt, val.txt and test.txt.")
@click.option("--labels", metavar="L", help="Folder or {stem} pattern; each image must have one.")
@click.option(
    "--split",
    type=options.number_list,
    default="0.7,0.2,0.1",
    show_default=True,
    metavar="T,V,E",
    help="Shares of train, val and test.",
)
@click.option(
    "--by",
    type=click.Choice(["auto", "file", "region"]),
    default="auto",
    show_default=True,
    help="Deal files by chance, or blocks of ground; auto: ground where all have a CRS.",
)
@click.option("--block", type=int, metavar="PX", help="Side of a block.  [default: chosen]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the deal.")
@click.option(
    "--entry",
    type=click.Choice(["stem", "name", "pair"]),
    default="stem",
    show_default=True,
    help="What a line says; pair: image and label.",
)
@options.as_json
@options.messages
def lists_command(
    images: tuple[str, ...],
    output: Path,
    labels: str | None,
    split: tuple[float, ...],
    as_json: bool,
    progress: Progress,
    **chosen: Any,  # noqa: ANN401 - fields of ListOptions under their own names
) -> None:
    """Deal images to train, val and test, and write lists of their names."""
    from geoseg.relabel import ListOptions, lists

    del progress  # quick enough
    if len(split) != 3:
        raise click.BadParameter(
            f"{len(split)} shares; give three, of train, val and test.", param_hint="'--split'"
        )
    shares = split[0], split[1], split[2]
    dealt = lists(images, output, ListOptions(split=shares, **chosen), labels=labels)
    if as_json:
        options.print_json(asdict(dealt))
        return
    click.echo(f"dealt by {dealt.by} -> {output}")
    for name, paths in dealt.paths.items():
        click.echo(f"  {name:<6} {len(paths):>8} images")
    if dealt.left_out:
        click.echo(f"  {len(dealt.left_out)} images show ground of several and are left out")


def _tell(result: RelabelResult, as_json: bool) -> None:
    if as_json:
        options.print_json(asdict(result))
        return
    click.echo(f"{result.files} images -> {result.path}")
    total = max(sum(result.counts.values()), 1)
    for name, pixels in result.counts.items():
        click.echo(f"  {name:<20} {pixels:>14} pixels  {pixels / total:7.2%}")


def _tell_count(output: Path, count: int, unit: str, as_json: bool) -> None:
    if as_json:
        options.print_json({"path": output, unit: count})
    else:
        click.echo(f"{count} {unit} -> {output}")
