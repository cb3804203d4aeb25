"""Borders between regions of small rasters, found by walking, and polygons made of them by GEOS."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from scipy import ndimage


@dataclass(frozen=True, kw_only=True)
class Borders:
    labels: np.ndarray
    arcs: list  # of (n, 2) vertices as (col, row)
    closed: np.ndarray
    fixed: np.ndarray
    sides: list  # of pairs of regions; 0 is outside

    @property
    def coords(self):
        return np.concatenate(self.arcs)

    @property
    def offsets(self):
        return np.cumsum([0, *map(len, self.arcs)])

    def bits(self):
        height, width = self.labels.shape
        bits = np.zeros((height + 1, width + 8), np.uint8)
        cols, rows = self.coords.astype(int).T
        bits[rows, cols] = 1
        return np.packbits(bits[:, : (width + 8) // 8 * 8], axis=1, bitorder="little")

    def polygons(self, coords, offsets):
        """One geometry per region, whatever has become of the borders."""
        numbers = np.repeat(np.arange(len(self.arcs)), np.diff(offsets))
        lines = shapely.linestrings(coords, indices=numbers)
        around = [[] for _ in range(self.labels.max() + 1)]
        for line, pair in zip(lines, self.sides, strict=True):
            for region in pair:
                around[region].append(line)
        return np.array([shapely.build_area(shapely.multilinestrings(a)) for a in around[1:]])


def label(values):
    """Number 4-connected regions of equal value from 1."""
    labels = np.zeros(values.shape, int)
    for value in np.unique(values):
        found, _ = ndimage.label(values == value)
        labels[found > 0] = found[found > 0] + labels.max()
    return labels


def find_borders(values):
    labels = label(values)
    padded = np.pad(labels, 1)
    ways = _ways(padded)
    nodes = {point for point, others in ways.items() if len(others) > 2}
    used, paths, closed = set(), [], []
    for starts in (nodes, ways.keys() - nodes):
        for start in sorted(starts, key=lambda point: point[::-1]):
            for following in ways[start]:
                if (start, following) not in used:
                    paths.append(_walk(start, following, ways, nodes, used))
                    closed.append(start not in nodes)
    sides = [_sides(padded, *path[:2]) for path in paths]
    return Borders(
        labels=labels,
        arcs=[_turns(np.array(path, float)) for path in paths],
        closed=np.array(closed),
        fixed=np.array([min(pair) == 0 for pair in sides]),
        sides=sides,
    )


def _ways(padded):
    """From each corner of the lattice, the next ones that borders lead to."""
    ways = {}
    lying = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    standing = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    pairs = [((c, r), (c + 1, r)) for r, c in lying.tolist()]
    pairs += [((c, r), (c, r + 1)) for r, c in standing.tolist()]
    for one, other in pairs:
        ways.setdefault(one, []).append(other)
        ways.setdefault(other, []).append(one)
    return ways


def _walk(start, following, ways, nodes, used):
    path = [start, following]
    while path[-1] not in nodes and path[-1] != start:
        path.append(next(point for point in ways[path[-1]] if point != path[-2]))
    for one, other in pairwise(path):
        used.update([(one, other), (other, one)])
    return path


def _sides(padded, one, other):
    (col, row), down = min(one, other), one[0] == other[0]
    if down:
        return padded[row + 1, col], padded[row + 1, col + 1]
    return padded[row, col + 1], padded[row + 1, col + 1]


def _turns(path):
    """Only those vertices where a path turns, and its ends."""
    steps = np.diff(path, axis=0)
    return path[np.r_[True, (steps[1:] != steps[:-1]).any(1), True]]
