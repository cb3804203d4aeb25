"""Shares of classes in the samples of each sampling, on the sample data: a table for the docs.

`python tests/benchmarks/bench_sampling.py` cuts `sample_data/west.tif` into tiles, draws an epoch
of 2000 samples by each of `data.sampling`, and prints what share of the labelled pixels each class
has, and what share of the samples shows it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import geoseg
from geoseg.geo.labels import LabelOptions
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import SampleDataset, SampleForm
from geoseg.nn.sampling import EpochSampler
from geoseg.nn.sources import open_tiles
from geoseg.nn.window_sources import open_scenes
from geoseg.tile import TileOptions

SAMPLE = Path(__file__).parents[2] / "sample_data"
SIZE, CROP, SAMPLES = 128, 64, 2000


def measure(data):
    """Share of the labelled pixels, and of the samples with at least one, of each class."""
    form = SampleForm(
        height=CROP, width=CROP, fill=(0.0,) * len(data.band_names), seed=0, random=True
    )
    dataset = SampleDataset(data.train, form)
    counts = []
    for key in EpochSampler(data.drawing, SAMPLES, 0):
        target = dataset.sample(key)["target"].numpy().ravel()
        counts.append(np.bincount(target, minlength=256)[: data.legend.count])
    counts = np.array(counts)
    return counts.sum(axis=0) / counts.sum(), (counts > 0).mean(axis=0)


def tell(name, shares, shown):
    cells = (
        f"{100 * share:.1f} / {100 * each:.0f}" for share, each in zip(shares, shown, strict=True)
    )
    sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        tiles, legend = Path(folder) / "tiles", SAMPLE / "legend.toml"
        labels = str(SAMPLE / "labels.gpkg")
        scene = [str(SAMPLE / "west.tif")]
        split = (0.75, 0.25, 0.0)
        options = TileOptions(size=SIZE, split=split, labels=LabelOptions(field="kind"))
        geoseg.tile(scene, labels, tiles, options, legend=legend)
        more = {"rare_below": 0.5}
        for index, sampling in enumerate(("uniform", "balanced", "rare")):
            data = open_tiles(DataConfig(tiles=(str(tiles),), sampling=sampling, **more))
            if not index:
                names = data.legend.names
                sys.stdout.write(f"| % of pixels / of samples | {' | '.join(names)} |\n")
                sys.stdout.write("|---|" + "---|" * len(names) + "\n")
            tell(f"tiles, {sampling}", *measure(data))
        for sampling in ("uniform", "balanced", "rare"):
            config = DataConfig(
                scenes=tuple(scene), labels=labels, label_field="kind", legend=str(legend),
                crop=CROP, sampling=sampling, **more,
            )  # fmt: skip
            tell(f"scenes, {sampling}", *measure(open_scenes(config, 0)))


if __name__ == "__main__":
    main()
