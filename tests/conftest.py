"""Fixtures that all tests share."""

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import settings
from rasterio.errors import NotGeoreferencedWarning

# The same examples on every machine, and no limit of time: other programs may be running.
settings.register_profile("geoseg", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("geoseg")

# ONNX Runtime reports to its makers, and writes into the user's cache; tests import it as well.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_ROOT_LEVEL = logging.root.level
"""Taken here: a fixture of a module may have changed it before the first of its tests."""


def pytest_collection_modifyitems(items):
    """Begin with real scenes: one of them takes minutes, for which a process would be waited."""
    items.sort(key=lambda item: item.get_closest_marker("realdata") is None)


@pytest.fixture(autouse=True)
def _own_logging():
    """Undo what a command set up for its own process: `caplog` listens at the root."""
    yield
    logger = logging.getLogger("geoseg")
    logger.handlers.clear()
    logging.root.setLevel(_ROOT_LEVEL)  # converters of networks leave it higher
    logging.disable(logging.NOTSET)
    for name in ("geoseg", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "geoseg":
            logger = logging.getLogger(name)
            logger.propagate, logger.disabled = True, False
            logger.setLevel(logging.NOTSET)


@pytest.fixture
def make_scene(tmp_path):
    """A factory of small rasters: `make_scene(data, "a.tif", nodata=0)` gives their path.

    `data` is an array (bands, height, width), or a shape of random values of `dtype`. All else
    is written by rasterio alone, so that it is independent of what is tested: `mask` (height,
    width; True = valid) inside the file, or beside it with `external_mask`; `colors` (names of
    colour interpretations, such as "alpha"), `names` of the bands, `colormap`; `more` are
    rasterio's keywords (driver, crs, transform, nodata, tiled, compress, ...). The place
    is UTM 32N with pixels of 2 m, unless `crs` and `transform` say otherwise.
    """

    def make(
        data=(3, 16, 20),
        name="scene.tif",
        *,
        dtype="uint8",
        mask=None,
        external_mask=False,
        colors=None,
        names=(),
        colormap=None,
        **more,
    ):
        path = tmp_path / name
        data = _random(data, dtype) if isinstance(data, tuple) else np.asarray(data)
        place = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500000, 0, -2, 5400000)}
        shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
        profile = {"driver": "GTiff", "dtype": data.dtype, **shape, **place, **more}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with (
                rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not external_mask),
                rasterio.open(path, "w", **profile) as file,
            ):
                file.write(data)
                if colors is not None:
                    file.colorinterp = [rasterio.enums.ColorInterp[color] for color in colors]
                for band, band_name in enumerate(names, start=1):
                    file.set_band_description(band, band_name)
                if colormap is not None:
                    file.write_colormap(1, colormap)
                if mask is not None:
                    file.write_mask(np.asarray(mask))
        return path

    return make


def _random(shape, dtype):
    kind = np.dtype(dtype)
    draw = np.random.default_rng(sum(shape))
    if kind.kind == "f":
        return draw.normal(100, 30, shape).astype(kind)
    return draw.integers(1, min(np.iinfo(kind).max, 10000), shape).astype(kind)


@pytest.fixture(scope="session")
def realdata():
    """The folder of real scenes; the test is skipped where there is none."""
    folder = os.environ.get("GEOSEG_TEST_DATA")
    if not folder:
        pytest.skip("GEOSEG_TEST_DATA names no folder of real scenes")
    return Path(folder)


@pytest.fixture
def _forked_processes(monkeypatch):
    """Processes that train together are forked: none of them imports torch anew."""
    from process_forks import fork_processes  # it imports torch as well

    fork_processes(monkeypatch)
