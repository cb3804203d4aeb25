"""`geoseg predict`: class maps of scenes with a trained model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options

if TYPE_CHECKING:
    from geoseg.geo.raster import SceneOptions
    from geoseg.predict import PredictResult

_BLENDS = ["mean", "hann", "gaussian", "crop"]
_PRECISIONS = ["auto", "fp32", "bf16", "fp16"]


@click.command("predict")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option("-m", "--model", required=True, metavar="BUNDLE", help="The trained model.")
@options.output("Class raster (.tif), or a folder, as several scenes need one.")
@click.option(
    "--probabilities", type=click.Path(path_type=Path), help="Also write a band per class here."
)
@click.option(
    "--prob-dtype",
    type=click.Choice(["uint8", "float32"]),
    default="uint8",
    show_default=True,
    help="Type of the probabilities; uint8 counts steps of 0.005.",
)
@click.option(
    "--polygons",
    type=click.Path(path_type=Path),
    help="Also write polygons here; the format goes by the suffix.",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="PX",
    help="Window side.  [default: the model's]",
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="PX",
    help="Step between windows.  [default: the model's]",
)
@click.option(
    "--blend",
    type=click.Choice(_BLENDS),
    default="mean",
    show_default=True,
    help="How overlapping windows are averaged.",
)
@click.option(
    "--mode",
    type=click.Choice(["stride", "resize"]),
    default="stride",
    show_default=True,
    help="Slide windows, or scale the whole scene to one.",
)
@click.option("--aoi", metavar="FILE", help="Predict inside these polygons only.")
@click.option("--exclude", multiple=True, metavar="CLASS", help="Never choose this class.")
@click.option(
    "--scale", type=float, metavar="F", help="Multiply pixel values by F before all else."
)
@options.scene
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "torch", "compile", "openvino"]),
    default="auto",
    show_default=True,
    help="Run-time; auto takes the fastest that agrees with fp32 on this scene.",
)
@click.option(
    "--precision",
    type=click.Choice(_PRECISIONS),
    default="auto",
    show_default=True,
    help="Numbers the network computes with.",
)
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Windows at once.")
@click.option(
    "--co",
    "creation_options",
    type=options.key_value,
    multiple=True,
    metavar="KEY=VALUE",
    help="Creation option of GDAL's COG driver.",
)
@options.as_json
@options.messages
def command(
    scenes: tuple[str, ...],
    model: str,
    output: Path,
    overwrite: bool,
    probabilities: Path | None,
    prob_dtype: Literal["uint8", "float32"],
    polygons: Path | None,
    window: int | None,
    stride: int | None,
    blend: Literal["mean", "hann", "gaussian", "crop"],
    mode: Literal["stride", "resize"],
    aoi: str | None,
    exclude: tuple[str, ...],
    scale: float | None,
    scene: SceneOptions,
    device: str,
    backend: Literal["auto", "torch", "compile", "openvino"],
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    batch_size: int | None,
    creation_options: tuple[tuple[str, str], ...],
    as_json: bool,
    progress: Progress,
) -> None:
    """Predict class maps of scenes with a trained model.

    SCENE is a file, URL, glob, folder, or @list.txt. The class raster lies on the scene's own
    grid, with names and colours beside it; where there is no data it holds nodata.
    """
    from geoseg.predict import PredictOptions, predict

    chosen = PredictOptions(
        window=window,
        stride=stride,
        blend=blend,
        mode=mode,
        scene=scene,
        scale=scale,
        aoi=aoi,
        exclude=exclude,
        probabilities=probabilities,
        prob_dtype=prob_dtype,
        polygons=polygons,
        device=device,
        backend=backend,
        precision=precision,
        batch_size=batch_size,
        creation_options=creation_options,
        overwrite=overwrite,
    )
    results = predict(scenes, model, output, chosen, progress=progress)
    if as_json:
        options.print_json([asdict(result) for result in results])
    else:
        for result in results:
            _print_result(result)


def _print_result(result: PredictResult) -> None:
    click.echo(f"{result.scene} -> {result.classes}")
    for path in (result.probabilities, result.polygons):
        if path is not None:
            click.echo(f"{result.scene} -> {path}")
    predicted = sum(result.pixels.values())
    for name, pixels in result.pixels.items():
        click.echo(f"  {name:<20} {pixels / max(predicted, 1):7.2%}")
    click.echo(f"  {'no data':<20} {result.nodata_pixels} pixels")
    click.echo(f"  {'run-time':<20} {result.runtime}")
