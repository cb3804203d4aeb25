"""How much memory `evaluate` takes with all its figures, by the height of the scenes."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy import ndimage

WIDTH, BLOCK = 2048, 500
PEAK = """
import resource, sys
from pathlib import Path
from importlib import import_module
job = import_module("geoseg.evaluate")
job._BLOCK_CACHE = 16 << 20  # else GDAL keeps what it has read until that much is full
folder = Path(sys.argv[1])
options = job.EvaluateOptions(
    boundary=2, objects=True, area=True, probabilities=folder / "shares.tif"
)
job.evaluate([folder / "map.tif"], folder / "labels.tif", folder / "report", options)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write(path, block, rows, **profile):
    """The same rows again and again."""
    count = block.shape[0]
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 4e5, 0, -0.5, 5e6)}
    shape = {"count": count, "height": rows, "width": WIDTH, "dtype": "uint8"}
    tiles = {"tiled": True, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles, **place, **profile) as dataset:
        if count > 1:
            dataset.scales = [1 / 200] * count
        for top in range(0, rows, BLOCK):
            dataset.write(block, window=((top, top + BLOCK), (0, WIDTH)))


def peak(folder, rows):
    """MB that scoring a map of so many rows takes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    field, noise = (ndimage.gaussian_filter(rng.normal(size=(BLOCK, WIDTH)), 4) for _ in range(2))
    field[-3:] = -1  # so that no region reaches into the next block
    share = np.clip(100 + 2000 * (field + 0.3 * noise), 0, 200).astype(np.uint8)
    write(folder / "labels.tif", (field > 0)[None].astype(np.uint8), rows)
    write(folder / "map.tif", (share > 100)[None].astype(np.uint8), rows)
    write(folder / "shares.tif", np.stack([200 - share, share]), rows)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, folder], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height(tmp_path):
    peak(tmp_path / "warm", BLOCK)  # compiles
    low, high = peak(tmp_path / "low", 4000), peak(tmp_path / "high", 40_000)
    assert high < 1.1 * low, (low, high)
