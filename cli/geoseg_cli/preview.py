"""`geoseg preview`: a quick look at rasters and polygons."""

from __future__ import annotations

from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options


@click.command("preview")
@click.argument("rasters", metavar="RASTER...", nargs=-1, required=True)
@options.output("PNG file to write.")
@click.option("--classes", metavar="C", help="Class raster to lay over the first scene.")
@click.option(
    "--opacity",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    metavar="A",
    help="How much those classes hide of the scene, 0 to 1.",
)
@click.option("--polygons", metavar="F", help="Polygons to outline.")
@click.option("--legend", metavar="F", help="Names and colours of classes.")
@click.option("--title", default="", help="Headline.")
@click.option(
    "--size",
    type=click.IntRange(200, 20000),
    default=1500,
    show_default=True,
    help="Width of the picture, pixels.",
)
@click.option(
    "--stretch",
    type=options.number_list,
    default="1,99",
    show_default=True,
    metavar="P,P",
    help="Percentiles of a scene's values that become black and white.",
)
@options.assume_crs
@options.trust
@options.messages
def command(
    rasters: tuple[str, ...],
    output: Path,
    overwrite: bool,
    classes: str | None,
    opacity: float,
    polygons: str | None,
    legend: str | None,
    title: str,
    size: int,
    stretch: tuple[float, ...],
    assume_crs: str | None,
    trust_vrt: bool,
    allow_remote: bool,
    progress: Progress,
) -> None:
    """Draw a quick look of rasters and polygons, with legend and scale bar.

    Scenes are stretched, class rasters get their colours; several are drawn side by side. What
    is laid over a scene lies on a single one, or gets a panel of its own.
    """
    from geoseg.geo.legend import Legend
    from geoseg.geo.paths import find_scenes
    from geoseg.reports.preview import PreviewOptions, preview

    del progress  # nothing here takes long
    if len(stretch) != 2:
        raise click.BadParameter("two percentiles are wanted, such as 2,98", param_hint="--stretch")
    written = preview(
        find_scenes(rasters, allow_remote=allow_remote),
        output,
        classes=classes,
        polygons=polygons,
        legend=Legend.open(legend) if legend else None,
        options=PreviewOptions(
            title=title,
            size=size,
            opacity=opacity,
            stretch=(stretch[0], stretch[1]),
            assume_crs=assume_crs,
            trust_vrt=trust_vrt,
            allow_remote=allow_remote,
        ),
        overwrite=overwrite,
    )
    click.echo(f"Wrote {written}")
