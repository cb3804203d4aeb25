"""`tile` against a plain rasterio loop, side by side: the same windows, the same compression.

Run by hand: `python tests/benchmarks/bench_tile.py [--jobs 2] [--size 256] [--stride 128]`.
Each side runs several times in turn; the medians are compared. Both write a GeoTIFF for the image
and one for the mask of every window; geoseg also checks, splits, counts, indexes and syncs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from scipy.ndimage import gaussian_filter

from geoseg.geo.windows import sliding_windows
from geoseg.tile import TileOptions, tile

SIDE = 4096


def make_scene(folder: Path) -> tuple[Path, Path]:
    """Write a scene of 4096 x 4096 pixels with the texture of an image, and its labels."""
    rng = np.random.default_rng(0)
    height = gaussian_filter(rng.normal(size=(SIDE, SIDE)).astype(np.float32), 24)
    classes = np.digitize(height, np.quantile(height, [0.4, 0.7, 0.9])).astype(np.uint8)
    noise = rng.normal(0, 4, (3, SIDE, SIDE))
    data = np.clip(60 + 40 * classes + 900 * height + noise, 0, 255).astype(np.uint8)
    profile = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "crs": "EPSG:32631", "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "dtype": "uint8",
        "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    }  # fmt: skip
    scene, labels = folder / "scene.tif", folder / "labels.tif"
    with rasterio.open(scene, "w", count=3, **profile) as dataset:
        dataset.write(data)
    with rasterio.open(labels, "w", count=1, **profile) as dataset:
        dataset.write(classes, 1)
    return scene, labels


def plain_loop(scene: Path, labels: Path, output: Path, size: int, stride: int) -> int:
    """Read and write window by window, as one would by hand."""
    output.mkdir()
    with rasterio.open(scene) as image, rasterio.open(labels) as mask:
        windows = sliding_windows(image.shape, size, stride)
        for i, window in enumerate(windows):
            for source, kind in ((image, "image"), (mask, "mask")):
                profile = {
                    "driver": "GTiff", "count": source.count, "dtype": "uint8",
                    "height": size, "width": size, "crs": source.crs,
                    "transform": source.window_transform(window),
                    "compress": "deflate", "zlevel": 1,
                }  # fmt: skip
                with rasterio.open(output / f"{kind}_{i}.tif", "w", **profile) as target:
                    target.write(source.read(window=window))
    return len(windows)


def main() -> None:
    """Measure both sides and print their rates and ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--stride", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        scene, labels = make_scene(folder)
        options = TileOptions(
            size=given.size, stride=given.stride, split=(1, 0, 0), jobs=given.jobs
        )
        seconds: dict[str, list[float]] = {"plain rasterio loop": [], "geoseg tile": []}
        for repeat in range(given.repeats):
            start = time.perf_counter()
            count = plain_loop(scene, labels, folder / f"a{repeat}", given.size, given.stride)
            seconds["plain rasterio loop"].append(time.perf_counter() - start)
            start = time.perf_counter()
            found = tile([str(scene)], str(labels), folder / f"b{repeat}", options)
            seconds["geoseg tile"].append(time.perf_counter() - start)
            if len(found.tiles) != count:
                raise SystemExit(f"{len(found.tiles)} tiles, the loop made {count}")
            shutil.rmtree(folder / f"a{repeat}")
            shutil.rmtree(folder / f"b{repeat}")
        medians = [statistics.median(times) for times in seconds.values()]
        for name, median in zip(seconds, medians, strict=True):
            print(f"{name}: {count / median:.0f} tiles/s ({median:.2f} s for {count})")
        print(f"ratio: {medians[0] / medians[1]:.2f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
