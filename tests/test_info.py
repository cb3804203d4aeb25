"""What `describe` and `geoseg info` tell, against rasterio's own reading."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geoseg.errors import BundleError, LegendError, SceneError, TileSetError
from geoseg.geo.legend import Legend
from geoseg.info import describe
from geoseg.nn.bundle import ModelBundle, ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

GEOSEG = Path(sys.executable).with_name("geoseg")
LEGEND = """
ignore = 255
[[classes]]
value = 0
name = "background"
color = "#000000"
[[classes]]
value = 1
name = "roof"
color = "#e6194b"
"""


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.tif"
    profile = {
        "driver": "GTiff",
        "height": 5,
        "width": 7,
        "count": 2,
        "dtype": "uint16",
        "crs": "EPSG:32633",
        "transform": from_origin(500_000, 5_300_000, 0.5, 0.5),
        "nodata": 0,
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.ones((2, 5, 7), "uint16"))
        dataset.descriptions = ("red", "nir")
    return path


def test_a_scene(scene):
    found = describe(scene)
    with rasterio.open(scene) as dataset:
        assert found["bounds"] == list(dataset.bounds)
        assert found["transform"] == list(dataset.transform)[:6]
        assert found["crs"] == dataset.crs.to_string()
    assert (found["kind"], found["height"], found["width"], found["count"]) == ("scene", 5, 7, 2)
    assert (found["dtype"], found["nodata"], found["band_names"]) == ("uint16", 0, ["red", "nir"])
    assert found["ground_resolution_m"] == pytest.approx(0.5, rel=1e-3)


def test_a_scene_without_crs_is_described_in_pixels(tmp_path):
    path = tmp_path / "plain.png"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):  # noqa: SIM117 - it is of open
        with rasterio.open(path, "w", driver="PNG", height=3, width=4, count=1, dtype="uint8") as d:
            d.write(np.ones((1, 3, 4), "uint8"))
    found = describe(path)
    assert (found["crs"], found["ground_resolution_m"]) == (None, None)
    assert found["bounds"] == [0, 0, 4, 3]


def test_a_nan_nodata_is_json(tmp_path):
    path = tmp_path / "float.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=1,
        width=1,
        count=1,
        dtype="float32",
        nodata=float("nan"),
        crs="EPSG:32633",
        transform=from_origin(0, 9, 2, 2),
    ) as dataset:
        dataset.write(np.ones((1, 1, 1), "float32"))
    assert json.loads(json.dumps(describe(path), allow_nan=False))["nodata"] == "nan"


def test_a_legend(tmp_path):
    path = tmp_path / "legend.toml"
    path.write_text(LEGEND)
    found = describe(path)
    assert found["kind"] == "legend"
    assert [each["name"] for each in found["classes"]] == ["background", "roof"]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("no.tif", None, SceneError),
        ("empty.tif", b"", SceneError),
        ("text.tif", b"hello", SceneError),
        ("no.toml", None, LegendError),
        ("broken.toml", b"[[", LegendError),
        ("no.safetensors", None, BundleError),
        ("pickle.pth", b"\x80\x04N.", BundleError),
        ("set/tileset.json", b"{}", TileSetError),
    ],
)
def test_what_cannot_be_described_is_refused(tmp_path, name, content, error):
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(error, match=path.parent.name):
        describe(path.parent if name.startswith("set") else path)


def run(*words):
    return subprocess.run([GEOSEG, "info", *words], capture_output=True, text=True, check=False)


def test_the_command_prints_a_line_per_value(scene):
    done = run(scene)
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert (lines["kind"], lines["height"], lines["crs"]) == ("scene", "5", "EPSG:32633")


def test_the_command_prints_json(scene, tmp_path):
    legend = tmp_path / "legend.toml"
    legend.write_text(LEGEND)
    assert json.loads(run(scene, "--json").stdout)["kind"] == "scene"
    both = json.loads(run(tmp_path / "*.tif", legend, "--json").stdout)
    assert [each["kind"] for each in both] == ["scene", "legend"]
    assert json.loads(run(tmp_path, "--json").stdout)["path"] == str(scene)


def test_the_command_refuses_in_one_line(tmp_path):
    done = run(tmp_path / "missing.tif")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "missing.tif" in done.stderr


def test_a_scene_is_compared_with_a_model(scene, tmp_path):
    model = bundle_of(tmp_path, red=(0, 2), nir=(100, 200))
    red, nir = describe(scene, model)["shift"]
    assert (red["mean"], red["inside"], red["is_far"]) == (1, 1, False)
    assert (nir["training_mean"], nir["inside"], nir["is_far"]) == (150, 0, True)
    shown = subprocess.run(
        [GEOSEG, "info", scene, "-m", model], capture_output=True, text=True, check=True
    )
    (line,) = (line for line in shown.stdout.splitlines() if "UNLIKE" in line)
    assert line.split()[0] == "nir"


def test_a_model_without_statistics_compares_nothing(scene, tmp_path):
    with pytest.raises(BundleError, match="holds no statistics"):
        describe(scene, bundle_of(tmp_path))


def bundle_of(folder, **bands):
    """A model whose training values lay evenly between these of each band."""
    spec = ModelSpec(arch="linear", in_channels=2, classes=2)
    low, high = map(list, zip(*bands.values(), strict=True)) if bands else ([], [])
    columns = dict.fromkeys(("min", "p2"), low) | dict.fromkeys(("max", "p98"), high)
    columns["mean"] = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    columns["std"] = [(b - a) / 4 for a, b in zip(low, high, strict=True)]
    card = ModelCard(
        spec=spec,
        legend=Legend.of_values([0, 1]).to_dict(),
        bands=("red", "nir"),
        dtype="uint16",
        scaling=Scaling(),
        window=64,
        stride=32,
        stats={"count": [9, 9], **columns} if bands else {},
    )
    path = folder / "model.safetensors"
    ModelBundle.of(build_model(spec), card).save(path)
    return path


def test_an_array_of_three_axes_is_told_both_ways(tmp_path):
    path = str(tmp_path / "x.npy")
    np.save(path, np.zeros((5, 6, 7), np.float32))
    assert describe(path) == {
        "kind": "array",
        "path": path,
        "shape": [5, 6, 7],
        "dtype": "float32",
        "npy_axes": {
            "bhw": {"count": 5, "height": 6, "width": 7},
            "hwb": {"count": 7, "height": 5, "width": 6},
        },
    }
    np.save(path, np.zeros((6, 7), np.float32))
    assert describe(path)["kind"] == "scene"
    np.save(path, np.zeros((1, 5, 6, 7), np.float32))
    with pytest.raises(SceneError, match="has 4 axes"):
        describe(path)
    with pytest.raises(SceneError, match="does not exist"):
        describe(str(tmp_path / "y.npy"))
