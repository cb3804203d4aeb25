"""`geoseg tile`: training tiles from labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options

if TYPE_CHECKING:
    from geoseg.geo.labels import LabelOptions
    from geoseg.geo.raster import SceneOptions
    from geoseg.geo.tileset import TileSet

_SHARE = click.FloatRange(0, 1)


@click.command("tile")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@options.labels
@options.output("Folder of the tile set.")
@options.cutting
@click.option(
    "--split",
    type=options.number_list,
    default="0.7,0.2,0.1",
    show_default=True,
    metavar="T,V,E",
    help="Shares of train, val and test.",
)
@click.option(
    "--split-by",
    default="block",
    show_default=True,
    metavar="WHAT",
    help='"block", "scene", or a file of polygons with a column `split`.',
)
@click.option("--block", type=int, metavar="PX", help="Side of a block.  [default: chosen]")
@click.option(
    "--guard",
    type=int,
    default=0,
    show_default=True,
    metavar="PX",
    help="Keep tiles this far off the ground of other splits.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--min-valid",
    type=_SHARE,
    default=0.5,
    show_default=True,
    help="Least share of a tile with data.",
)
@click.option(
    "--min-labelled",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Least share of a tile with labels.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["tif", "png", "npy"]),
    default="tif",
    show_default=True,
    help="Files of the tiles.",
)
@options.scene
@options.jobs
@options.cluster
@options.as_json
@options.messages
def command(
    scenes: tuple[str, ...],
    labels: str,
    legend: str | None,
    label_options: LabelOptions,
    output: Path,
    overwrite: bool,
    method: Literal["stride", "random", "balanced"],
    size: int,
    stride: int | None,
    count: int,
    weights: tuple[tuple[str, str], ...],
    split: tuple[float, ...],
    split_by: str,
    block: int | None,
    guard: int,
    seed: int,
    min_valid: float,
    min_labelled: float,
    file_format: Literal["tif", "png", "npy"],
    scene: SceneOptions,
    jobs: int | None,
    cluster: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Cut labelled scenes into training tiles.

    No ground is in two splits. The folder holds images, masks, lists, statistics, and
    index.gpkg, which shows in QGIS what was cut where.
    """
    from geoseg.tile import TileOptions, tile

    chosen = TileOptions(
        method=method,
        size=size,
        stride=stride,
        count=count,
        weights=class_weights(weights),
        split=_three(split),
        split_by=split_by,
        block=block,
        guard=guard,
        seed=seed,
        bands=scene.bands,
        resolution=scene.resolution,
        min_valid=min_valid,
        min_labelled=min_labelled,
        format=file_format,
        labels=label_options,
        expand_palette=scene.expand_palette,
        assume_crs=scene.assume_crs,
        trust_vrt=scene.trust_vrt,
        allow_remote=scene.allow_remote,
        npy_axes=scene.npy_axes,
        jobs=jobs,
        cluster=cluster,
        overwrite=overwrite,
    )
    tiles = tile(scenes, labels, output, chosen, legend=legend, progress=progress)
    if as_json:
        from geoseg.info import describe

        options.print_json(describe(tiles.root))
    else:
        print_tiles(tiles)


def _three(split: tuple[float, ...]) -> tuple[float, float, float]:
    if len(split) != 3:
        raise click.BadParameter(
            f"{len(split)} shares; give three, of train, val and test.", param_hint="'--split'"
        )
    return split[0], split[1], split[2]


def class_weights(pairs: tuple[tuple[str, str], ...]) -> dict[str, float] | None:
    """The weights of classes by name, of `CLASS=W` as typed.

    Raises:
        click.BadParameter: If one is no number.
    """
    try:
        return {name: float(text) for name, text in pairs} or None
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="'--weight'") from None


def print_tiles(tiles: TileSet) -> None:
    """Print how many tiles of which classes each split has."""
    click.echo(f"{len(tiles.tiles)} tiles -> {tiles.root}")
    for split in ("train", "val", "test"):
        classes = tiles.class_counts[split]
        labelled = max(sum(classes.values()), 1)
        shares = ", ".join(f"{name} {pixels / labelled:.1%}" for name, pixels in classes.items())
        count = sum(tile.split == split for tile in tiles.tiles)
        click.echo(f"  {split:<6} {count:>6} tiles  {shares if count else ''}".rstrip())
