"""What a network begins with: every weight, band by band, is where it belongs."""

import logging

import pytest
import timm
import torch
import torchvision
from foreign_weights import clay, shaken, spec_of
from safetensors.torch import save_file
from torch import nn

from geoseg.errors import BundleError, ConfigError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.stats import BandStats
from geoseg.nn import weights as weights_module
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.nn.torchgeo_weights import find_weights
from geoseg.nn.weights import start_network

MOCO = "torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO"


def stats_of(mean, std=None):
    count = len(mean)
    std = std or [1.0] * count
    return BandStats(
        count=(100,) * count, mean=tuple(mean), std=tuple(std), min=(0.0,) * count,
        max=tuple(3 * value for value in mean), p2=(0.0,) * count,
        p98=tuple(2 * value for value in mean),
    )  # fmt: skip


# --- which weight goes where -----------------------------------------------------------------


def test_every_weight_of_torchvisions_swin(downloaded):
    """By torchgeo's name: its file holds torchvision's names, which timm's encoder has not."""
    theirs = torchvision.models.swin_v2_t(weights=None)
    theirs.features[0][0] = nn.Conv2d(9, 96, 4, 4)
    state = shaken(theirs)
    weights = "torchgeo:Swin_V2_T_Weights.SENTINEL2_MI_MS_SATLAS"
    downloaded(weights, state)
    start = start_network(
        spec_of("swinv2_tiny_window8_256"), weights, bands=("blue", "green", "B11")
    )
    assert start.columns == (2, 1, 7)
    own = start.network.encoder.state_dict()
    assert own["model.patch_embed.proj.weight"].equal(state["features.0.0.weight"][:, [2, 1, 7]])
    block = "model.layers_1.blocks.1"
    assert own[f"{block}.mlp.fc2.weight"].equal(state["features.3.1.mlp.3.weight"])
    assert own[f"{block}.attn.cpb_mlp.0.bias"].equal(state["features.3.1.attn.cpb_mlp.0.bias"])
    assert own[f"{block}.attn.v_bias"].equal(state["features.3.1.attn.qkv.bias"][2 * 192 :])
    assert own["model.layers_3.downsample.norm.bias"].equal(state["features.6.norm.bias"])
    mean, std = find_weights(weights).scaling
    assert (set(mean), std[2], std[1], std[7]) == ({0.0}, 255, 255, 8160)
    scaling = start.scaling(stats_of([500.0, 600.0, 700.0]))
    assert (scaling.kind, scaling.mean) == ("standardize", (0, 0, 0))
    assert scaling.std == (255, 255, 8160)


def test_the_encoder_of_a_whole_network_in_a_file(tmp_path):
    state = shaken(build_model(spec_of("resnet18", arch="linknet")))
    torch.save({"state_dict": state}, tmp_path / "whole.ckpt")
    start = start_network(spec_of("resnet18"), str(tmp_path / "whole.ckpt"))
    for key, value in start.network.encoder.state_dict().items():
        assert value.equal(state[f"network.encoder.{key}"]), key


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_encoder_in_a_file(tmp_path, caplog, suffix):
    state = shaken(timm.create_model("resnet18", num_classes=0))
    path = tmp_path / f"encoder{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    with caplog.at_level(logging.INFO):
        start = start_network(spec_of("resnet18"), str(path))
    assert f"{path}: 120 of 120 weights of encoder resnet18 taken" in caplog.text
    assert start.network.training
    assert start.network.encoder.state_dict()["bn1.weight"].equal(state["bn1.weight"])
    assert start.scaling(stats_of([1.0, 1.0, 1.0])) is None


# --- bands -----------------------------------------------------------------------------------


def test_bands_by_name_and_by_the_mean(downloaded, caplog):
    state = shaken(timm.create_model("resnet18", in_chans=13))
    downloaded(MOCO, state)
    with caplog.at_level(logging.INFO):
        start = start_network(
            spec_of("resnet18", 4), MOCO, bands=("B08", "red", "elevation", "blue")
        )
    kernels, own = state["conv1.weight"], start.network.encoder.state_dict()["conv1.weight"]
    assert own[:, [0, 1, 3]].equal(kernels[:, [7, 3, 1]])
    assert own[:, 2].equal(kernels.mean(dim=1))
    assert "3 of 4 bands known to the weights, 1 take the mean" in caplog.text
    assert "B08 <- B8, red <- B4, elevation <- mean of all, blue <- B2" in caplog.text
    assert "fc.weight" in caplog.text  # what was not used


def test_as_many_bands_without_names_are_taken_in_order(downloaded, caplog):
    state = shaken(timm.create_model("resnet18", in_chans=13))
    downloaded(MOCO, state)
    start = start_network(spec_of("resnet18", 13), MOCO, bands=("",) * 13)
    assert start.columns == tuple(range(13))
    assert start.network.encoder.state_dict()["conv1.weight"].equal(state["conv1.weight"])
    assert "in this order" in caplog.text


def test_other_bands_without_names_take_the_mean_and_a_warning(downloaded, caplog):
    downloaded(MOCO, shaken(timm.create_model("resnet18", in_chans=13)))
    start = start_network(spec_of("resnet18", 2), MOCO, bands=("", ""))
    assert start.columns == (None, None)
    assert [r.levelname for r in caplog.records if "0 of 2 bands known" in r.message] == ["WARNING"]


# --- scaling ---------------------------------------------------------------------------------


def test_a_common_divisor_is_taken_with_the_means_of_the_data(downloaded):
    downloaded(MOCO, shaken(timm.create_model("resnet18", in_chans=13)))
    start = start_network(spec_of("resnet18", 2), MOCO, bands=("red", "slope"))
    scaling = start.scaling(stats_of([900.0, 30.0]))
    assert scaling == Scaling(kind="divide", divisor=10_000, mean=(900, 30))


def test_numbers_per_band_are_taken_by_name(downloaded):
    """SoftCon's; a band it does not know is standardised by the data."""
    weights = "torchgeo:ResNet50_Weights.SENTINEL2_ALL_SOFTCON"
    downloaded(weights, shaken(timm.create_model("resnet50", in_chans=13)))
    start = start_network(spec_of("resnet50", 3), weights, bands=("red", "slope", "B12"))
    scaling = start.scaling(stats_of([900.0, 30.0, 800.0], [100.0, 7.0, 90.0]))
    assert scaling.mean == pytest.approx((1373.1, 30, 1537.4))
    assert scaling.std == pytest.approx((1144.9, 7, 1142.9))


# --- foundation encoders ---------------------------------------------------------------------


def test_dofa_makes_the_layer_for_the_bands_of_the_data(tmp_path, caplog):
    from torchgeo.models import dofa_small_patch16_224

    theirs = dofa_small_patch16_224()
    state = {key: value for key, value in theirs.state_dict().items() if "head" not in key}
    weights = str(tmp_path / "dofa.pth")
    torch.save(state, weights)
    spec = spec_of("vit_small_patch16_224", 2, arch="fpn")
    with caplog.at_level(logging.INFO):
        start = start_network(spec, weights, bands=("B04", "nir"))
    assert "B04 0.665, nir 0.842" in caplog.text
    own = start.network.encoder.state_dict()
    assert own["model.blocks.11.mlp.fc2.weight"].equal(state["blocks.11.mlp.fc2.weight"])
    image = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        expected, _ = theirs.patch_embed(image, torch.tensor([0.665, 0.842]))
        found = nn.functional.conv2d(
            image, own["model.patch_embed.proj.weight"], own["model.patch_embed.proj.bias"],
            stride=16, padding=1,
        )  # fmt: skip
    assert torch.allclose(found.flatten(2).transpose(1, 2), expected, atol=1e-5)
    with pytest.raises(ConfigError, match=r"wavelengths.*slope.*not known"):
        start_network(spec, weights, bands=("B04", "slope"))


def test_prithvi_of_three_dates_in_a_file(tmp_path):
    """Its masked autoencoder's checkpoint: an encoder, a decoder, patches with a time axis."""
    theirs = timm.create_model("vit_tiny_patch16_224", in_chans=6, num_classes=0)
    plain = shaken(theirs)
    table = torch.randn(1, 196, 192).repeat(1, 3, 1)
    state = {f"encoder.{key}": value for key, value in plain.items()}
    state["encoder.patch_embed.proj.weight"] = plain["patch_embed.proj.weight"][:, :, None]
    state["encoder.pos_embed"] = torch.cat([plain["pos_embed"][:, :1], table], dim=1)
    state["decoder.decoder_embed.weight"] = torch.zeros(4, 192)
    torch.save({"model": state}, tmp_path / "prithvi.pt")
    spec = spec_of("vit_tiny_patch16_224", 6, arch="fpn")
    start = start_network(spec, str(tmp_path / "prithvi.pt"), bands=("",) * 6)
    own = start.network.encoder.state_dict()
    kernels = own["model.patch_embed.proj.weight"]
    assert kernels.equal(plain["patch_embed.proj.weight"])
    assert own["model.pos_embed"][:, 1:].equal(table[:, :196])
    assert own["model.blocks.11.attn.qkv.bias"].equal(plain["blocks.11.attn.qkv.bias"])


def test_positions_of_scale_mae_are_those_for_the_resolution(downloaded, monkeypatch):
    from torchgeo.models.scale_mae import get_2d_sincos_pos_embed_with_resolution as table

    taken = []
    monkeypatch.setattr(
        weights_module, "load_encoder", lambda _, source, names: taken.append(source)
    )
    weights = "torchgeo:ScaleMAELarge16_Weights.FMOW_RGB"
    downloaded(weights, {"pos_embed": torch.zeros(1, 17, 32), "cls_token": torch.ones(1, 1, 32)})
    start_network(spec_of("resnet18"), weights, bands=("R", "G", "B"), resolution=0.3)
    expected = table(32, 4, torch.tensor([0.3]), cls_token=True)
    assert taken[0].state["pos_embed"].equal(expected)
    assert taken[0].encoder == "vit_large_patch16_224"


# --- refusals --------------------------------------------------------------------------------


def test_a_file_of_which_nothing_fits_is_refused(tmp_path):
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match="does not fit encoder resnet18: 0 of 120 weights fit"):
        start_network(spec_of("resnet18"), str(tmp_path / "a.pth"))


def test_clay_is_no_encoder_of_timm(tmp_path):
    torch.save({"state_dict": clay(192)}, tmp_path / "clay.ckpt")
    problem = "does not fit encoder vit_tiny_patch16_224: 2 of 150 weights fit, 148 are missing"
    with pytest.raises(ConfigError, match=problem):
        start_network(spec_of("vit_tiny_patch16_224"), str(tmp_path / "clay.ckpt"))


@pytest.mark.parametrize("lost", ["layer2.0.bn1.running_mean", "conv1.weight"])
def test_a_file_that_lacks_a_weight_is_refused(tmp_path, lost):
    state = shaken(timm.create_model("resnet18"))
    del state[lost]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=f"1 are missing, such as {lost}"):
        start_network(spec_of("resnet18"), str(tmp_path / "a.pth"))


def test_counters_may_be_missing(tmp_path):
    state = shaken(timm.create_model("resnet18"))
    state = {key: value for key, value in state.items() if "num_batches" not in key}
    torch.save(state, tmp_path / "a.pth")
    start = start_network(spec_of("resnet18"), str(tmp_path / "a.pth"))
    assert start.network.encoder.state_dict()["bn1.weight"].equal(state["bn1.weight"])


def test_a_network_without_encoder_takes_no_encoder(downloaded):
    with pytest.raises(ConfigError, match="linear has no encoder"):
        start_network(ModelSpec(arch="linear", in_channels=3, classes=2), MOCO)


def test_a_missing_file(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        start_network(spec_of("resnet18"), str(tmp_path / "none.pth"))


# --- bundles ---------------------------------------------------------------------------------


def save_bundle(path, spec, scaling, bands, classes=("field", "roof")):
    """A network at random as a bundle; the network."""
    network = build_model(spec)
    legend = Legend(
        classes=tuple(
            LegendClass(value=value, name=name, color="#000000")
            for value, name in enumerate(classes)
        )
    )
    card = ModelCard(
        spec=spec, legend=legend.to_dict(), bands=bands, dtype="uint8", scaling=scaling,
        window=16, stride=8,
    )  # fmt: skip
    ModelBundle.of(network, card).save(path)
    return network


TWO = ModelSpec(arch="linear", in_channels=2, classes=2)
PER_BAND = Scaling(kind="standardize", mean=(10, 20), std=(1, 2))


@pytest.mark.parametrize(
    ("bands", "warned"), [(("A", "B"), False), (("", ""), False), (("c", "d"), True)]
)
def test_a_bundle_gives_its_weights_and_its_scaling(tmp_path, caplog, bands, warned):
    network = save_bundle(tmp_path / "m.safetensors", TWO, PER_BAND, ("a", "b"))
    with caplog.at_level(logging.INFO):
        start = start_network(TWO, str(tmp_path / "m.safetensors"), bands=bands)
    assert start.scaling(stats_of([1.0, 1.0])) == PER_BAND
    assert start.network.training
    own = start.network.state_dict()
    assert all(value.equal(own[key]) for key, value in network.state_dict().items())
    assert ("in this order" in caplog.text) == warned
    assert "starts from all 2 weights" in caplog.text


def test_a_bundle_for_other_bands_and_classes(tmp_path, caplog):
    network = save_bundle(tmp_path / "m.safetensors", TWO, PER_BAND, ("a", "b"))
    spec = TWO.model_copy(update={"in_channels": 3, "classes": 4})
    with caplog.at_level(logging.INFO):
        start = start_network(
            spec, str(tmp_path / "m.safetensors"), bands=("b", "slope", "a"),
            classes=("water", "Roof", "tree", "field"),
        )  # fmt: skip
    old, own = (each.network.weight[..., 0, 0] for each in (network, start.network))
    assert own[[3, 1]][:, [2, 0]].equal(old)
    assert own[[3, 1], 1].equal(old.mean(dim=1))
    assert start.scaling(stats_of([7, 8, 9], [0.5, 0.6, 0.7])) == Scaling(
        kind="standardize", mean=(20, 8, 10), std=(2, 0.6, 1)
    )
    assert "0 weights kept, 2 adapted (network.weight, network.bias), 0 new" in caplog.text
    assert "bands: b <- b, slope <- the mean of all, a <- a" in caplog.text
    assert "water <- at random, Roof <- roof, tree <- at random, field <- field" in caplog.text


def test_other_bands_alone_are_scaled_by_their_statistics(tmp_path, caplog):
    save_bundle(tmp_path / "m.safetensors", TWO, PER_BAND, ("a", "b"))
    spec = TWO.model_copy(update={"in_channels": 1})
    start = start_network(spec, str(tmp_path / "m.safetensors"), bands=("slope",))
    assert start.scaling(stats_of([7])) is None
    assert [r.levelname for r in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("kind", ["divide", "none", "percentile"])
def test_other_scalings_go_by_band_too(tmp_path, kind):
    stats = stats_of([3.0, 5.0])
    scaling = Scaling.from_stats(kind, stats, divisor=7)
    save_bundle(tmp_path / "m.safetensors", TWO, scaling, ("a", "b"))
    start = start_network(TWO, str(tmp_path / "m.safetensors"), bands=("b", "a"))
    image = torch.rand(1, 2, 4, 4) * 8
    expected = scaling.apply(image.flip(1)).flip(1)
    assert start.scaling(stats_of([0.0, 0.0])).apply(image).equal(expected)


def test_a_bundle_of_another_network_is_refused(tmp_path):
    save_bundle(tmp_path / "m.safetensors", TWO, PER_BAND, ("a", "b"))
    with pytest.raises(ConfigError, match="another network: arch 'linear' there, 'enet' here"):
        start_network(ModelSpec(arch="enet", in_channels=2, classes=2),
                      str(tmp_path / "m.safetensors"))  # fmt: skip


def test_a_bundle_of_which_nothing_serves_is_refused(tmp_path):
    """Without an encoder between bands and classes, other classes leave nothing."""
    save_bundle(tmp_path / "m.safetensors", TWO, PER_BAND, ("a", "b"))
    spec = TWO.model_copy(update={"classes": 3})
    with pytest.raises(ConfigError, match="none of the 2 weights"):
        start_network(spec, str(tmp_path / "m.safetensors"), classes=("x", "y", "z"))
