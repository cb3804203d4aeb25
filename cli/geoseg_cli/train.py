"""`geoseg train`: a network from a TOML file."""

from __future__ import annotations

from pathlib import Path

import click

from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.loading import loading


@click.command("train")
@click.argument("config", metavar="CONFIG.toml")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY.SUB=VALUE",
    help="Change a value of the configuration.",
)
@options.output("Run folder.  [default: runs/NAME]", required=False)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Train nothing: show samples as they are augmented, and tell what would be trained.",
)
@options.as_json
@options.messages
def command(
    config: str,
    overrides: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Train a network from a TOML file.

    The run folder gets model.safetensors (of the best epoch), metrics.csv, pictures,
    checkpoints, and config.toml with every value that was used.
    """
    with loading():
        from geoseg.nn.config import load_config
        from geoseg.train import train

    result = train(
        load_config(config, overrides),
        output,
        resume=resume,
        overwrite=overwrite,
        dry_run=dry_run,
        progress=progress,
    )
    if result.bundle is None and not dry_run:
        return  # one of several processes: the first one tells
    if as_json:
        run, bundle, metrics = result.run, result.bundle, result.metrics
        told = {"figures": result.figures} if dry_run else {}
        options.print_json({"run": run, "bundle": bundle, "metrics": metrics, **told})
    elif dry_run:
        click.echo(f"{config} -> {result.run / 'dry_run.png'}, {result.run / 'dry_run.json'}")
    else:
        click.echo(f"{config} -> {result.bundle}")
        for name, value in result.metrics.items():
            click.echo(f"  {name:<24} {value:.6g}")
