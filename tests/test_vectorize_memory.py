"""How much memory `vectorize` takes, by the height of the raster."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine

WIDTH = 1536
PEAK = """
import resource, sys
from geoseg.vectorize import VectorizeOptions, vectorize
vectorize(sys.argv[1], sys.argv[2], VectorizeOptions(overwrite=True))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_bands(path, rows):
    """Blobs that touch neither each other nor the next block of rows."""
    rng = np.random.default_rng(0)
    block = np.zeros((500, WIDTH), np.uint8)
    for row, col in zip(rng.integers(5, 470, 300), rng.integers(5, WIDTH - 30, 300), strict=True):
        block[row : row + 20, col : col + 20] = rng.integers(1, 4)
    block[-2:] = 255
    profile = {"count": 1, "dtype": "uint8", "nodata": 255, "tiled": True, "compress": "deflate"}
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 4e5, 0, -0.5, 5e6)}
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=WIDTH, **profile, **place
    ) as dataset:
        for top in range(0, rows, 500):
            dataset.write(block, 1, window=((top, top + 500), (0, WIDTH)))
    return path


def peak(source, target):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, source, target], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height(tmp_path):
    """Ten times the rows hold 55 MB more of pixels and ten times the polygons."""
    low = write_bands(tmp_path / "low.tif", 4000)
    high = write_bands(tmp_path / "high.tif", 40_000)
    peak(low, tmp_path / "warm.gpkg")  # compiles
    assert peak(high, tmp_path / "high.gpkg") < 1.1 * peak(low, tmp_path / "low.gpkg")
