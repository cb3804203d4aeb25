"""`geoseg info`: describe scenes, legends, tile sets and model bundles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from geoseg.errors import printable
from geoseg.progress import Progress
from geoseg_cli import options

_WIDTH = 22
"""Characters of the column of names."""

_LONGEST = 100
"""Characters of a value that are shown; the WKT of a CRS may have thousands."""


@click.command("info")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "-m",
    "--model",
    metavar="BUNDLE",
    help="Also compare the bands of scenes with what this model was trained on.",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Also draw tiles, classes and bands of the tile set PATH into this picture.",
)
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists.")
@options.trust
@options.as_json
@options.messages
def command(
    paths: tuple[str, ...],
    model: str | None,
    sheet: Path | None,
    overwrite: bool,
    trust_vrt: bool,
    allow_remote: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Describe scenes, legends, tile sets and model bundles.

    A folder that is not a tile set stands for the scenes in it. With --json: an object for one
    PATH, a list of objects for several.
    """
    from geoseg.info import describe

    del progress  # nothing here takes long
    if sheet is not None:
        _draw(paths, sheet, overwrite=overwrite)
    described = [
        describe(path, model, trust_vrt=trust_vrt, allow_remote=allow_remote)
        for path in _expand(paths, allow_remote=allow_remote)
    ]
    if as_json:
        options.print_json(described[0] if len(described) == 1 else described)
    else:
        click.echo("\n\n".join("\n".join(_lines(each)) for each in described))


def _draw(paths: Sequence[str], sheet: Path, *, overwrite: bool) -> None:
    from geoseg.reports.sheet import draw_tileset_sheet

    if len(paths) != 1:
        raise click.UsageError("--sheet is drawn of one tile set; give one PATH.")
    draw_tileset_sheet(paths[0], sheet, overwrite=overwrite)


def _expand(paths: Sequence[str], *, allow_remote: bool) -> list[str]:
    """Files and tile sets as they are; globs, lists and folders of scenes as their scenes."""
    from geoseg.geo.paths import find_scenes
    from geoseg.info import is_tileset

    found: list[str] = []
    for path in paths:
        is_whole = Path(path).is_file() or is_tileset(path)
        found.extend([path] if is_whole else find_scenes([path], allow_remote=allow_remote))
    return found


def _lines(description: Mapping[str, object], indent: int = 0) -> Iterator[str]:
    """A name and a value per line; what is nested is indented below its name."""
    for name, value in description.items():
        label = " " * indent + name.replace("_", " ")
        if isinstance(value, Mapping) and value:
            yield label
            yield from _lines(value, indent + 2)
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            yield label
            row = _shift_row if name == "shift" else _row
            yield from (" " * (indent + 2) + row(each) for each in value)
        else:
            yield f"{label:<{_WIDTH}} {_text(value)}"


def _shift_row(row: Mapping[str, object]) -> str:
    """How a band compares with training."""
    share = row["inside"]
    inside = f"{share:.0%}" if isinstance(share, float) else "-"
    return (
        f"{row['band']!s:<16} mean {_text(row['mean'])} (training {_text(row['training_mean'])}), "
        f"{inside} where 96% of training lay{', UNLIKE TRAINING' if row['is_far'] else ''}"
    )


def _row(row: Mapping[str, object]) -> str:
    return "  ".join(_text(value) for value in row.values() if value not in (None, [], ()))


def _text(value: object) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) if v != "" else "-" for v in value) or "-"
    text = printable(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... (whole with --json)"
