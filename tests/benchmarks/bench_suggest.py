"""Does labelling where `suggest` says teach more than labelling anywhere?

A network is trained on a few squares of one scene of the sample data. Then more squares are added:
those that `suggest` ranks first, or as many drawn at random among the same candidates. From the
weights of the first round on, the network is trained on all squares, equally long in both arms, and
maps of the other scene, which nobody learned from, are compared with its labels. Chance is drawn
several times and averaged. `random > before` tells whether labels help here at all.

Run: `python tests/benchmarks/bench_suggest.py [--seeds 8] [--first 4] [--more 8] [--draws 2]`
"""

import argparse
import tempfile
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
import torch

import geoseg
from geoseg import EvaluateOptions, LabelOptions, PredictOptions, SuggestOptions, TileOptions
from geoseg.nn.config import parse_config

SAMPLES = Path(__file__).parents[2] / "sample_data"
LABELS, LEGEND = SAMPLES / "labels.gpkg", SAMPLES / "legend.toml"
SIDE, METRES = 64, 0.5
FIRST_STEPS, MORE_STEPS = 300, 300


def squares_of(scene, corners):
    with rasterio.open(scene) as dataset:
        transform, crs = dataset.transform, dataset.crs
    shapes = []
    for row, col in corners:
        x, y = transform @ (col, row)
        right, bottom = transform @ (col + SIDE, row + SIDE)
        shapes.append(shapely.box(x, bottom, right, y))
    return geopandas.GeoDataFrame(geometry=shapes, crs=crs)


def random_squares(rng, scene, count, taken):
    """Squares on the lattice that `suggest` chooses from, apart from those taken."""
    with rasterio.open(scene) as dataset:
        valid = dataset.dataset_mask() > 0
    chosen = list(taken)
    while len(chosen) < len(taken) + count:
        row, col = (int(rng.integers(0, (side - SIDE) // 32 + 1)) * 32 for side in valid.shape)
        apart = all(abs(row - r) >= SIDE or abs(col - c) >= SIDE for r, c in chosen)
        if apart and valid[row : row + SIDE, col : col + SIDE].mean() >= 0.5:
            chosen.append((row, col))
    return chosen[len(taken) :]


def tiles_of(folder, scene, extent, split):
    """All windows that lie in the labelled squares, half a window apart."""
    options = TileOptions(
        size=SIDE,
        stride=SIDE // 2,
        split=split,
        split_by="scene",
        min_labelled=0.99,
        labels=LabelOptions(field="kind", extent=extent),
    )
    geoseg.tile([scene], LABELS, folder, options, legend=LEGEND)
    return folder


def train(folder, scene, corners, seed, start=None):
    """Train on squares; the last weights, averaged over the steps, are what is kept."""
    folder.mkdir(parents=True)
    squares_of(scene, corners).to_file(folder / "done.gpkg")
    steps = MORE_STEPS if start else FIRST_STEPS
    config = parse_config(
        {
            "name": "round",
            "seed": seed,
            "data": {
                "tiles": [
                    str(tiles_of(folder / "tiles", scene, folder / "done.gpkg", (1, 0, 0))),
                    # one epoch: validation runs once and decides nothing
                    str(tiles_of(folder / "val", scene, folder / "done.gpkg", (0, 1, 0))),
                ],
                "crop": SIDE,
                "samples": steps * 8,
            },
            "model": {
                "arch": "unet",
                "encoder": "tu-resnet10t",
                "options": {"encoder_depth": 3, "decoder_channels": [48, 32, 16]},
                "weights": str(start) if start else "none",
            },
            "optimizer": {"lr": 2e-3 if start else 3e-3},
            "schedule": {"name": "cosine", "warmup": 20},
            "augment": {"flip": 0.5, "rotate": 0.75, "brightness": 0.2, "contrast": 0.15},
            "train": {
                "epochs": 1,
                "batch_size": 8,
                "workers": 0,
                "average": "ema",
                "average_decay": 0.97,
            },
            "log": {"tensorboard": False},
        }
    )
    geoseg.train(config, folder / "run")
    return folder / "run" / "model.safetensors"


def score(model, scene):
    target = model.with_name("map.tif")
    geoseg.predict([scene], model, target, PredictOptions(window=256))
    options = EvaluateOptions(legend=LEGEND, labels=LabelOptions(field="kind"))
    return geoseg.evaluate([target], LABELS, options=options).scores["mean_iou"]


def first_and_more(seed, args, folder):
    """Mean IoU before, of each draw by chance, and of what is suggested; in that order."""
    learned, judged = SAMPLES / "west.tif", SAMPLES / "east.tif"
    first = random_squares(np.random.default_rng(seed), learned, args.first, [])
    start = train(folder / "first", learned, first, seed)
    options = SuggestOptions(
        count=args.more, size=SIDE * METRES, labelled=folder / "first" / "done.gpkg"
    )
    places = geoseg.suggest([learned], start, folder / "places.gpkg", options)
    draws = [
        random_squares(np.random.default_rng([seed, draw]), learned, args.more, first)
        for draw in range(args.draws)
    ]
    figures = [score(start, judged)]
    for number, more in enumerate([*draws, [place.window[:2] for place in places]]):
        model = train(folder / str(number), learned, first + more, seed, start)
        figures.append(score(model, judged))
    return figures


def mean_and_error(values):
    return f"{np.mean(values):+.3f} +- {np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--from-seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--more", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"mean IoU of east.tif; {args.first} squares of {SIDE} px, then {args.more} more")
    print(f"{'seed':>4} {'before':>7} {'suggested':>9}  random, {args.draws} draws")
    for seed in range(args.from_seed, args.from_seed + args.seeds):
        with tempfile.TemporaryDirectory() as name:
            before, *drawn, told = first_and_more(seed, args, Path(name))
        rows.append((before, np.mean(drawn), told))
        listing = " ".join(f"{value:.3f}" for value in drawn)
        print(f"{seed:>4} {before:>7.3f} {told:>9.3f}  {listing}", flush=True)
    before, drawn, told = np.array(rows).T
    print(f"random less before:    {mean_and_error(drawn - before)} (mean, standard error)")
    print(f"suggested less random: {mean_and_error(told - drawn)}, {(told > drawn).sum()} seeds up")


if __name__ == "__main__":
    main()
