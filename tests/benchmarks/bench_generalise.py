"""Time and memory of merging small regions and of filling holes; GDAL's sieve beside it.

Usage: python tests/benchmarks/bench_generalise.py [--side 4096] [--area 16]
       python tests/benchmarks/bench_generalise.py --heights 4000,40000 --width 4096

The first compares times with `rasterio.features.sieve`, which holds the whole raster, takes the
largest neighbour instead of the longest border and leaves nothing to compare but time. Times are
those of the processor, as others may use the machine, too. The second tells peaks of memory on
rasters of different heights, which are made block by block; each run is a process of its own.
"""

import argparse
import subprocess
import sys
import time

import numpy as np
from affine import Affine
from rasterio import features
from scipy import ndimage

from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.generalising import fill_holes, merge_small
from geoseg.geo.grid import Grid

NODATA = 255
MAPS = ("land cover", "3 % salt", "15 % salt", "noise", "checkerboard")
SALT = {"land cover": 0.0, "3 % salt": 0.03, "15 % salt": 0.15}
WORKS = {"merge": merge_small, "fill": fill_holes}


def make_map(kind, height, width, seed=0):
    if kind == "checkerboard":
        return (np.indices((height, width), np.int32).sum(0) % 2).astype(np.uint8)
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 6, (height, width), np.uint8)
    best, values = np.full((height, width), -np.inf, np.float32), np.zeros((height, width), "u1")
    for number in range(5):
        field = ndimage.gaussian_filter(rng.standard_normal((height, width), np.float32), 12)
        values[field > best] = number
        np.maximum(best, field, out=best)
    noisy = rng.random((height, width), np.float32) < SALT[kind]
    values[noisy] = rng.integers(0, 5, noisy.sum())
    return values


class MadeRows:
    """Rows of a raster that is nowhere in whole: different blocks in turns."""

    dtype = np.dtype(np.uint8)

    def __init__(self, kind, height, width):
        self.shape = height, width
        self._blocks = [make_map(kind, 200, width, seed) for seed in range(5)]

    def blocks(self):
        for top in range(0, self.shape[0], 200):
            yield top, self._blocks[top // 200 % 5][: self.shape[0] - top]


def grid_of(height, width):
    return Grid(height=height, width=width, transform=Affine.identity(), crs=None)


def run_through(rows):
    return sum(block.size for _, block in rows.blocks())


def seconds(work, *arguments):
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def compare_times(side, area):
    warm = ArrayRows(make_map("noise", 64, 64))
    for work in WORKS.values():
        run_through(work(warm, grid_of(64, 64), area, NODATA))
    print(f"{side} x {side} pixels, {area} pixels of area; seconds of the processor")
    for kind in MAPS:
        values = make_map(kind, side, side)
        rows, grid = ArrayRows(values, 256), grid_of(side, side)
        spans = {
            name: seconds(run_through, work(rows, grid, area, NODATA))
            for name, work in WORKS.items()
        }
        spans["sieve"] = seconds(features.sieve, values, area)
        print(f"{kind:>12}: " + ", ".join(f"{name} {span:6.2f}" for name, span in spans.items()))


def tell_peak(kind, height, width, area):
    rows, grid = MadeRows(kind, height, width), grid_of(height, width)
    run_through(fill_holes(merge_small(rows, grid, area, NODATA), grid, area, NODATA))
    with open("/proc/self/status") as status:
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)


def compare_peaks(heights, width, area):
    for kind in MAPS:
        told = []
        for height in (200, *heights):
            command = [sys.executable, __file__, "--peak", kind, "--area", str(area)]
            command += ["--heights", str(height), "--width", str(width)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told.append(f"{height} rows {float(done.stdout):.0f} MiB")
        print(f"{kind:>12} x {width}: " + ", ".join(told), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--area", type=int, default=16)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--heights", help="compare peaks of memory instead: 4000,40000")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    heights = [int(height) for height in (options.heights or "").split(",") if height]
    if options.peak:
        tell_peak(options.peak, heights[0], options.width, options.area)
    elif heights:
        compare_peaks(heights, options.width, options.area)
    else:
        compare_times(options.side, options.area)


if __name__ == "__main__":
    main()
