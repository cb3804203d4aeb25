"""`geoseg models`: every architecture and encoder, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from geoseg.errors import ConfigError
from geoseg.progress import Progress
from geoseg_cli import options
from geoseg_cli.loading import loading

if TYPE_CHECKING:
    from geoseg.models import EncoderDescription, ModelDescription

_HEADER = ("name", "encoder", "parameters", "GMACs", "what it is")


@click.command("models")
@click.argument("pattern", metavar="[PATTERN]", required=False)
@click.option("--encoders", is_flag=True, help="List the encoders instead.")
@options.as_json
@options.messages
def command(pattern: str | None, encoders: bool, as_json: bool, progress: Progress) -> None:
    """List the architectures and encoders, and what they cost.

    Parameters are those of the whole network with its default encoder, 3 bands and 2 classes;
    GMACs are the billions of multiply-accumulates of one image of 512 x 512 pixels. PATTERN is
    part of a name, or a pattern such as 'sfnet*'. Encoders are more than a thousand: their
    parameters are counted where a PATTERN is given.
    """
    if encoders:
        _list_encoders(pattern, as_json, progress)
    else:
        _list_models(pattern, as_json, progress)


def _list_models(pattern: str | None, as_json: bool, progress: Progress) -> None:
    with loading():
        from geoseg.models import describe_model, list_models
        from geoseg.nn.models import architecture_choices

    names = _found(list_models(pattern), pattern, "architecture", architecture_choices)
    described = [describe_model(name) for name in progress.track(names, "count", unit="network")]
    if as_json:
        options.print_json([asdict(each) for each in described])
        return
    click.echo("\n".join(_table([_HEADER, *map(_model_row, described)])))


def _list_encoders(pattern: str | None, as_json: bool, progress: Progress) -> None:
    with loading():
        from geoseg.models import EncoderDescription, describe_encoder, list_encoders
        from geoseg.nn.encoders.names import encoder_choices

    names = _found(list_encoders(pattern), pattern, "encoder", encoder_choices)
    if pattern is None:
        described = [EncoderDescription(name=name, parameters=None) for name in names]
    else:
        shown = progress.track(names, "count", unit="encoder")
        described = [describe_encoder(name) for name in shown]
    if as_json:
        options.print_json([asdict(each) for each in described])
    elif pattern is None:
        click.echo("\n".join(names))
    else:
        click.echo("\n".join(_table([("name", "parameters"), *map(_encoder_row, described)])))


def _found(
    names: list[str], pattern: str | None, kind: str, choices: Callable[[str], str]
) -> list[str]:
    if pattern is not None and not names:
        raise ConfigError("PATTERN", f"no {kind} matches {pattern!r}", choices(pattern))
    return names


def _model_row(model: ModelDescription) -> tuple[str, ...]:
    encoder = "-" if model.encoder == "none" else model.encoder
    return model.name, encoder, _millions(model.parameters), _billions(model.macs), model.summary


def _encoder_row(encoder: EncoderDescription) -> tuple[str, ...]:
    return encoder.name, "-" if encoder.parameters is None else _millions(encoder.parameters)


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f} M"


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f}"


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns as wide as needed; those of figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    figures = {place for place, name in enumerate(rows[0]) if name in {"parameters", "GMACs"}}
    for row in rows:
        cells = [
            cell.rjust(width) if place in figures else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
