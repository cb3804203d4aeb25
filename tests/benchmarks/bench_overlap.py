"""What overlap costs and what it gives: quality at the seams against quality inside.

Usage: python tests/benchmarks/bench_overlap.py MODEL SCENE LABELS [--label-field A]
           [--windows 128,192,256] [--overlaps 0,0.25,0.5,0.75] [--blends mean,hann,gaussian,crop]
           [--near 8] [--backend torch] [--precision fp32] [--markdown] [--json figures.json]

Each map is that of `predict`. Seams are where windows that do not overlap would meet; the same
pixels are looked at whatever the overlap, so that a column tells what overlap changes there.

* IoU: mean IoU of the legend's classes over all pixels that are labelled.
* at seams, inside: the same over pixels up to --near pixels from a seam, and over all others.
  `gap` is inside - at seams: its change tells more than itself, as it is other ground.
* unlike, unlike at seams: share of pixels of another class than in the map with the largest
  overlap and the first blend.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.confusion import confusion, scores
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.raster import Scene
from geoseg.geo.windows import offsets
from geoseg.nn.bundle import ModelBundle
from geoseg.predict import PredictOptions, PredictResult, predict

Indices = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Map:
    """A predicted map."""

    overlap: float
    """Share of a window's side."""

    blend: str
    """How windows are averaged."""

    result: PredictResult
    """What `predict` told."""

    seconds: float
    """What it took, set-up and all."""

    indices: Indices
    """Channel of each pixel (height, width); the legend's ignored index without data."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one map."""

    window: int
    """Side of a window, pixels."""

    overlap: float
    """Share of a window's side."""

    blend: str
    """How windows are averaged."""

    windows: int
    """Windows that went through the network."""

    seconds: float
    """Of the whole prediction."""

    iou: float
    """Mean IoU over all pixels."""

    iou_seams: float
    """Mean IoU near seams."""

    iou_inside: float
    """Mean IoU away from seams."""

    unlike: float
    """Share of pixels unlike the map with the largest overlap."""

    unlike_seams: float
    """The same near seams."""


def main() -> None:
    """Predict all maps and print the table."""
    given = arguments()
    model = ModelBundle.open(str(given.model))
    labels = Labels.open(given.labels, model.legend, LabelOptions(field=given.label_field))
    reference = model.legend.encode(labels.mask(Scene.open(given.scene).grid))
    rows: list[Row] = []
    for window in (int(side) for side in given.windows.split(",")):
        near = near_seams(reference.shape, window, given.near)
        maps = list(predict_all(given, model, window))
        best = max(maps, key=lambda made: made.overlap)
        rows += [judge(made, best, reference, near, window, model) for made in maps]
    print(table(rows, given.near, is_markdown=given.markdown))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


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
    parser.add_argument("--near", type=int, default=8)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def predict_all(given: argparse.Namespace, model: ModelBundle, window: int) -> Iterator[Map]:
    """One map for each overlap and blend; without overlap blends differ by nothing."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "classes.tif"
        for overlap in (float(share) for share in given.overlaps.split(",")):
            for blend in given.blends.split(",")[: None if overlap else 1]:
                options = PredictOptions(
                    window=window,
                    stride=max(round(window * (1 - overlap)), 1),
                    blend=blend,
                    backend=given.backend,
                    precision=given.precision,
                    overwrite=True,
                )
                started = time.perf_counter()
                (result,) = predict(given.scene, given.model, output, options)
                yield Map(
                    overlap=overlap,
                    blend=blend,
                    result=result,
                    seconds=time.perf_counter() - started,
                    indices=read_indices(output, model),
                )


def read_indices(path: Path, model: ModelBundle) -> Indices:
    """Channels (height, width) of a class raster."""
    raster, legend = Scene.open(path).read(), model.legend
    indices = legend.encode(np.where(raster.valid, raster.data[0], legend.values[0]))
    indices[~raster.valid] = legend.ignore_index
    return indices


def near_seams(shape: tuple[int, int], window: int, reach: int) -> Mask:
    """Where (height, width) a border between windows that do not overlap is near."""
    near = [np.zeros(length, dtype=np.bool_) for length in shape]
    for axis, length in zip(near, shape, strict=True):
        starts = offsets(length, window, window)
        # The last window is pulled back, so that one ends where no other begins.
        for seam in {*starts[1:], *(start + window for start in starts[:-1])}:
            axis[max(seam - reach, 0) : seam + reach] = True
    return near[0][:, None] | near[1]


def judge(
    made: Map, best: Map, reference: Indices, near: Mask, window: int, model: ModelBundle
) -> Row:
    """Compare a map with the labels and with the best map."""
    count, ignored = model.legend.count, model.legend.ignore_index

    def iou(where: Mask) -> float:
        matrix = confusion(reference[where], made.indices[where], count, ignored)
        return float(scores(matrix)["mean_iou"])

    valid = best.indices != ignored
    unlike = made.indices != best.indices
    return Row(
        window=window,
        overlap=made.overlap,
        blend=made.blend,
        windows=made.result.windows,
        seconds=made.seconds,
        iou=iou(valid),
        iou_seams=iou(valid & near),
        iou_inside=iou(valid & ~near),
        unlike=float(unlike[valid].mean()),
        unlike_seams=float(unlike[valid & near].mean()),
    )


def table(rows: list[Row], near: int, *, is_markdown: bool) -> str:
    """All rows as text."""
    heads = ["window", "overlap", "blend", "windows", "seconds", "IoU", f"IoU {near} px at seams"]
    heads += ["IoU inside", "gap", "unlike", "unlike at seams"]
    lines = [heads, *(cells(row) for row in rows)]
    if is_markdown:
        lines.insert(1, ["---"] * len(heads))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def cells(row: Row) -> list[str]:
    """A row as texts."""
    whole = [str(row.window), f"{row.overlap:g}", row.blend, str(row.windows)]
    quality = [row.iou, row.iou_seams, row.iou_inside, row.iou_inside - row.iou_seams]
    unlike = [row.unlike, row.unlike_seams]
    return [
        *whole,
        f"{row.seconds:.1f}",
        *(f"{value:.4f}" for value in quality),
        *(f"{share:.2%}" for share in unlike),
    ]


if __name__ == "__main__":
    main()
