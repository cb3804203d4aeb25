"""Tiny faithful copies of the layouts of published data sets."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geoseg.datasets import DatasetTileOptions, check_dataset, tile_dataset

DRIVERS = {".png": "PNG", ".tif": "GTiff", ".tiff": "GTiff", ".jpg": "JPEG"}


class Layout:
    """A folder into which images, labels and lists are written by rasterio alone."""

    def __init__(self, root):
        self.root = root

    def image(self, path, shape=(3, 8, 8), dtype="uint8", seed=0, **profile):
        """An image of random values; `crs` and `transform` give it a place."""
        data = np.random.default_rng(seed).integers(1, 255, shape).astype(dtype)
        return self.raster(path, data, **profile)

    def index(self, path, mask, palette=None, **profile):
        """A label image of numbers (height, width); `palette`: {number: (red, green, blue)}."""
        mask = np.asarray(mask)
        mask = mask if mask.dtype == np.uint16 else mask.astype(np.uint8)
        return self.raster(path, mask[None], palette=palette, **profile)

    def color(self, path, mask, colors, **profile):
        """A label image of colours: `colors[number]` is "#rrggbb" for each number of the mask."""
        table = {number: bytes.fromhex(color[1:]) for number, color in dict(colors).items()}
        data = np.zeros((3, *np.shape(mask)), np.uint8)
        for number, color in table.items():
            data[:, np.asarray(mask) == number] = np.frombuffer(color, np.uint8)[:, None]
        return self.raster(path, data, **profile)

    def text(self, path, text):
        """A list, a table, or GeoJSON."""
        file = self._place(path)
        file.write_text(text, encoding="utf-8")
        return file

    def raster(self, path, data, palette=None, **profile):
        """Any raster of values (bands, height, width); the suffix tells the format."""
        file = self._place(path)
        shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
        profile = {"driver": DRIVERS[file.suffix], "dtype": data.dtype, **shape, **profile}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(file, "w", **profile) as dataset:
                dataset.write(data)
                if palette is not None:
                    dataset.write_colormap(1, palette)
        return file

    def _place(self, path):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


@pytest.fixture
def layout(tmp_path):
    """An empty `Layout` in `tmp_path / "root"`."""
    root = tmp_path / "root"
    root.mkdir()
    return Layout(root)


@pytest.fixture
def check(layout):
    """`check("loveda")`: the report on what lies in the layout."""
    return lambda name: check_dataset(name, layout.root, jobs=1)


@pytest.fixture
def tile(layout, tmp_path):
    """`tile("loveda", size=8)`: the tile set of what lies in the layout."""

    def cut(name, size=8, **options):
        options = DatasetTileOptions(size=size, jobs=1, **options)
        return tile_dataset(name, layout.root, tmp_path / "tiles", options)

    return cut


@pytest.fixture
def masks():
    """`masks(tiles, "train")`: masks of the tiles by (stem of the image, row, col)."""

    def read(tiles, split):
        return {
            (Path(t.scene).stem, t.row, t.col): tiles.read_tile(t)[1][: t.height, : t.width]
            for t in tiles.split(split)
        }

    return read
