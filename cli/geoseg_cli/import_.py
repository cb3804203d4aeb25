"""`geoseg import`: a bundle from the weights of another tool."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.loading import loading


def _value(text: str) -> object:
    """A value in JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@click.command("import")
@click.argument("source", metavar="FILE|torchgeo:NAME")
@options.output("The model bundle, *.safetensors.")
@click.option("--arch", metavar="A", help="Architecture of the weights; see `geoseg models`.")
@click.option("--encoder", metavar="E", help="Encoder of the weights.")
@options.pairs("--option", "settings", "Set an option of the architecture.", metavar="KEY=VALUE")
@click.option(
    "--bands", type=options.comma_list, metavar="A,B", help="Names of the input bands, in order."
)
@click.option(
    "--legend", metavar="FILE", help="Classes, in the order of the channels.  [default: numbered]"
)
@click.option(
    "--window",
    type=click.IntRange(1, 65536),
    metavar="N",
    help="Side in pixels of the images it was trained on.  [default: 512]",
)
@click.option(
    "--resolution",
    type=options.POSITIVE,
    metavar="M",
    help="Metres per pixel of the images it was trained on.",
)
@click.option(
    "--divisor",
    type=float,
    default=1.0,
    metavar="D",
    help="What pixel values were divided by first, such as 255.",
)
@click.option(
    "--mean", type=options.number_list, metavar="X,Y", help="What was subtracted then, per band."
)
@click.option(
    "--std", type=options.number_list, metavar="X,Y", help="What was divided by last, per band."
)
@click.option(
    "--dtype",
    type=click.Choice(["uint8", "int16", "uint16", "float32"]),
    help="Data type of its scenes; scenes of another range are refused then.",
)
@click.option("--partial", is_flag=True, help="Let weights that are missing begin at random.")
@options.as_json
@options.messages
def command(
    source: str,
    output: Path,
    overwrite: bool,
    arch: str | None,
    encoder: str | None,
    settings: tuple[tuple[str, str], ...],
    bands: tuple[str, ...] | None,
    legend: str | None,
    window: int | None,
    resolution: float | None,
    divisor: float,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    dtype: str | None,
    partial: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Make a model bundle from the weights of another tool.

    FILE holds a state dict (.pth, .pt, .ckpt, .bin, .safetensors), or is a folder that
    segmentation-models-pytorch saved; no code in it is run. torchgeo:Unet_Weights.NAME downloads
    one of torchgeo's trained networks.
    """
    with loading():
        from geoseg.import_model import ImportOptions, import_model

    del progress  # nothing here takes long
    result = import_model(
        source,
        output,
        ImportOptions(
            arch=arch,
            encoder=encoder,
            options={key: _value(text) for key, text in settings},
            bands=bands,
            legend=legend,
            window=window,
            resolution=resolution,
            divisor=divisor,
            mean=mean or (),
            std=std or (),
            dtype=dtype,
            partial=partial,
            overwrite=overwrite,
        ),
    )
    if as_json:
        found = {key: value for key, value in asdict(result).items() if key != "spec"}
        options.print_json({**found, "spec": result.spec.model_dump(mode="json")})
        return
    click.echo(f"{source} -> {result.path}")
    click.echo(f"  {'weights taken':<20} {result.matched:>8}")
    click.echo(f"  {'missing':<20} {len(result.missing):>8}")
    click.echo(f"  {'not used':<20} {len(result.unexpected):>8}")
