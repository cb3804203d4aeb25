"""How label images are read and written, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.geo.legend import Legend
from geoseg.geo.recolor import Reading, Unknown

Format = Literal["png", "tif"]


@dataclass(frozen=True, kw_only=True)
class RelabelOptions:
    """How label images are read and written."""

    by: Reading | None = None
    """Whether one-band images hold values or colours; None finds it out."""

    unknown: Unknown = "refuse"
    """What becomes of values and colours that are not in the legend."""

    ignore_color: str | None = None
    """Colour (`#rrggbb`) of pixels that are not labelled; None takes `#e0e0c0`."""

    gray: bool = False
    """Whether colours, which must be grays then, are written as one band."""

    variable: str | None = None
    """Name of the array in `.mat` files."""

    assume_crs: str | None = None
    """CRS of rasters that have none; without it they are taken as plain images."""

    format: Format = "png"
    """Files of an output folder."""

    jobs: int | None = None
    """Threads, each with an image; None takes one per processor."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""


@dataclass(frozen=True, kw_only=True)
class RelabelResult:
    """What was written."""

    path: Path
    """The file or folder."""

    files: int
    """Images written."""

    counts: dict[str, int]
    """Pixels of each class that has some; `ignore` is what is not labelled."""

    unknown: dict[str, int] = field(default_factory=dict)
    """Pixels of each value or colour that is not in the legend."""


def named_counts(counts: Counter[int], legend: Legend) -> dict[str, int]:
    """Pixels by name of class, of those that have some; `ignore` last."""
    named = {c.name: counts[c.value] for c in legend.classes if counts[c.value]}
    return named | ({"ignore": counts[legend.ignore]} if counts[legend.ignore] else {})
