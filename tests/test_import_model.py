"""The job `import_model`: a bundle computes what the other network did, or it is refused."""

import json
from functools import partial

import numpy as np
import pytest
import rasterio
import segmentation_models_pytorch as smp
import torch
import torchvision
from foreign_weights import Burglar, clay, keep_download
from safetensors.torch import save_file
from torch_threads import one_thread

import geoseg
from geoseg.errors import BundleError, ConfigError, OutputError
from geoseg.import_model import ImportOptions, import_model
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.models import ModelSpec, build_model

LEGEND = """
[[classes]]
value = 0
name = "field"
color = "#e0c080"
[[classes]]
value = 1
name = "roof"
color = "#c04040"
[[classes]]
value = 7
name = "water"
color = "#4060c0"
"""
UNET = ImportOptions(arch="unet", encoder="resnet18")
FTW = "torchgeo:Unet_Weights.SENTINEL2_3CLASS_FTW"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    with one_thread():
        yield


def smp_unet(bands=4, classes=3, encoder="resnet18"):
    """A network of another tool whose statistics are not what they begin with."""
    network = smp.Unet(encoder, encoder_weights=None, in_channels=bands, classes=classes)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith(("running_mean", "running_var")):
                value.copy_(torch.rand_like(value) + 0.5)
    return network.eval()


def logits_of(bundle_path, image):
    bundle = ModelBundle.open(bundle_path)
    with torch.no_grad():
        return bundle.build()(bundle.card.scaling.apply(image))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "epoch": 9},
        lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {f"net._orig_mod.{k}": v for k, v in state.items()},
    ],
    ids=["bare", "lightning", "parallel", "compiled"],
)
def test_a_network_of_another_tool(tmp_path, wrap):
    theirs = smp_unet()
    torch.save(wrap(theirs.state_dict()), tmp_path / "theirs.pth")
    (tmp_path / "legend.toml").write_text(LEGEND)
    options = ImportOptions(
        arch="unet", encoder="resnet18", bands=("red", "green", "blue", "nir"), window=96,
        legend=str(tmp_path / "legend.toml"), resolution=0.2, divisor=255, dtype="uint8",
        mean=(0.4, 0.5, 0.6, 0.7), std=(0.2,),
    )  # fmt: skip
    result = import_model(tmp_path / "theirs.pth", tmp_path / "m.safetensors", options)
    assert (result.matched, result.missing, result.unexpected) == (len(theirs.state_dict()), (), ())
    pixels = torch.randint(0, 255, (1, 4, 64, 64)).float()
    mean = torch.tensor([0.4, 0.5, 0.6, 0.7])[:, None, None]
    with torch.no_grad():
        expected = theirs((pixels / 255 - mean) / 0.2)
    assert torch.allclose(logits_of(result.path, pixels), expected, atol=1e-4)
    card = ModelBundle.open(result.path).card
    assert (card.bands, card.window, card.stride) == (("red", "green", "blue", "nir"), 96, 48)
    assert (card.resolution, card.dtype, card.spec.classes) == (0.2, "uint8", 3)
    assert [entry["name"] for entry in card.legend["classes"]] == ["field", "roof", "water"]
    assert card.provenance["name"] == "theirs"
    assert card.provenance["imported"]["file"] == "theirs.pth"


def test_bands_and_classes_are_read_from_the_weights(tmp_path):
    save_file(smp_unet(bands=5, classes=6).state_dict(), tmp_path / "a.safetensors")
    result = import_model(tmp_path / "a.safetensors", tmp_path / "m.safetensors", UNET)
    card = ModelBundle.open(result.path).card
    assert (result.spec.in_channels, result.spec.classes) == (5, 6)
    assert (card.bands, card.scaling.kind) == (("",) * 5, "none")
    assert [entry["value"] for entry in card.legend["classes"]] == [0, 1, 2, 3, 4, 5]


def test_one_channel_becomes_two_classes_of_the_same_probability(tmp_path):
    theirs = smp_unet(bands=3, classes=1)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    result = import_model(tmp_path / "a.pth", tmp_path / "m.safetensors", UNET)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(image).sigmoid()[:, 0]
    found = logits_of(result.path, image).softmax(dim=1)
    assert found.shape[1] == 2
    assert torch.allclose(found[:, 1], expected, atol=1e-5)


def test_a_folder_of_segmentation_models_pytorch(tmp_path):
    theirs = smp.Unet(
        "resnet18", encoder_weights=None, classes=3, decoder_channels=(64, 48, 32, 24, 16)
    ).eval()
    theirs.save_pretrained(str(tmp_path / "theirs"))
    result = import_model(tmp_path / "theirs", tmp_path / "m.safetensors")
    assert (result.spec.arch, result.spec.encoder) == ("unet", "resnet18")
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(image)
    assert torch.allclose(logits_of(result.path, image), expected, atol=1e-5)
    assert ModelBundle.open(result.path).card.name == "theirs"


def test_a_network_of_torchvision(tmp_path):
    theirs = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5
    ).eval()
    torch.save({"model": theirs.state_dict(), "epoch": 1}, tmp_path / "a.pth")
    options = ImportOptions(arch="lraspp_mobilenet_v3_large")
    result = import_model(tmp_path / "a.pth", tmp_path / "m.safetensors", options)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(image)["out"]
    assert torch.allclose(logits_of(result.path, image), expected, atol=1e-5)


def test_a_network_without_encoder(tmp_path):
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])[:, :, None, None]
    torch.save({"weight": weight, "bias": torch.zeros(3)}, tmp_path / "a.pth")
    result = import_model(
        tmp_path / "a.pth", tmp_path / "m.safetensors", ImportOptions(arch="linear")
    )
    found = logits_of(result.path, torch.tensor([10.0, 1.0])[None, :, None, None])
    assert found.flatten().tolist() == [12, 34, 56]


# --- torchgeo's networks ---------------------------------------------------------------------


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """`downloaded(weights, state)` puts a file where torch.hub keeps what it has downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return partial(keep_download, tmp_path / "torch")


def test_fields_of_the_world(downloaded, tmp_path):
    theirs = smp_unet(bands=8, classes=3, encoder="efficientnet-b3")
    downloaded(FTW, theirs.state_dict())
    result = import_model(FTW, tmp_path / "fields.safetensors")
    card = ModelBundle.open(result.path).card
    assert (card.spec.encoder, card.window, card.resolution) == ("efficientnet-b3", 256, 10)
    assert card.dtype == "uint16"
    names = [entry["name"] for entry in card.legend["classes"]]
    assert names == ["background", "field", "boundary"]
    first, second = card.bands[:4], card.bands[4:]
    assert first == ("B4 t1", "B3 t1", "B2 t1", "B8 t1")
    assert second == ("B4 t2", "B3 t2", "B2 t2", "B8 t2")
    assert card.provenance["licence"] == "CC-BY-4.0"
    pixels = torch.randint(0, 4000, (1, 8, 64, 64)).float()
    with torch.no_grad():
        expected = theirs(pixels / 3000)
    assert torch.allclose(logits_of(result.path, pixels), expected, atol=1e-4)


@pytest.mark.slow
def test_an_imported_network_predicts_a_scene(downloaded, tmp_path):
    """Two dates of Sentinel-2 in one file of eight bands, as the model wants them."""
    downloaded(FTW, smp_unet(bands=8, classes=3, encoder="efficientnet-b3").state_dict())
    import_model(FTW, tmp_path / "fields.safetensors", ImportOptions(window=64))
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5.3e6)}
    profile = {"driver": "GTiff", "width": 80, "height": 70, "count": 8, "dtype": "uint16"}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile, **place) as file:
        file.write(np.random.default_rng(0).integers(1, 4000, (8, 70, 80)).astype("uint16"))
    geoseg.predict(
        [str(tmp_path / "scene.tif")], str(tmp_path / "fields.safetensors"),
        tmp_path / "classes.tif",
        geoseg.PredictOptions(device="cpu", precision="fp32", backend="torch"),
    )  # fmt: skip
    with rasterio.open(tmp_path / "classes.tif") as file:
        assert set(np.unique(file.read(1))) <= {0, 1, 2}


def test_an_encoder_alone_is_no_network(tmp_path):
    name = "torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO"
    with pytest.raises(ConfigError, match="holds an encoder, not a whole network") as caught:
        import_model(name, tmp_path / "m.safetensors")
    assert name in caught.value.cure


# --- refusals --------------------------------------------------------------------------------


def refuse(tmp_path, options, problem, state=None, error=BundleError):
    """Importing must fail with a message, and leave nothing behind."""
    torch.save(smp_unet().state_dict() if state is None else state, tmp_path / "a.pth")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=problem):
        import_model(tmp_path / "a.pth", tmp_path / "m.safetensors", options)
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_fits(tmp_path):
    state = {"a.weight": torch.ones(3), "b.weight": torch.ones(3, 3)}
    refuse(tmp_path, UNET, "none of its 2 weights is of unet with resnet18", state)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize(("arch", "encoder"), [("segformer", "mit_b0"), ("unet", "resnet18")])
def test_clay_is_none_of_them(tmp_path, arch, encoder, partial):
    options = ImportOptions(arch=arch, encoder=encoder, partial=partial)
    refuse(tmp_path, options, f"none of its 30 weights is of {arch} with {encoder}", clay())


def test_clay_is_no_transformer_of_timm(tmp_path):
    """Nothing of it fits but a last normalisation, if it is as wide."""
    for width, fitting in ((16, 0), (192, 2)):
        options = ImportOptions(arch="upernet", encoder="vit_tiny_patch16_224")
        problem = f"fits {fitting} of the weights of upernet with vit_tiny_patch16_224"
        refuse(tmp_path, options, problem, clay(width))


def test_weights_are_missing(tmp_path):
    state = smp_unet().state_dict()
    del state["decoder.blocks.3.conv1.0.weight"], state["segmentation_head.0.bias"]
    refuse(tmp_path, UNET, "2 are missing, such as network.decoder.blocks.3.conv1.0.weight", state)


@pytest.mark.parametrize("encoder", ["resnet34", "resnet50", "vgg11"])
def test_another_encoder(tmp_path, encoder):
    refuse(tmp_path, ImportOptions(arch="unet", encoder=encoder), "missing")


def test_another_architecture(tmp_path):
    refuse(tmp_path, ImportOptions(arch="fpn", encoder="resnet18"), "missing")


def test_other_options_of_the_architecture(tmp_path):
    options = ImportOptions(
        arch="unet", encoder="resnet18", options={"decoder_channels": [256, 128, 64, 32, 8]}
    )
    refuse(tmp_path, options, r"of another shape \(\d+, such as decoder")


def test_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(
        tmp_path, UNET, "could run code", {"state_dict": smp_unet().state_dict(), "x": Burglar()}
    )
    assert not (tmp_path / "burgled").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ImportOptions(), "--arch: is needed"),
        (ImportOptions(arch="unet"), "--encoder: is needed"),
        (ImportOptions(arch="unett", encoder="resnet18"), "is no architecture"),
        (ImportOptions(arch="unet", encoder="resnet9000"), "is no encoder"),
        (ImportOptions(arch="unet", encoder="resnet18", options={"depth": 3}), "does not suit"),
        (ImportOptions(arch="unet", encoder="resnet18", bands=("a", "b")), "2 are given"),
        (ImportOptions(arch="unet", encoder="resnet18", divisor=0), "--divisor"),
        (ImportOptions(arch="unet", encoder="resnet18", mean=(1, 2)), "2 numbers for 4 bands"),
        (ImportOptions(arch="unet", encoder="resnet18", std=(1, 0, 1, 1)), "--std"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, problem):
    refuse(tmp_path, options, problem, error=ConfigError)


def test_a_legend_of_another_length(tmp_path):
    (tmp_path / "legend.toml").write_text(LEGEND)
    options = ImportOptions(arch="unet", encoder="resnet18", legend=str(tmp_path / "legend.toml"))
    state = smp_unet(classes=4).state_dict()
    refuse(tmp_path, options, "has 3 classes, the weights have 4", state, ConfigError)


def test_weights_that_are_no_numbers(tmp_path):
    state = smp_unet().state_dict()
    state["segmentation_head.0.bias"][1] = torch.nan
    refuse(tmp_path, UNET, "is not finite", state)


def test_a_bundle_is_one_already(tmp_path):
    torch.save({"weight": torch.ones(2, 1, 1, 1), "bias": torch.zeros(2)}, tmp_path / "a.pth")
    options = ImportOptions(arch="linear")
    import_model(tmp_path / "a.pth", tmp_path / "m.safetensors", options)
    with pytest.raises(BundleError, match="is a bundle of geoseg already"):
        import_model(tmp_path / "m.safetensors", tmp_path / "n.safetensors", options)
    with pytest.raises(OutputError, match="exists"):
        import_model(tmp_path / "a.pth", tmp_path / "m.safetensors", options)


# --- what is missing, where that is allowed --------------------------------------------------


def test_what_is_missing_may_begin_at_random_and_is_told(tmp_path, caplog):
    theirs = smp_unet()
    state = {key: v for key, v in theirs.state_dict().items() if "segmentation_head" not in key}
    torch.save(state, tmp_path / "a.pth")
    options = ImportOptions(arch="unet", encoder="resnet18", partial=True)
    first = import_model(tmp_path / "a.pth", tmp_path / "m.safetensors", options)
    names = ("network.segmentation_head.0.weight", "network.segmentation_head.0.bias")
    assert first.missing == names
    assert "they are at random: train before use" in caplog.text
    bundle = ModelBundle.open(first.path)
    assert bundle.card.provenance["random"] == list(names)
    for key, value in state.items():
        assert bundle.state[f"network.{key}"].equal(value)
    second = import_model(tmp_path / "a.pth", tmp_path / "n.safetensors", options)
    assert second.path.read_bytes()[-1000:] == first.path.read_bytes()[-1000:]


def test_nothing_at_all_is_refused_even_then(tmp_path):
    options = ImportOptions(arch="unet", encoder="resnet18", partial=True)
    refuse(tmp_path, options, "none of its 1 weights", {"a.weight": torch.ones(3)})


# --- training goes on from it ----------------------------------------------------------------


def test_what_geoseg_built_itself_comes_back(tmp_path):
    """A checkpoint of geoseg's own network, by its names."""
    spec = ModelSpec(arch="unet", encoder="resnet18", in_channels=2, classes=3)
    state = build_model(spec).state_dict()
    torch.save({"state_dict": {f"network.{k}": v for k, v in state.items()}}, tmp_path / "a.ckpt")
    result = import_model(tmp_path / "a.ckpt", tmp_path / "m.safetensors", UNET)
    assert result.spec == spec
    found = ModelBundle.open(result.path).state
    assert all(found[key].equal(value) for key, value in state.items())


def test_a_folder_without_weights(tmp_path):
    config = json.dumps({"_model_class": "Unet"})
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BundleError, match="is a folder without"):
        import_model(tmp_path, tmp_path / "m.safetensors")
