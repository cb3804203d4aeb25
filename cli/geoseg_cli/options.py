"""The options that several commands share, each written once."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click

from geoseg.progress import Progress, ProgressMode, configure_logging

F = TypeVar("F", bound=Callable[..., Any])

POSITIVE = click.FloatRange(min=0, min_open=True)
"""A number above 0."""


def comma_list(text: str) -> tuple[str, ...]:
    """Split a text with commas: `a, b` -> `("a", "b")`.

    Raises:
        click.BadParameter: If a part is empty.
    """
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise click.BadParameter(f"{text!r} has an empty part; write it as a,b,c.")
    return parts


def number_list(text: str) -> tuple[float, ...]:
    """Split numbers with commas: `0.7,0.2,0.1` -> `(0.7, 0.2, 0.1)`.

    Raises:
        click.BadParameter: If a part is not a number.
    """
    try:
        return tuple(float(part) for part in comma_list(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 0.7,0.3.") from None


def band_list(text: str) -> tuple[int | str, ...]:
    """Split bands given by number (from 1) or name: `4,3,nir` -> `(4, 3, "nir")`.

    Raises:
        click.BadParameter: If a number is below 1.
    """
    parts = tuple(int(p) if p.lstrip("-").isdecimal() else p for p in comma_list(text))
    if any(isinstance(part, int) and part < 1 for part in parts):
        raise click.BadParameter(f"{text!r}: bands are counted from 1.")
    return parts


def key_value(text: str) -> tuple[str, str]:
    """Split `KEY=VALUE` at the first equals sign.

    Raises:
        click.BadParameter: If there is no equals sign, or nothing before it.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
    return key.strip(), value.strip()


def batch_size(text: str) -> int | Literal["auto"]:
    """A number of 1 or more, or `auto`.

    Raises:
        click.BadParameter: If it is neither.
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a number above 0 nor auto.")
    return int(text)


def size(text: str) -> int:
    """Bytes, given as `800M`, `4G` or a plain number.

    Raises:
        ConfigError: If it is no size.
    """
    from geoseg.engine.memory_size import parse_size

    return parse_size(text)


def output(help_text: str, *, required: bool = True) -> Callable[[F], F]:
    """`-o/--output` and `--overwrite`; the command receives `output` and `overwrite`."""

    def decorate(function: F) -> F:
        function = click.option(
            "--overwrite", is_flag=True, help="Replace the output if it exists."
        )(function)
        return click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            required=required,
            help=help_text,
        )(function)

    return decorate


def pairs(name: str, parameter: str, help_text: str, *, metavar: str) -> Callable[[F], F]:
    """An option of the form KEY=VALUE that may be given often.

    The command receives `parameter: tuple[tuple[str, str], ...]`.
    """
    return click.option(
        name, parameter, type=key_value, multiple=True, metavar=metavar, help=help_text
    )


def jobs(function: F) -> F:
    """`-j/--jobs`; the command receives `jobs: int | None` (None: all processors)."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads to work with.  [default: one per processor]",
    )(function)


def cluster(function: F) -> F:
    """`--cluster`; the command receives `cluster: str | None` (None: this process)."""
    return click.option(
        "--cluster",
        metavar="WHERE",
        help="Let workers do it: local:N, tcp://host:port, slurm:partition=...,workers=N.",
    )(function)


def as_json(function: F) -> F:
    """`--json`; the command receives `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
    )(function)


def assume_crs(function: F) -> F:
    """`--assume-crs`; the command receives `assume_crs: str | None`."""
    return click.option(
        "--assume-crs",
        metavar="CRS",
        help='CRS of rasters that have none, such as EPSG:32633; "none" for plain pixels.',
    )(function)


def trust(function: F) -> F:
    """What a VRT may name; the command receives `trust_vrt: bool` and `allow_remote: bool`."""
    function = click.option(
        "--allow-remote", is_flag=True, help="Let lists and VRTs name scenes at URLs."
    )(function)
    return click.option(
        "--trust-vrt", is_flag=True, help="Let a VRT read files outside its folder."
    )(function)


def scene(function: F) -> F:
    """How scenes are read; the command receives `scene: SceneOptions`."""

    @click.option(
        "--bands",
        type=band_list,
        metavar="1,2,3",
        help="Bands to read, by number (from 1) or name, in this order.",
    )
    @click.option(
        "--resolution",
        type=POSITIVE,
        metavar="M",
        help="Read the scenes at this pixel size, in metres.",
    )
    @assume_crs
    @click.option(
        "--expand-palette", is_flag=True, help="Read paletted scenes as red, green, blue."
    )
    @trust
    @click.option(
        "--npy-axes",
        type=click.Choice(["bhw", "hwb"]),
        help="Axes of .npy scenes: bands, height, width, or height, width, bands.",
    )
    @functools.wraps(function)
    def command(
        *,
        bands: tuple[int | str, ...] | None,
        resolution: float | None,
        assume_crs: str | None,
        expand_palette: bool,
        trust_vrt: bool,
        allow_remote: bool,
        npy_axes: Literal["bhw", "hwb"] | None,
        **arguments: object,  # whatever the command at hand takes
    ) -> object:
        from geoseg.geo.raster import SceneOptions

        chosen = SceneOptions(
            bands=bands,
            resolution=resolution,
            assume_crs=assume_crs,
            expand_palette=expand_palette,
            trust_vrt=trust_vrt,
            allow_remote=allow_remote,
            npy_axes=npy_axes,
        )
        return function(scene=chosen, **arguments)

    return cast("F", command)


def labels(function: F) -> F:
    """What the labels are and how they are read.

    The command receives `labels: str`, `legend: str | None` and `label_options: LabelOptions`.
    """
    return _labels(function, required=True)


def optional_labels(function: F) -> F:
    """As `labels`, but they may be left out: `labels: str | None`."""
    return _labels(function, required=False)


def _labels(function: F, *, required: bool) -> F:
    @click.option(
        "--labels",
        required=required,
        metavar="L",
        help="Labels, raster or vector: a file, a folder (matched by stem), or a {stem} pattern.",
    )
    @click.option(
        "--legend", metavar="F", help="Classes: TOML, QML, or a raster with names or colours."
    )
    @click.option("--label-field", metavar="A", help="Attribute that tells the class.")
    @click.option("--label-layer", metavar="NAME", help="Layer of a file with several.")
    @click.option(
        "--label-buffer",
        type=POSITIVE,
        metavar="M",
        help="Widen points and lines to polygons by M metres.",
    )
    @click.option(
        "--label-extent",
        metavar="F",
        help="Polygons in which labelling is complete; outside of them nothing is known.",
    )
    @click.option("--label-crs", metavar="CRS", help="CRS of labels that have none.")
    @functools.wraps(function)
    def command(
        *,
        label_field: str | None,
        label_layer: str | None,
        label_buffer: float | None,
        label_extent: str | None,
        label_crs: str | None,
        **arguments: object,  # whatever the command at hand takes
    ) -> object:
        from geoseg.geo.labels import LabelOptions

        plain = arguments.get("assume_crs") == "none"  # then labels lie on plain pixels too
        chosen = LabelOptions(
            field=label_field,
            layer=label_layer,
            buffer=label_buffer,
            extent=label_extent,
            assume_crs=label_crs or ("none" if plain else None),
        )
        return function(label_options=chosen, **arguments)

    return cast("F", command)


def print_json(value: object) -> None:
    """Print a result for a machine; paths become text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def messages(function: F) -> F:
    """`-q`, `-v`, `--progress`, `--debug`; the command receives `progress: Progress`."""

    @click.option("-q", "--quiet", is_flag=True, help="Tell errors only.")
    @click.option("-v", "--verbose", count=True, help="Tell more.")
    @click.option(
        "--progress",
        type=click.Choice(["auto", "bar", "json", "none"]),
        default="auto",
        show_default=True,
        help="How to tell the progress, on stderr.",
    )
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def command(
        *,
        quiet: bool,
        verbose: int,
        progress: ProgressMode,
        debug: bool,
        **arguments: object,  # whatever the command at hand takes
    ) -> object:
        del debug  # read by main(), which shows the traceback
        shown = Progress("none" if quiet and progress == "auto" else progress)
        configure_logging(shown, -1 if quiet else verbose)
        return function(progress=shown, **arguments)

    return cast("F", command)


def cutting(function: F) -> F:
    """How tiles are cut.

    The command receives `method`, `size`, `stride`, `count` and `weights`.
    """
    chosen = (
        click.option(
            "--method",
            type=click.Choice(["stride", "random", "balanced"]),
            default="stride",
            show_default=True,
            help="How windows are chosen; balanced centres them on each class equally often.",
        ),
        click.option(
            "--size", type=int, default=512, show_default=True, metavar="PX", help="Tile side."
        ),
        click.option(
            "--stride",
            type=int,
            metavar="PX",
            help="Step between windows (stride).  [default: the size]",
        ),
        click.option(
            "--count",
            type=int,
            default=100,
            show_default=True,
            metavar="N",
            help="Tiles per scene (random, balanced).",
        ),
        pairs(
            "--weight", "weights", "Weight of a class at the centres (balanced).", metavar="CLASS=W"
        ),
    )
    for decorate in reversed(chosen):  # the help lists them in this order
        function = decorate(function)
    return function
