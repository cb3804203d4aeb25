"""`geoseg mosaic`: many scenes made into one."""

from __future__ import annotations

from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options


@click.command("mosaic")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@options.output("VRT to write (.vrt).")
@click.option(
    "--assets",
    type=options.comma_list,
    metavar="red,green,...",
    help="Assets or bands of STAC items, by name, in this order.",
)
@options.assume_crs
@options.trust
@options.jobs
@options.messages
def command(
    scenes: tuple[str, ...],
    output: Path,
    overwrite: bool,
    assets: tuple[str, ...] | None,
    assume_crs: str | None,
    trust_vrt: bool,
    allow_remote: bool,
    jobs: int | None,
    progress: Progress,
) -> None:
    """Make one scene of many that lie on the same pixels; nothing is copied.

    SCENE is a file, URL, glob, folder, @list.txt, a tile index (*.gti.gpkg) or a file of STAC
    items (*.json). Where scenes overlap, the later one counts wherever it has data.
    """
    from geoseg.mosaic import MosaicOptions, mosaic

    del progress  # nothing here takes long
    chosen = MosaicOptions(
        assets=assets or (),
        assume_crs=assume_crs,
        trust_vrt=trust_vrt,
        allow_remote=allow_remote,
        jobs=jobs,
        overwrite=overwrite,
    )
    made = mosaic(scenes, output, chosen)
    click.echo(f"Wrote {output}: {made.grid.width} x {made.grid.height} pixels, {made.count} bands")
