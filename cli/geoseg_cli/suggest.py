"""`geoseg suggest`: where to label next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.loading import loading

if TYPE_CHECKING:
    from geoseg.geo.raster import SceneOptions


@click.command("suggest")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option(
    "-m",
    "--model",
    "models",
    required=True,
    multiple=True,
    metavar="BUNDLE",
    help="The trained model; several of the same classes are combined.",
)
@options.output("Squares to label, such as places.gpkg.")
@click.option("--count", type=int, default=20, show_default=True, help="Places at most.")
@click.option(
    "--size",
    type=float,
    metavar="M",
    help="Side of a place in metres (pixels without a CRS).  [default: the model's window]",
)
@click.option(
    "--measure",
    type=click.Choice(["entropy", "margin", "disagreement"]),
    default="entropy",
    show_default=True,
    help="What counts as doubt.",
)
@click.option(
    "--labelled",
    metavar="FILE",
    help="Polygons of ground that is labelled already, such as a tile set's index.gpkg.",
)
@click.option(
    "--min-valid",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Least share of a place with data.",
)
@click.option(
    "--tta",
    type=click.Choice(["none", "flip", "d4"]),
    default="none",
    show_default=True,
    help="Look at each window mirrored and turned, too.",
)
@click.option("--aoi", metavar="FILE", help="Choose inside these polygons only.")
@click.option("--scale", type=float, metavar="F", help="Multiply pixel values by F.")
@options.scene
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@options.as_json
@options.messages
def command(
    scenes: tuple[str, ...],
    models: tuple[str, ...],
    output: Path,
    overwrite: bool,
    count: int,
    size: float | None,
    measure: Literal["entropy", "margin", "disagreement"],
    labelled: str | None,
    min_valid: float,
    tta: Literal["none", "flip", "d4"],
    aoi: str | None,
    scale: float | None,
    scene: SceneOptions,
    device: str,
    as_json: bool,
    progress: Progress,
) -> None:
    """Rank the places that are worth labelling next.

    These stand for most of what the model is unsure of or what looks like no label yet.
    SCENE is a file, URL, glob, folder, or @list.txt. The squares open in QGIS; rank 1 is the best.
    """
    with loading():
        from geoseg.engine.options import PredictOptions
        from geoseg.suggest import SuggestOptions, suggest

    places = suggest(
        scenes,
        models,
        output,
        SuggestOptions(
            count=count,
            size=size,
            measure=measure,
            labelled=labelled,
            min_valid=min_valid,
            predict=PredictOptions(tta=tta, aoi=aoi, scale=scale, scene=scene, device=device),
            overwrite=overwrite,
        ),
        progress=progress,
    )
    if as_json:
        options.print_json([asdict(place) for place in places])
        return
    click.echo(f"{len(places)} places -> {output}")
    for place in places:
        row, col, height, width = place.window
        click.echo(
            f"  {place.rank:>3}  score {place.choice.score:.3f}  {place.class_name:<16} "
            f"{place.scene}  row {row} col {col}  {width} x {height} px"
        )
