"""`geoseg vectorize`: polygons from class rasters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options

_LENGTH = click.FloatRange(min=0)


@click.command("vectorize")
@click.argument("classes", metavar="CLASSES.tif...", nargs=-1, required=True)
@options.output("Polygons: .gpkg, .fgb, .parquet, .geojson, .geojsonl or .shp.")
@click.option("--append", is_flag=True, help="Add to the layer in the output, if it is there.")
@click.option(
    "--merge",
    is_flag=True,
    help="Take several rasters of one lattice as one: polygons go on over their borders.",
)
@click.option(
    "--classes",
    "chosen",
    type=options.comma_list,
    metavar="A,B",
    help="Classes that become polygons, by name or value.  [default: all]",
)
@click.option(
    "--connectivity",
    type=click.Choice(["4", "8"]),
    default="4",
    show_default=True,
    help="Pixels of a polygon touch along a side, or (8) at a corner too.",
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
@click.option("--smooth", is_flag=True, help="Round corners; shared borders stay shared.")
@click.option(
    "--regularize", is_flag=True, help="Give outlines right angles, as buildings have them."
)
@click.option(
    "--probabilities",
    multiple=True,
    metavar="P.tif|DIR",
    help="Probability raster, for the column mean_prob; or a folder with one of each name.",
)
@click.option("--margin", is_flag=True, help="Tell the margin to the second class too.")
@click.option("--legend", metavar="FILE", help="Classes.  [default: what the rasters tell]")
@options.assume_crs
@options.as_json
@options.messages
def command(
    classes: tuple[str, ...],
    output: Path,
    overwrite: bool,
    append: bool,
    merge: bool,
    chosen: tuple[str, ...] | None,
    connectivity: Literal["4", "8"],
    min_area: float,
    fill_holes: float,
    simplify: float,
    smooth: bool,
    regularize: bool,
    probabilities: tuple[str, ...],
    margin: bool,
    legend: str | None,
    assume_crs: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Turn a class raster into polygons with class, true area and confidence, or several.

    The polygons share their borders, without gaps or overlaps. Areas are in square metres;
    where the raster has no CRS, in pixels. Rasters of any height will do.
    """
    from geoseg.vectorize import VectorizeOptions, vectorize

    result = vectorize(
        classes,
        output,
        VectorizeOptions(
            classes=chosen,
            connectivity=8 if connectivity == "8" else 4,
            min_area=min_area,
            fill_holes=fill_holes,
            simplify=simplify,
            smooth=smooth,
            regularize=regularize,
            margin=margin,
            merge=merge,
            append=append,
            assume_crs=assume_crs,
            overwrite=overwrite,
        ),
        probabilities=probabilities[0] if len(probabilities) == 1 else probabilities or None,
        legend=legend,
        progress=progress,
    )
    if as_json:
        options.print_json(asdict(result))
        return
    click.echo(f"{', '.join(classes)} -> {result.path}")
    for name, count in result.counts.items():
        click.echo(f"  {name:<20} {count:>8} polygons  {result.areas[name]:>16,.1f} {result.unit}")
