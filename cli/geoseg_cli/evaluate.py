"""`geoseg evaluate`: class rasters against labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options

if TYPE_CHECKING:
    from geoseg.geo.labels import LabelOptions


@click.command("evaluate")
@click.argument("predictions", metavar="PRED...", nargs=-1, required=True)
@options.optional_labels
@options.output("Folder for report.html, report.json, pictures and tables.", required=False)
@click.option(
    "--mode",
    type=click.Choice(["global", "per-image"]),
    default="global",
    show_default=True,
    help="Score all pixels together, or average the scores of the scenes.",
)
@click.option(
    "--ignore",
    type=options.comma_list,
    default=None,
    metavar="A,B",
    help="Classes of the labels that do not count, by name or value.",
)
@click.option(
    "--resample",
    is_flag=True,
    help="Take label rasters on another grid by their nearest pixels.",
)
@click.option(
    "--boundary",
    type=options.POSITIVE,
    metavar="M",
    help="Score borders: IoU and F1 within M metres.",
)
@click.option("--objects", is_flag=True, help="Match connected regions at an IoU of 0.5.")
@click.option(
    "--object-classes",
    type=options.comma_list,
    metavar="A,B",
    help="Classes whose regions are objects, by name or value.  [default: all but the background]",
)
@click.option(
    "--object-polygons",
    metavar="P",
    help="Match these polygons, as vectorize writes them, in place of connected regions of the "
    "map: a file, a folder (matched by stem), or a {stem} pattern.",
)
@click.option(
    "--object-field",
    default="class_name",
    show_default=True,
    metavar="A",
    help="Attribute of these polygons that tells the class.",
)
@click.option(
    "--object-sizes",
    type=options.number_list,
    default="100,1000,10000",
    show_default=True,
    metavar="M2,M2",
    help="Areas that part small objects from larger ones.",
)
@click.option(
    "--probabilities",
    metavar="P",
    help="Score the calibration of probabilities: a file, a folder (matched by name), or a "
    "{stem} pattern.",
)
@click.option("--area", is_flag=True, help="Tell the areas of the classes.")
@click.option(
    "--sample",
    metavar="POINTS",
    help="Estimate areas and accuracies with their errors from interpreted points, as "
    "`geoseg sample` draws them.",
)
@click.option(
    "--sample-field",
    default="reference",
    show_default=True,
    metavar="A",
    help="Attribute of the points that tells the class.",
)
@click.option(
    "--images",
    metavar="P",
    help="Show scenes beside the worst and best windows: a file, a folder (matched by name or "
    "stem), or a {stem} pattern.",
)
@click.option(
    "--windows",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="Windows to show of the worst, and of the best.",
)
@options.assume_crs
@options.as_json
@options.messages
def command(
    predictions: tuple[str, ...],
    labels: str | None,
    legend: str | None,
    label_options: LabelOptions,
    output: Path | None,
    overwrite: bool,
    mode: Literal["global", "per-image"],
    ignore: tuple[str, ...] | None,
    resample: bool,
    boundary: float | None,
    objects: bool,
    object_classes: tuple[str, ...] | None,
    object_polygons: str | None,
    object_field: str,
    object_sizes: tuple[float, ...],
    probabilities: str | None,
    area: bool,
    sample: str | None,
    sample_field: str,
    images: str | None,
    windows: int,
    assume_crs: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Compare class rasters with labels.

    PRED is a file, URL, glob, folder, or @list.txt. Pixels count where both sides have a class.
    With --sample, labels may be left out.
    """
    if labels is None and sample is None:
        raise click.UsageError("Missing option '--labels' (or '--sample').")
    from geoseg.evaluate import EvaluateOptions, evaluate

    chosen = EvaluateOptions(
        legend=legend,
        labels=label_options,
        mode=mode,
        ignore=ignore or (),
        resample=resample,
        boundary=boundary,
        objects=objects,
        object_classes=object_classes,
        object_polygons=object_polygons,
        object_field=object_field,
        object_sizes=object_sizes,
        probabilities=probabilities,
        area=area,
        sample=sample,
        sample_field=sample_field,
        images=images,
        windows=windows,
        assume_crs=assume_crs,
        overwrite=overwrite,
    )
    report = evaluate(predictions, labels, output, chosen, progress=progress)
    if as_json:
        options.print_json(report.to_dict())
    else:
        click.echo(report.to_text())
