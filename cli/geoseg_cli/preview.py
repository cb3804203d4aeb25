"""`geoseg preview`: a quick look at rasters and polygons."""

from __future__ import annotations

from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options


@click.command("preview")
@click.argument("rasters", metavar="RASTER...", nargs=-1, required=True)
@options.output("PNG file to write.")
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
@options.assume_crs
@options.messages
def command(
    rasters: tuple[str, ...],
    output: Path,
    overwrite: bool,
    polygons: str | None,
    legend: str | None,
    title: str,
    size: int,
    assume_crs: str | None,
    progress: Progress,
) -> None:
    """Draw a quick look of rasters and polygons, with legend and scale bar.

    Scenes are stretched, class rasters get their colours; several are drawn side by side.
    """
    from geoseg.geo.legend import Legend
    from geoseg.geo.paths import find_scenes
    from geoseg.reports.preview import PreviewOptions, preview

    del progress  # nothing here takes long
    written = preview(
        find_scenes(rasters),
        output,
        polygons=polygons,
        legend=Legend.open(legend) if legend else None,
        options=PreviewOptions(title=title, size=size, assume_crs=assume_crs),
        overwrite=overwrite,
    )
    click.echo(f"Wrote {written}")
