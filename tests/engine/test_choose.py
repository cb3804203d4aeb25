"""Run-times agree with PyTorch in fp32, and `auto` takes none that does not."""

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from geoseg.engine.backends import TorchBackend
from geoseg.engine.choose import BackendChooser
from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import visible
from geoseg.engine.window_network import Units
from geoseg.errors import ConfigError
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.device import has_bf16
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

CPU = torch.device("cpu")
SIZE = 64


STANDARDIZE = Scaling(kind="standardize", mean=(120.0,) * 3, std=(60.0,) * 3)


def make_bundle(arch="unet", encoder="resnet18", scaling=STANDARDIZE):
    torch.manual_seed(0)
    spec = ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=4)
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(4)).to_dict(), bands=("", "", ""),
        dtype="uint8", window=SIZE, stride=SIZE // 2,
        scaling=scaling,
    )  # fmt: skip
    return ModelBundle.of(build_model(spec), card)


def make_scene(path, dtype="uint8", height=200):
    data = np.random.default_rng(0).integers(1, 255, (3, height, 150)).astype(dtype)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=height, width=150, dtype=dtype, nodata=0,
        crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(data)
    return Scene.open(path)


def choose(bundle, scene, **options):
    layout = Layout.of(scene.grid.shape, SIZE, SIZE // 2)
    return BackendChooser(bundle, device="cpu", **options).choose(
        scene, Units(nodata=0), layout, visible
    )


def batch(dtype, count=3):
    draw = np.random.default_rng(1)
    pixels = torch.from_numpy(draw.integers(0, 255, (count, 3, SIZE, SIZE)).astype(dtype))
    return pixels, torch.from_numpy(draw.random((count, SIZE, SIZE)) > 0.1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("masked", [True, False])
def test_openvino_gives_the_probabilities_of_pytorch(tmp_path, dtype, masked):
    pytest.importorskip("openvino")
    bundle, scene = make_bundle(), make_scene(tmp_path / "scene.tif", dtype)
    choice = choose(bundle, scene, backend="openvino", precision="fp32")
    pixels, valid = batch(dtype)
    expected = TorchBackend(bundle, Units(nodata=0), CPU, "fp32").scores(
        pixels, valid if masked else None
    )
    scores = choice.backend.scores(pixels, valid if masked else None)
    assert (scores - expected).abs().max() < 1e-4


@pytest.mark.slow
def test_compiled_gives_the_probabilities_of_pytorch_also_for_a_smaller_batch(tmp_path):
    bundle, scene = make_bundle(), make_scene(tmp_path / "scene.tif")
    choice = choose(bundle, scene, backend="compile", precision="fp32", batch_size=2)
    pixels, valid = batch("uint8")
    expected = TorchBackend(bundle, Units(nodata=0), CPU, "fp32").scores(pixels, valid)
    for part in (slice(0, 2), slice(2, 3)):
        scores = choice.backend.scores(pixels[part], valid[part])
        assert (scores - expected[part]).abs().max() < 1e-4


def test_few_windows_run_in_fp32_without_a_comparison(tmp_path):
    scene = make_scene(tmp_path / "scene.tif", height=60)
    assert str(choose(make_bundle("linear", "none"), scene)) == "torch cpu fp32"


def test_auto_tells_how_far_it_agrees(tmp_path):
    """Scores that are the scene's own bytes, which bf16 holds exactly."""
    scene = make_scene(tmp_path / "scene.tif")
    bundle = make_bundle("linear", "none", Scaling())
    bundle.state["network.weight"][:] = torch.eye(4, 3)[:, :, None, None]
    bundle.state["network.bias"].zero_()
    choice = choose(bundle, scene)
    assert choice.agreement == 1.0
    assert str(choice).endswith("as fp32")


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16")
def test_numbers_that_change_the_map_are_not_taken(tmp_path, caplog):
    """Logits that differ by less than bf16 can tell."""
    bundle = make_bundle("linear", "none")
    weight = bundle.state["network.weight"]
    weight[:] = weight[:1] + 1e-3 * torch.randn(weight.shape, generator=torch.manual_seed(0))
    bundle.state["network.bias"].zero_()
    choice = choose(bundle, make_scene(tmp_path / "scene.tif"))
    assert choice.precision == "fp32"
    assert "not taken" in caplog.text


def test_scene_without_data_needs_no_comparison(tmp_path):
    path = tmp_path / "scene.tif"
    make_scene(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.zeros((3, 200, 150), np.uint8))
    choice = choose(make_bundle("linear", "none"), Scene.open(path))
    assert choice.agreement is None


def test_a_run_time_that_is_not_installed_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    scene = make_scene(tmp_path / "scene.tif")
    with pytest.raises(ConfigError, match=r"geoseg\[openvino\]"):
        choose(make_bundle("linear", "none"), scene, backend="openvino")
