"""`geoseg predict`: class maps of scenes with a trained model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.loading import loading

if TYPE_CHECKING:
    from geoseg.engine.uncertainty import Measure
    from geoseg.geo.raster import SceneOptions
    from geoseg.predict import Estimate, PredictResult

_BLENDS = ["mean", "hann", "gaussian", "crop"]
_PRECISIONS = ["auto", "fp32", "bf16", "fp16", "int8"]


@click.command("predict")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option(
    "-m",
    "--model",
    "models",
    required=True,
    multiple=True,
    metavar="BUNDLE",
    help="The trained or exported model; several of the same classes are combined.",
)
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
    "--uncertainty",
    type=click.Path(path_type=Path),
    help="Also write here how sure the map is, in steps of 0.005.",
)
@click.option(
    "--measures",
    type=options.comma_list,
    default="entropy",
    show_default=True,
    metavar="A,B",
    help="Bands of the uncertainty: entropy, margin, disagreement (of windows, views, models).",
)
@click.option(
    "--polygons",
    type=click.Path(path_type=Path),
    help="Also write polygons here; the format goes by the suffix.",
)
@click.option("--margin", is_flag=True, help="Let polygons tell the margin to the second class.")
@click.option(
    "--mosaic",
    type=click.Path(path_type=Path),
    metavar="OUT.vrt",
    help="Also write a VRT over all class rasters here; where they overlap, the last one counts.",
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
    "--overlap",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Step between windows by what they have in common: 0, 0.25, 0.5, 0.75.",
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
    help="Slide windows, or scale the whole scene to one.  [default: as the models were trained]",
)
@click.option(
    "--tta",
    type=click.Choice(["none", "flip", "d4"]),
    default="none",
    show_default=True,
    help="Average each window with its mirror image (2 times the work), or with all turns (8).",
)
@click.option(
    "--scales",
    type=options.number_list,
    default="1",
    show_default=True,
    metavar="0.75,1,1.25",
    help="Average over these sizes of the scene.",
)
@click.option(
    "--model-resolution",
    is_flag=True,
    help="Show the scene to each model at the ground resolution it was trained on.",
)
@click.option(
    "--combine",
    type=click.Choice(["mean", "vote"]),
    default="mean",
    show_default=True,
    help="How several models are combined.",
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
    type=click.Choice(["auto", "torch", "compile", "openvino", "onnx"]),
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
@click.option(
    "--batch-size",
    type=options.batch_size,
    metavar="N|auto",
    help="Windows at once; auto tries which number is fastest.  [default: 2, on a GPU 16]",
)
@click.option(
    "--max-memory",
    type=options.size,
    metavar="4G",
    help="Predict wide scenes in panels, so that no more memory than this is taken.",
)
@options.cluster
@click.option("--resume", is_flag=True, help="Go on where a run with the same settings stopped.")
@click.option("--timings", is_flag=True, help="Print where the time went, as JSON.")
@click.option("--dry-run", is_flag=True, help="Write nothing; tell windows, time, memory and size.")
@options.pairs(
    "--co", "creation_options", "Creation option of GDAL's COG driver.", metavar="KEY=VALUE"
)
@options.as_json
@options.messages
def command(
    scenes: tuple[str, ...],
    models: tuple[str, ...],
    output: Path,
    overwrite: bool,
    probabilities: Path | None,
    prob_dtype: Literal["uint8", "float32"],
    uncertainty: Path | None,
    measures: tuple[Measure, ...],
    polygons: Path | None,
    margin: bool,
    mosaic: Path | None,
    window: int | None,
    stride: int | None,
    overlap: float | None,
    blend: Literal["mean", "hann", "gaussian", "crop"],
    mode: Literal["stride", "resize"] | None,
    tta: Literal["none", "flip", "d4"],
    scales: tuple[float, ...],
    model_resolution: bool,
    combine: Literal["mean", "vote"],
    aoi: str | None,
    exclude: tuple[str, ...],
    scale: float | None,
    scene: SceneOptions,
    device: str,
    backend: Literal["auto", "torch", "compile", "openvino", "onnx"],
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"],
    batch_size: int | Literal["auto"] | None,
    max_memory: int | None,
    cluster: str | None,
    resume: bool,
    timings: bool,
    dry_run: bool,
    creation_options: tuple[tuple[str, str], ...],
    as_json: bool,
    progress: Progress,
) -> None:
    """Predict class maps of scenes with trained models.

    SCENE is a file, URL, glob, folder, or @list.txt. The class raster lies on the scene's own
    grid, with names and colours beside it; where there is no data it holds nodata.
    """
    if cluster is not None:
        from geoseg.engine.cluster_forks import TO_PREDICT, begin_to_import

        begin_to_import(cluster, TO_PREDICT)  # while this process imports the same
    with loading():
        from geoseg.predict import PredictOptions, estimate, predict

    chosen = PredictOptions(
        window=window,
        stride=stride,
        overlap=overlap,
        blend=blend,
        mode=mode,
        tta=tta,
        scales=scales,
        model_resolution=model_resolution,
        combine=combine,
        scene=scene,
        scale=scale,
        aoi=aoi,
        exclude=exclude,
        probabilities=probabilities,
        prob_dtype=prob_dtype,
        uncertainty=uncertainty,
        measures=measures,
        polygons=polygons,
        margin=margin,
        mosaic=mosaic,
        device=device,
        backend=backend,
        precision=precision,
        batch_size=batch_size,
        max_memory=max_memory,
        resume=resume,
        timings=timings,
        creation_options=creation_options,
        overwrite=overwrite,
        cluster=cluster,
    )
    if dry_run:
        estimates = estimate(scenes, models, output, chosen)
        if as_json:
            options.print_json([asdict(each) for each in estimates])
        else:
            for each in estimates:
                _print_estimate(each)
        return
    results = predict(scenes, models, output, chosen, progress=progress)
    if as_json:
        options.print_json([asdict(result) for result in results])
    elif timings:
        for result in results:
            options.print_json(result.timings)
    else:
        for result in results:
            _print_result(result)
        if mosaic is not None:
            click.echo(f"{len(results)} class rasters -> {mosaic}, the last one on top")


def _print_estimate(estimate: Estimate) -> None:
    from geoseg.engine.memory_size import format_size

    click.echo(f"{estimate.scene} -> {estimate.classes}")
    minutes, seconds = divmod(round(estimate.seconds), 60)
    for name, value in (
        ("windows", f"{estimate.windows}, fewer where there is no data"),
        ("time", f"about {minutes} min {seconds:02} s"),
        ("memory", f"about {format_size(estimate.memory)}, in {estimate.panels} panel(s)"),
        ("output", f"{format_size(estimate.output_bytes)} before compression"),
        ("run-time", estimate.runtime),
    ):
        click.echo(f"  {name:<20} {value}")


def _print_result(result: PredictResult) -> None:
    click.echo(f"{result.scene} -> {result.classes}")
    for path in (result.probabilities, result.uncertainty, result.polygons):
        if path is not None:
            click.echo(f"{result.scene} -> {path}")
    predicted = sum(result.pixels.values())
    for name, pixels in result.pixels.items():
        click.echo(f"  {name:<20} {pixels / max(predicted, 1):7.2%}")
    click.echo(f"  {'no data':<20} {result.nodata_pixels} pixels")
    click.echo(f"  {'run-time':<20} {result.runtime}")
