"""What overlap costs and what it gives: quality at the seams against quality inside.

Usage: python tests/benchmarks/bench_overlap.py MODEL SCENE LABELS [--label-field A]
           [--windows 128,192,256] [--overlaps 0,0.25,0.5,0.75] [--blends mean,hann,gaussian,crop]
           [--shifts 4] [--near 8] [--backend torch] [--precision fp32] [--markdown]
           [--json figures.json]

Each map is that of `predict`. Seams are where windows that do not overlap would meet; the same
pixels are looked at whatever the overlap, so that a column tells what overlap changes there.
Scenes are small and seams are few: with --shifts N all is done N times, and each time the first
window begins 1/N of a window further to the right and below; pixels are counted together.

* windows, seconds: of one map, on average; set-up counts.
* IoU: mean IoU of the legend's classes over all pixels that are labelled.
* at seams, inside: the same over pixels up to --near pixels from a seam, and over all others.
* unlike, unlike at seams: share of pixels of another class than in the map with the largest
  overlap and the first blend.

The second table takes the map without overlap alone, and tells how far the border of a window
is felt: what pixels gain by the largest overlap, by their distance from the border.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from geoseg.geo.confusion import confusion, scores
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.raster import Scene
from geoseg.geo.windows import offsets
from geoseg.nn.bundle import ModelBundle
from geoseg.predict import PredictOptions, predict

Indices = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.int64]
Key = tuple[float, str]
"""Overlap as a share of a window's side, and blend."""

BANDS = (0, 2, 4, 8, 16, 32, 64, 1 << 30)
"""Distances from the border of a window, pixels."""


@dataclass(kw_only=True)
class Tally:
    """Pixels counted over all shifts, in one part of the ground."""

    matrix: Any = 0
    """Confusion matrix; rows are the labels."""

    unlike: int = 0
    """Pixels of another class than in the best map."""

    pixels: int = 0
    """All pixels with data, labelled or not."""

    def add(self, job: Job, reference: Indices, made: Indices, best: Indices, where: Mask) -> None:
        """Count the pixels of one map in `where`."""
        where = where & (best != job.legend.ignore_index)
        self.matrix = self.matrix + confusion(
            reference[where], made[where], job.legend.count, job.legend.ignore_index
        )
        self.unlike += int((made != best)[where].sum())
        self.pixels += int(where.sum())

    @property
    def iou(self) -> float:
        """Mean over the classes."""
        return float(scores(self.matrix)["mean_iou"])

    @property
    def share_unlike(self) -> float:
        """Of the pixels."""
        return self.unlike / max(self.pixels, 1)


@dataclass(kw_only=True)
class Figures:
    """What is known of one overlap and blend."""

    windows: list[int] = field(default_factory=list)
    """Windows through the network, one a shift."""

    seconds: list[float] = field(default_factory=list)
    """Seconds of the prediction, one a shift."""

    everywhere: Tally = field(default_factory=Tally)
    """All pixels."""

    seams: Tally = field(default_factory=Tally)
    """Those near seams."""

    inside: Tally = field(default_factory=Tally)
    """Those away from seams."""


class Job:
    """Predicts a scene, and what begins further right and below in it.

    Args:
        given: Arguments of the command line.
        folder: Where files are written.
    """

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._given, self._folder = given, folder
        self.legend = ModelBundle.open(str(given.model)).legend
        self._labels = Labels.open(given.labels, self.legend, LabelOptions(field=given.label_field))
        self.keys: list[Key] = [
            (overlap, blend)
            for overlap in sorted(float(share) for share in given.overlaps.split(","))
            # Without overlap, blends differ by nothing.
            for blend in given.blends.split(",")[: None if overlap else 1]
        ]
        self.best: Key = max(self.keys, key=lambda key: key[0])

    def crop(self, shift: int) -> Path:
        """Write the scene without its first rows and columns."""
        path = self._folder / f"from_{shift}.tif"
        with rasterio.open(self._given.scene) as scene:
            window = Window(shift, shift, scene.width - shift, scene.height - shift)
            profile = scene.profile | {
                "driver": "GTiff", "width": window.width, "height": window.height,
                "transform": scene.window_transform(window),
            }  # fmt: skip
            with rasterio.open(path, "w", **profile) as target:
                target.write(scene.read(window=window))
                target.colorinterp = scene.colorinterp
                target.descriptions = scene.descriptions
        return path

    def reference(self, scene: Path) -> Indices:
        """Channels (height, width) that the labels tell."""
        return self.legend.encode(self._labels.mask(Scene.open(scene).grid))

    def predict(self, scene: Path, window: int, key: Key, figures: Figures) -> Indices:
        """Channels (height, width) that the network tells; the ignored one without data."""
        overlap, blend = key
        options = PredictOptions(
            window=window,
            stride=max(round(window * (1 - overlap)), 1),
            blend=blend,  # type: ignore[arg-type]
            backend=self._given.backend,
            precision=self._given.precision,
            overwrite=True,
        )
        started = time.perf_counter()
        (result,) = predict(scene, self._given.model, self._folder / "classes.tif", options)
        figures.seconds.append(time.perf_counter() - started)
        figures.windows.append(result.windows)
        raster = Scene.open(result.classes).read()
        indices = self.legend.encode(np.where(raster.valid, raster.data[0], self.legend.values[0]))
        indices[~raster.valid] = self.legend.ignore_index
        return indices


def main() -> None:
    """Predict all maps and print the tables."""
    given = arguments()
    by_overlap, by_distance = overlap_heads(given.near), distance_heads()
    with tempfile.TemporaryDirectory() as name:
        job = Job(given, Path(name))
        for window in (int(side) for side in given.windows.split(",")):
            figures, bands = measure(job, window, given)
            by_overlap += overlap_rows(window, figures)
            by_distance += distance_rows(window, bands)
    for table in (by_overlap, by_distance):
        print(text(table, is_markdown=given.markdown), end="\n\n")
    if given.json is not None:
        tables = {"by_overlap": by_overlap, "by_distance": by_distance}
        given.json.write_text(json.dumps(tables, indent=2))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("scene")
    parser.add_argument("labels")
    parser.add_argument("--label-field")
    parser.add_argument("--windows", default="256")
    parser.add_argument("--overlaps", default="0,0.25,0.5,0.75")
    parser.add_argument("--blends", default="mean,hann,gaussian,crop")
    parser.add_argument("--shifts", type=int, default=1)
    parser.add_argument("--near", type=int, default=8)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


Bands = dict[tuple[int, int], tuple[Tally, Tally]]
"""Of each band of distances: without overlap, and with the largest."""


def measure(job: Job, window: int, given: argparse.Namespace) -> tuple[dict[Key, Figures], Bands]:
    """All overlaps and blends with windows of one size, over all shifts."""
    figures = {key: Figures() for key in job.keys}
    bands: Bands = {band: (Tally(), Tally()) for band in pairwise(BANDS)}
    for number in range(given.shifts):
        scene = job.crop(number * window // given.shifts)
        reference = job.reference(scene)
        maps = {key: job.predict(scene, window, key, figures[key]) for key in job.keys}
        best, away = maps[job.best], distances(reference.shape, window)
        for key, made in maps.items():
            parts = (figures[key].everywhere, away >= 0), (figures[key].seams, away < given.near)
            for tally, where in (*parts, (figures[key].inside, away >= given.near)):
                tally.add(job, reference, made, best, where)
        for (least, most), tallies in bands.items():
            where = (away >= least) & (away < most)
            for tally, made in zip(tallies, (maps[job.keys[0]], best), strict=True):
                tally.add(job, reference, made, best, where)
    return figures, bands


def distances(shape: tuple[int, ...], window: int) -> Distances:
    """Pixels (height, width) to the nearest border where windows without overlap meet."""
    axes: list[Distances] = []
    for length in shape:
        starts = offsets(length, window, window)
        # The last window is pulled back, so that one ends where no other begins.
        seams = {*starts[1:], *(start + window for start in starts[:-1])}
        centres = np.arange(length) + 0.5
        nearest = np.full(length, BANDS[-1] - 1.0)
        for seam in seams:
            nearest = np.minimum(nearest, np.abs(centres - seam))
        axes.append(nearest.astype(np.int64))
    return np.minimum(axes[0][:, None], axes[1])


def overlap_heads(near: int) -> list[list[str]]:
    """The head of the first table."""
    costs = ["window", "overlap", "blend", "windows", "seconds"]
    return [[*costs, "IoU", f"{near} px at seams", "inside", "unlike", "unlike at seams"]]


def overlap_rows(window: int, figures: dict[Key, Figures]) -> Iterator[list[str]]:
    """Rows of the first table."""
    for (overlap, blend), found in figures.items():
        tallies = found.everywhere, found.seams, found.inside
        yield [
            str(window),
            f"{overlap:g}",
            blend,
            f"{np.mean(found.windows):.0f}",
            f"{np.mean(found.seconds):.1f}",
            *(f"{tally.iou:.4f}" for tally in tallies),
            *(f"{tally.share_unlike:.2%}" for tally in tallies[:2]),
        ]


def distance_heads() -> list[list[str]]:
    """The head of the second table."""
    return [["window", "from the border", "IoU, no overlap", "IoU, largest overlap", "unlike"]]


def distance_rows(window: int, bands: Bands) -> Iterator[list[str]]:
    """Rows of the second table."""
    for (least, most), (without, largest) in bands.items():
        if without.pixels:
            distance = f"{least} to {most} px" if most < BANDS[-1] else f"{least} px and more"
            yield [
                str(window), distance, f"{without.iou:.4f}", f"{largest.iou:.4f}",
                f"{without.share_unlike:.2%}",
            ]  # fmt: skip


def text(table: list[list[str]], *, is_markdown: bool) -> str:
    """A table for the terminal or for the docs."""
    if is_markdown:
        lines = [table[0], ["---"] * len(table[0]), *table[1:]]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(line[place]) for line in table) for place in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    )


if __name__ == "__main__":
    main()
