"""Weights of tiles: a table of how often each is to be drawn."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Collection
from pathlib import Path

from geoseg.errors import ConfigError

_COLUMNS = ("name", "weight")


def read_tile_weights(path: str | Path, names: Collection[str]) -> dict[str, float]:
    """Read a CSV file with the columns `name` and `weight`; others are not looked at.

    Args:
        path: The file, UTF-8, with commas.
        names: Names of all tiles there are.

    Returns:
        The weight of each tile that the file names, 0 or more.

    Raises:
        ConfigError: If the file cannot be read, lacks a column, names a tile that is not there
            or twice, or has a weight that is no number of 0 or more.
    """
    weights: dict[str, float] = {}
    for line, (name, text) in _rows(Path(path)):
        if name not in names:
            nearest = difflib.get_close_matches(name, names, 1)
            cure = f"Did you mean {nearest[0]}" if nearest else "Name tiles of the sets"
            raise ConfigError(
                path, f"line {line} names the tile {name!r}, which is in no set", cure
            )
        if name in weights:
            raise ConfigError(path, f"line {line} names {name} once more", "Name it once")
        weights[name] = _weight(text)
        if not 0 <= weights[name] < math.inf:
            raise ConfigError(path, f"line {line} has the weight {text!r}", "Give 0 or more")
    return weights


def _rows(path: Path) -> list[tuple[int, tuple[str, str]]]:
    """Number of the line, name and weight of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or []]
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise ConfigError(
                    path,
                    f"lacks the column {missing[0]}; it has {', '.join(header) or 'none'}",
                    "Begin it with the line name,weight",
                )
            reader.fieldnames = header
            return [
                (reader.line_num, (str(row["name"]).strip(), str(row["weight"]).strip()))
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise ConfigError(path, f"cannot be read ({told})", "Give a CSV file") from error


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
