"""A folder of small good files, and how a command must refuse a bad one."""

import hashlib
import os
import shlex
import shutil
import signal
import warnings

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from shapely import box

from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg_cli.main import main

LEGEND = """
[[classes]]
value = 0
name = "ground"
[[classes]]
value = 1
name = "roof"
from = ["house"]
"""
TRAIN = """
name = "small"
[data]
tiles = ["tiles"]
crop = 16
[model]
arch = "linear"
[train]
epochs = 1
batch_size = 2
workers = 0
device = "cpu"
precision = "fp32"
"""
NAMES = ("red", "green", "blue")


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory):
    """Made once: scene.tif, classes.tif, model.safetensors, roofs.gpkg, legend.toml, tiles/."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("good")
    pixels = np.random.default_rng(3).integers(1, 255, (3, 40, 48)).astype("uint8")
    _write_raster(folder / "scene.tif", pixels)
    _write_raster(folder / "classes.tif", (pixels[:1] > 99).astype("uint8"), nodata=255)
    _write_labels(folder / "roofs.gpkg")
    (folder / "legend.toml").write_text(LEGEND)
    (folder / "train.toml").write_text(TRAIN)
    _save_bundle(folder / "model.safetensors")
    labels = ["--labels", folder / "roofs.gpkg", "--legend", folder / "legend.toml"]
    words = ["tile", folder / "scene.tif", *labels, "--label-field", "kind", "--size", "16"]
    words += ["--split", "0.5,0.5,0", "--block", "16", "-o", folder / "tiles", "-q"]
    assert main([*map(str, words)]) == 0
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def place(good_folder, tmp_path, monkeypatch):
    """A copy of the good files, in which the test stands."""
    shutil.copytree(good_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make_labels(place):
    """`make_labels("a.gpkg", kinds=("house", "shed"))`: two squares of 16 m on the scene."""

    def make(name, **more):
        return _write_labels(place / name, **more)

    return make


@pytest.fixture
def make_bundle(place):
    """`make_bundle("a.safetensors", bands=("a", "b"))`: a linear network of random weights."""

    def make(name, **more):
        return _save_bundle(place / name, **more)

    return make


class Burglar:
    """Makes the file `burgled` when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)


@pytest.fixture
def burglar():
    """To be pickled: whoever unpickles it makes the file `burgled`."""
    return Burglar()


@pytest.fixture
def refuse(place, capfd):
    """`refuse("info x.tif", "x.tif", "does not exist", cure="Check the path")`.

    How every refusal must look: one line on stderr, libraries included, with these parts; the
    exit code; a cure; nothing on stdout; not a file or folder made, changed or removed.
    """
    handler = signal.getsignal(signal.SIGTERM)

    def check(words, *parts, cure="", code=2):
        before = listing(place)
        capfd.readouterr()
        answer = main(shlex.split(words))
        out, err = capfd.readouterr()
        assert answer == code, err
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.startswith("Error: ")
        assert err.endswith(".\n"), "an error ends with a full stop where it tells a cure"
        assert err[:-1].isprintable(), "a name may drive the terminal"
        assert "Traceback" not in err
        assert "defect of geoseg" not in err
        assert [part for part in (*parts, cure) if part not in err] == [], err
        assert listing(place) == before

    yield check
    signal.signal(signal.SIGTERM, handler)


def listing(folder):
    """Every file and folder, hidden ones too, with what is in it."""
    return {path.relative_to(folder): _content(path) for path in folder.rglob("*")}


def _content(path):
    if path.is_symlink():
        return os.fspath(path.readlink())
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


def _write_raster(path, data, **profile):
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    grid = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500_000, 0, -2, 5_400_000)}
    profile = {"driver": "GTiff", "dtype": data.dtype, **shape, **grid, **profile}
    with rasterio.open(path, "w", **profile) as file:
        file.write(data)
        if len(data) == len(NAMES):
            file.descriptions = NAMES


def _write_labels(path, *, kinds=("house", "house"), crs="EPSG:32632", corner=(5e5, 54e5), **more):
    left, top = corner
    squares = [box(left + x, top - x - 16, left + x + 16, top - x) for x in (8, 40)]
    frame = geopandas.GeoDataFrame({"kind": list(kinds)}, geometry=squares, crs=crs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        frame.to_file(path, **more)
    return path


def _save_bundle(path, *, bands=NAMES, dtype="uint8", window=16):
    spec = ModelSpec(arch="linear", in_channels=len(bands), classes=2)
    card = ModelCard(
        spec=spec,
        legend=Legend.of_values((0, 1), {0: "ground", 1: "roof"}).to_dict(),
        bands=bands,
        dtype=dtype,
        scaling=Scaling(),
        window=window,
        stride=window // 2,
    )
    network = build_model(spec)
    with torch.no_grad():
        # Scores are the bytes of the first bands, which bf16 holds exactly: no doubtful class.
        torch.nn.init.eye_(network.network.weight.view(spec.classes, spec.in_channels))
        network.network.bias.zero_()
    ModelBundle.of(network, card).save(path)
    return path
