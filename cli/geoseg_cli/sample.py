"""`geoseg sample`: points to interpret, by lot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options


@click.command("sample")
@click.argument("classes", metavar="CLASSES.tif")
@options.output("Points to interpret: a .gpkg.")
@click.option(
    "--count", type=int, default=500, show_default=True, metavar="N", help="Points in all."
)
@click.option(
    "--min-per-class",
    type=int,
    default=50,
    show_default=True,
    metavar="N",
    help="Points of each class at least; the others are dealt in proportion to area.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Equal seeds draw equal points."
)
@click.option(
    "--show-class",
    is_flag=True,
    help="Write the map's class into the file; an interpreter who knows it is biased.",
)
@click.option("--legend", metavar="FILE", help="Classes.  [default: what the raster tells]")
@options.assume_crs
@options.as_json
@options.messages
def command(
    classes: str,
    output: Path,
    overwrite: bool,
    count: int,
    min_per_class: int,
    seed: int,
    show_class: bool,
    legend: str | None,
    assume_crs: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Draw places of a class raster for somebody to tell what is really there.

    The sample is random and stratified by the classes of the map. Write what you see at each
    point into the field "reference", then give the file to `geoseg evaluate --sample`.
    """
    from geoseg.sample import SampleOptions, sample

    result = sample(
        classes,
        output,
        SampleOptions(
            count=count,
            min_per_class=min_per_class,
            seed=seed,
            show_class=show_class,
            assume_crs=assume_crs,
            overwrite=overwrite,
        ),
        legend=legend,
        progress=progress,
    )
    if as_json:
        options.print_json(asdict(result))
        return
    click.echo(f"{classes} -> {result.path}")
    for name, number in result.points.items():
        click.echo(f"  {name:<20} {number:>6} points of {result.areas[name]:>16,.1f} {result.unit}")
