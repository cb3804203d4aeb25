"""Does labelling where `suggest` says teach more than labelling anywhere?

A network is trained on a few squares of one scene of the sample data. Then as many squares again
are added: those that `suggest` ranks first, or squares drawn at random among the same candidates.
The network is trained anew on all, and both maps of the other scene are compared with its labels.

Run: `python tests/benchmarks/bench_suggest.py [--seeds 5] [--first 4] [--more 8]`
"""

import argparse
import tempfile
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely

import geoseg
from geoseg import EvaluateOptions, LabelOptions, SuggestOptions
from geoseg.nn.config import parse_config

SAMPLES = Path(__file__).parents[2] / "sample_data"
SIDE = 64
STEPS = 250


def squares_of(scene, corners):
    with rasterio.open(scene) as dataset:
        transform, crs = dataset.transform, dataset.crs
    shapes = []
    for row, col in corners:
        x, y = transform @ (col, row)
        right, bottom = transform @ (col + SIDE, row + SIDE)
        shapes.append(shapely.box(x, bottom, right, y))
    return geopandas.GeoDataFrame(geometry=shapes, crs=crs)


def random_squares(rng, count, taken, shape=(1024, 1024)):
    """Squares on the lattice that `suggest` chooses from, apart from those taken."""
    chosen = list(taken)
    while len(chosen) < len(taken) + count:
        row, col = (int(rng.integers(0, (side - SIDE) // 32 + 1)) * 32 for side in shape)
        if all(abs(row - r) >= SIDE or abs(col - c) >= SIDE for r, c in chosen):
            chosen.append((row, col))
    return chosen[len(taken) :]


def train(folder, corners, seed):
    folder.mkdir(parents=True)
    squares_of(SAMPLES / "west.tif", corners).to_file(folder / "done.gpkg")
    config = parse_config(
        {
            "name": "round",
            "seed": seed,
            "data": {
                "scenes": [str(SAMPLES / "west.tif")],
                "labels": str(SAMPLES / "labels.gpkg"),
                "legend": str(SAMPLES / "legend.toml"),
                "label_field": "kind",
                "label_extent": str(folder / "done.gpkg"),
                "crop": SIDE,
            },
            "model": {
                "arch": "unet",
                "encoder": "tu-resnet10t",
                "options": {"encoder_depth": 3, "decoder_channels": [48, 32, 16]},
            },
            "optimizer": {"lr": 3e-3},
            "augment": {"flip": 0.5, "rotate": 0.75, "brightness": 0.2, "contrast": 0.15},
            "train": {"steps": STEPS, "batch_size": 8, "workers": 0},
        }
    )
    geoseg.train(config, folder / "run")
    return folder / "run" / "model.safetensors"


def score(model, folder):
    geoseg.predict([SAMPLES / "east.tif"], model, folder / "map.tif")
    report = geoseg.evaluate(
        [folder / "map.tif"],
        SAMPLES / "labels.gpkg",
        options=EvaluateOptions(legend=SAMPLES / "legend.toml", labels=LabelOptions(field="kind")),
    )
    return report.scores["mean_iou"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--more", type=int, default=8)
    args = parser.parse_args()
    gains = []
    print(f"mean IoU of east.tif; {args.first} squares of {SIDE} px, then {args.more} more")
    print(f"{'seed':>4} {'before':>8} {'random':>8} {'suggested':>10}")
    for seed in range(args.seeds):
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            first = random_squares(rng, args.first, [])
            model = train(folder / "first", first, seed)
            places = geoseg.suggest(
                [SAMPLES / "west.tif"],
                model,
                folder / "places.gpkg",
                SuggestOptions(
                    count=args.more, size=SIDE * 0.5, labelled=folder / "first" / "done.gpkg"
                ),
            )
            told = first + [place.window[:2] for place in places]
            drawn = first + random_squares(rng, args.more, first)
            figures = [
                score(model, folder / "first"),
                score(train(folder / "random", drawn, seed), folder / "random"),
                score(train(folder / "told", told, seed), folder / "told"),
            ]
        gains.append(figures[2] - figures[1])
        print(f"{seed:>4} {figures[0]:>8.3f} {figures[1]:>8.3f} {figures[2]:>10.3f}", flush=True)
    print(f"suggested less random: {np.mean(gains):+.3f} on average, {np.min(gains):+.3f} at least")


if __name__ == "__main__":
    main()
