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
@options.labels
@options.output("Folder for report.json.", required=False)
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
@options.assume_crs
@options.as_json
@options.messages
def command(
    predictions: tuple[str, ...],
    labels: str,
    legend: str | None,
    label_options: LabelOptions,
    output: Path | None,
    overwrite: bool,
    mode: Literal["global", "per-image"],
    ignore: tuple[str, ...] | None,
    assume_crs: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Compare class rasters with labels.

    PRED is a file, URL, glob, folder, or @list.txt. Pixels count where both sides have a class.
    """
    from geoseg.evaluate import EvaluateOptions, evaluate

    chosen = EvaluateOptions(
        legend=legend,
        labels=label_options,
        mode=mode,
        ignore=ignore or (),
        assume_crs=assume_crs,
        overwrite=overwrite,
    )
    report = evaluate(predictions, labels, output, chosen, progress=progress)
    if as_json:
        options.print_json(report.to_dict())
    else:
        click.echo(report.to_text())
