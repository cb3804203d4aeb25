"""One file of the corpus of odd files, and what must become of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

PREDICT = "predict {} -m model.safetensors -o out.tif"
LABELLED = "tile scene.tif --labels {} --legend legend.toml --label-field kind --size 16 -o out"
PLACE = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500_000, 0, -2, 5_400_000)}


@dataclass(frozen=True)
class Case:
    """A file that a stranger may give, and what a command must do with it."""

    name: str
    """Says what is odd."""

    make: Callable[[Path], object]
    """Writes it into a folder of good files."""

    words: str
    """The command."""

    refused: tuple[str, ...] = ()
    """Parts of the one line that refuses it; empty where it works."""

    works: Callable[[Path], object] | None = None
    """Checks what was made of it."""


def write_raster(path, data, **profile):
    """Write an array (bands, height, width) by rasterio alone."""
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    profile = {"driver": "GTiff", "dtype": data.dtype, **shape, **PLACE, **profile}
    names = profile.pop("names", ())
    with rasterio.open(path, "w", **profile) as file:
        file.write(data)
        for band, name in enumerate(names, start=1):
            file.set_band_description(band, name)


def noise(*shape, dtype="uint8", high=255):
    return np.random.default_rng(sum(shape)).integers(1, high, shape).astype(dtype)


def writes(name, content):
    """A maker of a file of these bytes or this text."""

    def make(folder):
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)

    return make


def links(name, target):
    """A maker of a symbolic link."""
    return lambda folder: (folder / name).symlink_to(target)


def both(*makers):
    """A maker of several files."""

    def make(folder):
        for maker in makers:
            maker(folder)

    return make
