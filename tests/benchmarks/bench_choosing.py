"""Which rule of choosing squares teaches most? Many seeds, with a learner of a second or two.

`bench_suggest.py` trains networks and takes minutes a seed. Here a small network over smoothed
bands, their spreads and gradients classifies each pixel by itself: it is trained to the end in
seconds, and two trainings on the same squares differ by 0.01 of mean IoU. It learns from some
squares of one scene of the sample data; then from more, too, which `geoseg.geo.choosing` chooses by
its map of the whole scene, which are the most doubtful ones, or which are drawn at random. All of
its maps of the other scene, which it never learns from, are compared with the labels.

Run: `python tests/benchmarks/bench_choosing.py [--learn east] [--seeds 12] [--from-seed 200]`
"""

import argparse

import numpy as np
import rasterio
import torch
from bench_suggest import LABELS, LEGEND, SAMPLES, SIDE, mean_and_error
from scipy import ndimage
from torch.nn import functional

from geoseg.geo.choosing import Candidates, choose
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene

CLASSES = 5
STEP = SIDE // 2


def features_of(bands, mean, deviation):
    """(45, height, width): bands and an index of plants at five scales, spreads and gradients."""
    index = (bands[3] - bands[0]) / np.maximum(bands[3] + bands[0], 1)
    layers = (bands - mean[:, None, None]) / deviation[:, None, None] * (bands > 0).all(0)
    layers = [*layers, (index - 0.3) * 4]
    found = []
    for sigma in (0.7, 1.5, 3, 6, 12):
        smooth = [ndimage.gaussian_filter(layer, sigma) for layer in layers]
        found += smooth
        for number in (1, 3):
            squares = ndimage.gaussian_filter(layers[number] ** 2, sigma)
            found.append(np.sqrt(np.maximum(squares - smooth[number] ** 2, 0)))
            found.append(ndimage.gaussian_gradient_magnitude(layers[number], sigma))
    return np.stack(found).astype(np.float32)


class Land:
    """Two scenes: squares of one are labelled, maps of the other are judged."""

    def __init__(self, learned, judged):
        legend = Legend.open(LEGEND)
        self.labels = Labels.open(LABELS, legend, LabelOptions(field="kind"))
        bands = self._read(learned)
        valid = (bands > 0).all(0)
        statistics = bands[:, valid].mean(1), bands[:, valid].std(1)
        self.truth = self._mask(learned)
        self.features = features_of(bands, *statistics)
        rows, cols = ((side - SIDE) // STEP + 1 for side in valid.shape)
        self.corners = np.mgrid[:rows, :cols].reshape(2, -1).T * STEP
        means, squares = (self.over_squares(each) for each in (bands, bands.astype(float) ** 2))
        self.looks = np.hstack([means, np.sqrt(np.maximum(squares - means**2, 0))])
        self.is_whole = self.over_squares(valid[None])[:, 0] > 0.5
        other = self._read(judged)
        truth = self._mask(judged).ravel()
        counted = np.flatnonzero((other > 0).all(0).ravel() & (truth < CLASSES))[::5]
        judged_features = features_of(other, *statistics).reshape(45, -1)
        self.judged = torch.from_numpy(judged_features.T[counted]), truth[counted]

    def _read(self, name):
        with rasterio.open(SAMPLES / f"{name}.tif") as dataset:
            return dataset.read().astype(np.float32)

    def _mask(self, name):
        return self.labels.mask(Scene.open(SAMPLES / f"{name}.tif").grid).astype(np.int64)

    def over_squares(self, layers):
        """Means (squares, layers) over all squares."""
        sums = np.zeros((len(layers), *(side + 1 for side in layers.shape[1:])))
        sums[:, 1:, 1:] = layers.astype(float).cumsum(1).cumsum(2)
        top, left = self.corners.T
        bottom, right = top + SIDE, left + SIDE
        total = sums[:, bottom, right] - sums[:, top, right] - sums[:, bottom, left]
        return np.maximum(total + sums[:, top, left], 0).T / SIDE**2

    def samples(self, squares):
        """Features and classes of all labelled pixels of some squares."""
        parts = [np.s_[r : r + SIDE, c : c + SIDE] for r, c in self.corners[list(squares)]]
        features = np.hstack([self.features[:, *part].reshape(45, -1) for part in parts]).T
        truth = np.hstack([self.truth[part].ravel() for part in parts])
        seen = truth < CLASSES
        return torch.from_numpy(features[seen]), torch.from_numpy(truth[seen])

    def shared(self, square):
        """Share of each square that lies in one of them."""
        apart = np.abs(self.corners - self.corners[square])
        return np.clip(SIDE - apart, 0, None).prod(1) / SIDE**2

    def take(self, count, taken, order):
        """The first squares of an order that overlap none before."""
        chosen, free = [], self.is_whole.copy()
        for square in taken:
            free &= self.shared(square) == 0
        for square in order:
            if free[square] and len(chosen) < count:
                chosen.append(int(square))
                free &= self.shared(square) == 0
        return chosen


def fit(features, truth, seed):
    """Train a classifier of pixels: cross-entropy and Dice, a cosine from 0.01, 300 steps."""
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], 48), torch.nn.ReLU(),
        torch.nn.Linear(48, 48), torch.nn.ReLU(), torch.nn.Linear(48, CLASSES),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for _ in range(300):
        batch = torch.randint(0, len(features), (2048,), generator=draws)
        scores, wanted = network(features[batch]), truth[batch]
        shares, right = scores.softmax(1), functional.one_hot(wanted, CLASSES).float()
        dice = (2 * (shares * right).sum(0) + 1) / (shares.sum(0) + right.sum(0) + 1)
        loss = functional.cross_entropy(scores, wanted) + (1 - dice[right.any(0)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@torch.no_grad()
def mean_iou(network, land):
    features, truth = land.judged
    found = network(features).argmax(1).numpy()
    matrix = np.bincount(truth * CLASSES + found, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    return np.mean(np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix)))


@torch.no_grad()
def survey(network, land):
    """Mean entropy of the map of each square."""
    features = torch.from_numpy(land.features.reshape(45, -1).T)
    parts = [
        torch.special.entr(network(part).softmax(1)).sum(1) for part in features.split(1 << 17)
    ]
    entropy = torch.cat(parts).reshape(1, *land.truth.shape) / np.log(CLASSES)
    return np.where(land.is_whole, land.over_squares(entropy.numpy())[:, 0], 0)


def suggested(land, first, count, doubt):
    """What `suggest` chooses."""
    candidates = Candidates(
        scene=np.zeros(len(doubt), np.int64),
        corners=land.corners / SIDE,
        centres=land.corners[:, ::-1] / SIDE + 0.5,
        doubt=doubt,
        looks=land.looks,
        labelled=sum(land.shared(square) for square in first),
    )
    return [choice.index for choice in choose(candidates, count)]


def figures_of(land, seed, args):
    """Mean IoU before, by chance (averaged over draws), by doubt alone, and as suggested."""
    rng, squares = np.random.default_rng(seed), len(land.corners)
    first = land.take(args.first, [], rng.permutation(squares))
    start = fit(*land.samples(first), seed)
    doubt = survey(start, land)
    arms = [land.take(args.more, first, rng.permutation(squares)) for _ in range(args.draws)]
    arms.append(land.take(args.more, first, np.argsort(-doubt)))
    arms.append(suggested(land, first, args.more, doubt))
    scores = [mean_iou(fit(*land.samples(first + more), seed + 1), land) for more in arms]
    return mean_iou(start, land), np.mean(scores[:-2]), *scores[-2:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learn", choices=["west", "east"], default="west")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--from-seed", type=int, default=200)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--more", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    other = {"west": "east", "east": "west"}[args.learn]
    land, rows = Land(args.learn, other), []
    print(f"mean IoU of {other}.tif; {args.first} squares of {SIDE} px, then {args.more} more")
    print(f"{'seed':>4} {'before':>7} {'random':>7} {'doubt':>7} {'suggested':>10}")
    for seed in range(args.from_seed, args.from_seed + args.seeds):
        rows.append(figures_of(land, seed, args))
        before, drawn, doubt, told = rows[-1]
        print(f"{seed:>4} {before:>7.3f} {drawn:>7.3f} {doubt:>7.3f} {told:>10.3f}", flush=True)
    before, drawn, doubt, told = np.array(rows).T
    print(f"random less before:    {mean_and_error(drawn - before)} (mean, standard error)")
    print(f"doubt less random:     {mean_and_error(doubt - drawn)}")
    print(f"suggested less random: {mean_and_error(told - drawn)}, {(told > drawn).sum()} seeds up")


if __name__ == "__main__":
    main()
