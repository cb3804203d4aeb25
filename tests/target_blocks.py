"""Targets of blocks, and where their classes meet, pixel by pixel."""

import numpy as np

IGNORE = 255


def blocks(seed=0, classes=3, ignored=0.2):
    """(2, 12, 20) of blocks of 4 pixels, of which some are ignored, as are single pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (2, 3, 5))
    coarse[rng.random(coarse.shape) < ignored] = IGNORE
    target = np.kron(coarse, np.ones((1, 4, 4), dtype=int))
    target[rng.random(target.shape) < ignored / 4] = IGNORE
    return target.astype(np.uint8)


def naive_boundaries(target, ignore, reach):
    """Pixel by pixel: whether the labelled ones around it are of two classes."""
    found = np.zeros(target.shape, dtype=bool)
    for image, row, col in np.ndindex(target.shape):
        rows = slice(max(row - reach, 0), row + reach + 1)
        cols = slice(max(col - reach, 0), col + reach + 1)
        around = set(target[image, rows, cols].ravel().tolist()) - {ignore}
        found[image, row, col] = target[image, row, col] != ignore and len(around) > 1
    return found
