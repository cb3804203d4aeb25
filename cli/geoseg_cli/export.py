"""`geoseg export`: a model for other run-times, QGIS plugins and catalogues."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.loading import loading


@click.command("export")
@click.argument("bundle", metavar="BUNDLE")
@options.output("*.onnx, *.xml (OpenVINO) or *.pt2 (torch.export), or a folder.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "openvino", "torch"]),
    help="What is written.  [default: by the suffix of the output, else onnx]",
)
@click.option(
    "--profile",
    type=click.Choice(["deepness", "raw"]),
    help="What the graph takes: raw values / 255, as QGIS plugins feed them, or raw values."
    "  [default: deepness for onnx, else raw]",
)
@click.option(
    "--window",
    type=click.IntRange(1, 65536),
    metavar="S",
    help="Side of its windows, pixels.  [default: the model's]",
)
@click.option(
    "--opset",
    type=int,
    default=18,
    show_default=True,
    metavar="N",
    help="Version of ONNX's operators; QGIS plugins read 18.",
)
@click.option("--stac", is_flag=True, help="Also write a STAC item (.json) beside it.")
@click.option(
    "--check",
    metavar="SCENE",
    help="Compare it with PyTorch on this scene.  [default: on made-up windows]",
)
@options.as_json
@options.messages
def command(
    bundle: str,
    output: Path,
    overwrite: bool,
    kind: Literal["onnx", "openvino", "torch"] | None,
    profile: Literal["deepness", "raw"] | None,
    window: int | None,
    opset: int,
    stac: bool,
    check: str | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Export a model to ONNX, OpenVINO or torch.export.

    The file holds the network with its scaling and activation, and the model's card. It runs in
    the QGIS plugin Deepness, in GeoDeep, and by `geoseg predict -m`. Before it gets its name it is
    run and compared with PyTorch.
    """
    with loading():
        from geoseg.export import ExportOptions, export

    result = export(
        bundle,
        output,
        ExportOptions(
            format=kind,
            profile=profile,
            window=window,
            opset=opset,
            stac=stac,
            check=check,
            overwrite=overwrite,
        ),
        progress=progress,
    )
    if as_json:
        options.print_json(asdict(result))
        return
    for path in result.files:
        click.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    fed = "raw values / 255" if result.profile == "deepness" else "raw values"
    click.echo(f"  takes {fed}, windows of {result.window} pixels")
    for name, share in result.agreement.items():
        click.echo(f"  {name}: the class of PyTorch for {share:.3%} of {result.windows} windows")
