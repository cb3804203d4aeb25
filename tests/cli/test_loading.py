"""What a prediction imports, and what it must do without: each costs every run its time."""

import gc
import json
import subprocess
import sys

import numpy as np
from linear_models import BANDS, write_scene

from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg_cli.loading import loading

NOT_TO_PREDICT = {
    *("torch._dynamo", "torch._inductor", "sympy", "networkx"),  # torch's compiler
    *("pandas", "geopandas", "pyogrio", "pyarrow", "numba"),  # polygons and areas
    *("matplotlib", "lightning", "torchmetrics", "sklearn"),  # training and its reports
    *("torchgeo", "distributed", "dask", "onnx", "onnxruntime", "openvino"),
}
NEEDED = {"torch", "timm", "rasterio"}
PREDICT = """
import gc, json, sys
from geoseg_cli.main import main
assert main("predict scene.tif -m model.safetensors -o classes.tif -q --device cpu".split()) == 0
told = {"loaded": list(sys.modules), "gc": gc.isenabled(), "kept": gc.get_freeze_count()}
print(json.dumps(told))
"""


def save_unet(path):
    spec = ModelSpec(arch="unet", encoder="resnet18", in_channels=3, classes=2)
    legend = Legend.of_values(range(2)).to_dict()
    card = ModelCard(
        spec=spec, legend=legend, bands=BANDS[:3], dtype="uint8", window=64, stride=64,
        scaling=Scaling(kind="divide", divisor=255),
    )  # fmt: skip
    ModelBundle.of(build_model(spec).eval(), card).save(path)


def test_a_prediction_imports_what_it_needs_and_no_more(tmp_path):
    save_unet(tmp_path / "model.safetensors")
    data = np.random.default_rng(0).integers(1, 255, (3, 64, 64), dtype="uint8")
    write_scene(tmp_path / "scene.tif", data, BANDS[:3])
    done = subprocess.run(
        [sys.executable, "-c", PREDICT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    loaded = set(told["loaded"])
    assert loaded >= NEEDED
    assert loaded & NOT_TO_PREDICT == set()
    assert told["gc"], "garbage is looked for again"
    assert told["kept"] > 100_000, "but not in what was imported"


def test_nothing_changes_where_pytorch_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", sys)
    before = gc.get_freeze_count()
    with loading():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
