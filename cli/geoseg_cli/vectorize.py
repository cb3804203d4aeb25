"""`geoseg vectorize`: polygons from a class raster."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options

_LENGTH = click.FloatRange(min=0)


@click.command("vectorize")
@click.argument("classes", metavar="CLASSES.tif")
@options.output("Polygons: .gpkg, .fgb, .parquet, .geojson or .shp.")
@click.option(
    "--classes",
    "chosen",
    type=options.comma_list,
    metavar="A,B",
    help="Classes that become polygons, by name or value.  [default: all]",
)
@click.option(
    "--min-area",
    type=_LENGTH,
    default=0.0,
    metavar="M2",
    help="Give regions below this area to a neighbour.",
)
@click.option(
    "--fill-holes", type=_LENGTH, default=0.0, metavar="M2", help="Fill holes below this area."
)
@click.option(
    "--simplify",
    type=_LENGTH,
    default=0.0,
    metavar="M",
    help="Simplify borders by this tolerance; shared ones stay shared.",
)
@click.option(
    "--probabilities", metavar="P.tif", help="Probability raster, for the column mean_prob."
)
@click.option("--legend", metavar="FILE", help="Classes.  [default: what the raster tells]")
@options.assume_crs
@options.as_json
@options.messages
def command(
    classes: str,
    output: Path,
    overwrite: bool,
    chosen: tuple[str, ...] | None,
    min_area: float,
    fill_holes: float,
    simplify: float,
    probabilities: str | None,
    legend: str | None,
    assume_crs: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Turn a class raster into polygons with class, true area and confidence.

    The polygons share their borders, without gaps or overlaps. Areas are in square metres;
    where the raster has no CRS, in pixels.
    """
    from geoseg.vectorize import VectorizeOptions, vectorize

    result = vectorize(
        classes,
        output,
        VectorizeOptions(
            classes=chosen,
            min_area=min_area,
            fill_holes=fill_holes,
            simplify=simplify,
            assume_crs=assume_crs,
            overwrite=overwrite,
        ),
        probabilities=probabilities,
        legend=legend,
        progress=progress,
    )
    if as_json:
        options.print_json(asdict(result))
        return
    click.echo(f"{classes} -> {result.path}")
    for name, count in result.counts.items():
        click.echo(f"  {name:<20} {count:>8} polygons  {result.areas[name]:>16,.1f} {result.unit}")
