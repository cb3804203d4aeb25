"""Small jobs of every command, and a process that runs and kills them; see `work_server.py`."""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import torch
from affine import Affine
from fault_tasks import TASKS as LIGHT_TASKS
from small_land import configure_land, make_land

from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.config import dump_config
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

SHAPE = 1100, 80
PREDICT = "predict {0}/noise.tif -m {0}/model.safetensors --device cpu --precision fp32"
JOBS = {
    "predict": f"{PREDICT} --backend torch --blend hann -o out.tif"
    " --probabilities p.tif --polygons p.gpkg",
    "tile": "tile {0}/land/scene.tif --labels {0}/land/labels.tif --legend {0}/land/legend.toml"
    " --size 16 --stride 12 --split 0.7,0.3,0 -o out",
    "train": "train {0}/train.toml -o out",
    "vectorize": "vectorize {0}/classes.tif -o out.gpkg --simplify 1",
    "relabel": "relabel to-index {0}/images --legend {0}/colors.toml -o out",
    "evaluate": "evaluate {0}/classes.tif --labels {0}/labels.tif --windows 1 -o out",
    "export": "export {0}/linear.safetensors -o out.pt2",
}
"""Words of each command; {0} is the folder of `make_inputs`."""

OTHER_JOBS = {
    "preview": "preview {0}/noise.tif -o out.png",
    "sample": "sample {0}/classes.tif -o out.gpkg",
    "suggest": "suggest {0}/noise.tif -m {0}/linear.safetensors --device cpu -o out.gpkg",
    "votes": "relabel vote {0}/classes.tif {0}/labels.tif -o out.tif",
    "run lengths": "relabel rle-encode {0}/classes.tif -o out.csv",
    "onnx": "export {0}/linear.safetensors -o out.onnx",
    "import": "import {0}/linear.pth -o out.safetensors --arch linear --legend {0}/plain.toml"
    " --divisor 255 --dtype uint8",
    "datasets": "datasets tile {0}/shots.toml {0}/shots -o out --size 32 -j 1",
}
"""Further ones, and further ways of those above."""

LIGHT = {"tile", "vectorize", "relabel", "evaluate", "preview", "sample", "datasets"}
"""Commands that need no torch."""

SHOTS = """
title = "Shots"
labels.encoding = "index"
images.resolution = 0.5
legend.classes = [{ value = 0, name = "ground" }, { value = 1, name = "roof" }]
[splits.train]
images = "*.tif"
labels = "masks/{stem}.tif"
"""
PLAIN = """
[[classes]]
value = 0
name = "ground"
[[classes]]
value = 1
name = "roof"
"""
COLORS = """
[[classes]]
value = 0
name = "field"
color = "#e0c080"
from = [0]
[[classes]]
value = 1
name = "roof"
color = "#c04040"
from = [1, 2]
"""


def make_inputs(folder):
    """Everything that the jobs read."""
    draw = np.random.default_rng(1)
    grid = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}
    grid |= {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8"}
    noise = draw.integers(1, 255, (3, *SHAPE)).astype("uint8")
    # A hole, so that batches do not end where rows of windows do.
    holed = noise.copy()
    holed[:, 200:700, :45] = 0
    with rasterio.open(folder / "noise.tif", "w", count=3, nodata=0, **grid) as file:
        file.write(holed)
    coarse = noise[:, ::6, ::6].repeat(6, 1).repeat(6, 2)[:, : SHAPE[0], : SHAPE[1]]
    for name, band in (("classes", 0), ("labels", 1)):
        with rasterio.open(folder / f"{name}.tif", "w", count=1, nodata=255, **grid) as file:
            file.write((coarse[band] > 99).astype("uint8"), 1)
    (folder / "images").mkdir()
    grid["height"] = 300
    for number in range(5):
        with rasterio.open(folder / "images" / f"{number}.tif", "w", count=1, **grid) as file:
            file.write(draw.integers(0, 3, (300, SHAPE[1])).astype("uint8"), 1)
    (folder / "colors.toml").write_text(COLORS)
    save_model(folder / "model.safetensors", arch="enet")
    save_model(folder / "linear.safetensors", arch="linear")
    state = ModelBundle.open(folder / "linear.safetensors").state
    torch.save(dict(state), folder / "linear.pth")
    (folder / "plain.toml").write_text(PLAIN)
    (folder / "shots.toml").write_text(SHOTS)
    (folder / "shots" / "masks").mkdir(parents=True)
    shutil.copy(folder / "noise.tif", folder / "shots" / "a.tif")
    shutil.copy(folder / "classes.tif", folder / "shots" / "masks" / "a.tif")
    (folder / "land").mkdir()
    make_land(folder / "land")
    config = configure_land(folder / "land", train={"epochs": 3, "workers": 1})
    (folder / "train.toml").write_text(dump_config(config))
    return folder


def save_model(path, *, overwrite=False, **names):
    torch.manual_seed(0)
    spec = ModelSpec(**names, in_channels=3, classes=2)
    legend = Legend.of_values((0, 1), {0: "ground", 1: "roof"})
    card = ModelCard(
        spec=spec, legend=legend.to_dict(), bands=("", "", ""), dtype="uint8",
        scaling=Scaling(kind="divide", divisor=255), window=64, stride=48,
    )  # fmt: skip
    ModelBundle.of(build_model(spec).eval(), card).save(path, overwrite=overwrite)


@dataclass
class Answer:
    code: int
    seconds: float
    ending: float | None
    left: list
    log: str


class WorkServer:
    """Runs jobs in forks of processes that have imported everything."""

    def __init__(self, inputs, preload=None):
        self.inputs = inputs
        self._preload = {} if preload is None else {"LD_PRELOAD": str(preload)}
        self._processes = {}

    def run(self, words, folder, **more):
        """Run the words of a command in a folder."""
        argv = [word.format(self.inputs) for word in shlex.split(words)]
        log = folder.parent / f"{folder.name}.log"
        request = {"argv": argv, "cwd": str(folder), "log": str(log), **more}
        process = self._process("light" if argv[0] in LIGHT or argv[1] in LIGHT_TASKS else "torch")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return Answer(**json.loads(process.stdout.readline()))

    def _process(self, kind):
        if kind not in self._processes:
            script = Path(__file__).with_name("work_server.py")
            process = self._processes[kind] = subprocess.Popen(
                [sys.executable, "-W", "ignore", script, kind, self.inputs / "classes.tif"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self._preload},
            )  # fmt: skip
            assert json.loads(process.stdout.readline()) == {"ready": True}
        return self._processes[kind]

    def close(self):
        for process in self._processes.values():
            process.stdin.close()
            process.wait(timeout=20)
            process.stdout.close()


def visible(folder):
    """All files that are not hidden, by their paths in the folder, and what is in them."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)): path for path in files}
    return {n: content(path) for n, path in names.items() if not is_hidden(n)}


def is_hidden(name):
    return any(part.startswith(".geoseg-") for part in Path(name).parts)


def hidden(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob(".geoseg-*"))


def content(path):
    """What a file says; of a GeoPackage, which bears the time of its making, its rows."""
    if path.suffix == ".pt2":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            return sorted(archive.namelist())
    if path.suffix != ".gpkg":
        return path.read_bytes()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    layer = pyogrio.list_layers(path)[0][0]  # styles come behind
    meta, _, geometry, columns = pyogrio.raw.read(path, layer=layer)
    rows = [list(map(repr, column.tolist())) for column in columns]
    return repr((list(meta["fields"]), geometry.tolist(), rows))


def check_failure(answer, folder, before, *, resumable=False):
    """It was told in one line, the old output is untouched, and nothing is left."""
    assert answer.code == 1, answer.log
    assert "Traceback" not in answer.log
    assert "defect of geoseg" not in answer.log
    told = [line for line in answer.log.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1, answer.log
    assert re.search(r"written|space|disk|read back", told[0]), told
    assert visible(folder) == before
    kept = [name for name in hidden(folder) if not name.startswith(".geoseg-keep-")]
    assert (kept if resumable else hidden(folder)) == []


SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
"""How a process ends by each."""
