import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from geoseg.errors import BundleError, OutputError
from geoseg.geo.legend import Legend
from geoseg.nn.bundle import FORMAT_VERSION, METADATA_KEY, ModelBundle, ModelCard, read_card
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

LINEAR = ModelSpec(arch="linear", in_channels=2, classes=3)


def make_card(spec=LINEAR, **fields):
    return ModelCard(
        **{
            "spec": spec,
            "legend": Legend.of_values(range(spec.classes)).to_dict(),
            "bands": ("red", "nir"),
            "dtype": "uint16",
            "scaling": Scaling(kind="standardize", mean=(500.0, 900.0), std=(100.0, 200.0)),
            "window": 64,
            "stride": 32,
            "resolution": 0.5,
            "provenance": {"name": "roofs", "seed": 42, "metrics": {"val/mean_iou": 0.5}},
            **fields,
        }
    )


def make_bundle(spec=LINEAR, **fields):
    torch.manual_seed(0)
    return ModelBundle.of(build_model(spec), make_card(spec, **fields))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    make_bundle().save(path)
    return path


def rewrite(path, tensors=None, **changes):
    """Write a file as a careless tool would: card changed, checksum made right again."""
    bundle = ModelBundle.open(path)
    content = {**json.loads(bundle.card.model_dump_json()), **changes, "checksum": ""}
    tensors = tensors or load_file(path)
    from geoseg.nn.bundle import _checksum

    checksum = _checksum(json.dumps(content), "", tensors)
    text = json.dumps({**content, "checksum": checksum})
    save_file(tensors, path, metadata={METADATA_KEY: text})


@pytest.mark.parametrize("arch", ["linear", "unet", "segformer"])
def test_a_saved_network_gives_the_same_logits_bit_for_bit(tmp_path, arch):
    spec = ModelSpec(arch=arch, encoder="mobilenet_v2", in_channels=2, classes=3)
    torch.manual_seed(1)
    network = build_model(spec).train()
    network(torch.randn(2, 2, 64, 64))  # batch statistics are part of the state
    bundle = ModelBundle.of(network, make_card(spec)).save(tmp_path / "m.safetensors")
    again = ModelBundle.open(tmp_path / "m.safetensors")
    image = torch.randn(1, 2, 40, 50)
    with torch.inference_mode():
        assert torch.equal(again.build()(image), network.eval()(image))
    assert again.card == bundle.card and not again.build().training
    assert again.sha256 == bundle.sha256 and len(again.sha256) == 64


def test_the_card_comes_back_whole(saved):
    bundle = ModelBundle.open(saved)
    assert bundle.card.model_copy(update={"checksum": ""}) == make_card()
    assert bundle.legend == Legend.of_values(range(3))
    assert bundle.card.name == "roofs" and bundle.card.format_version == FORMAT_VERSION
    assert bundle.path == str(saved)
    assert read_card(saved) == bundle.card


def test_the_file_has_the_promised_form(saved):
    data = saved.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert list(header.pop("__metadata__")) == ["geoseg"]
    assert set(header) == {"network.weight", "network.bias"}
    card = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["geoseg"])
    assert card["spec"]["arch"] == "linear" and card["bands"] == ["red", "nir"]


def test_equal_bundles_are_equal_files(tmp_path):
    one = make_bundle().save(tmp_path / "a.safetensors")
    other = make_bundle().save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert one.sha256 == other.sha256
    import hashlib

    assert one.sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()


def test_building_leaves_the_random_numbers_alone(saved):
    bundle = ModelBundle.open(saved)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    bundle.build()
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_weights_are_widened(tmp_path):
    bundle = make_bundle()
    half = {key: value.half() for key, value in bundle.state.items()}
    ModelBundle(card=bundle.card, state=half).save(tmp_path / "m.safetensors")
    network = ModelBundle.open(tmp_path / "m.safetensors").build()
    assert network.network.weight.dtype == torch.float32
    torch.testing.assert_close(
        network.network.weight.detach(), bundle.state["network.weight"], atol=1e-3, rtol=1e-3
    )


def test_nothing_is_overwritten_unasked_and_nothing_is_left(saved):
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        make_bundle(window=128).save(saved)
    assert saved.read_bytes() == before
    make_bundle(window=128).save(saved, overwrite=True)
    assert ModelBundle.open(saved).card.window == 128
    with pytest.raises(OutputError, match="does not exist"):
        make_bundle().save(saved.parent / "none" / "m.safetensors")
    assert os.listdir(saved.parent) == [saved.name]


def assert_refused(path, pattern):
    with pytest.raises(BundleError, match=pattern) as caught:
        ModelBundle.open(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_every_cut_is_refused(saved):
    data = saved.read_bytes()
    for length in [*range(40), len(data) // 2, len(data) - 4, len(data) - 1]:
        saved.write_bytes(data[:length])
        assert_refused(saved, "empty|no model bundle|cut short|damaged")


def test_every_flipped_byte_is_refused_or_harmless(saved):
    data, card = saved.read_bytes(), read_card(saved)
    state = load_file(saved)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(data), 300):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(bytes(broken))
        try:
            found = ModelBundle.open(saved)
        except BundleError:
            refused += 1
        else:
            assert found.card == card
            assert all(torch.equal(found.state[key], state[key]) for key in state)
    assert refused > 280


def test_bytes_behind_the_end_are_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"more")
    assert_refused(saved, "damaged")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state": Bomb()}, "model.pth")
    for protocol in (2, 3, 4, 5):
        path = tmp_path / f"old{protocol}.pth"
        path.write_bytes(pickle.dumps({"state": Bomb()}, protocol=protocol))
        assert_refused(path, "pickle .*safetensors")
    assert_refused("model.pth", "pickle .*safetensors")
    os.rename("model.pth", "model.safetensors")
    assert_refused("model.safetensors", "pickle .*safetensors")
    assert not (tmp_path / "exploded").exists()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    assert_refused(path, "[Nn]o such file.*Check the path")
    path.write_bytes(b"")
    assert_refused(path, "is empty")
    path.write_bytes(b"II*\0" + bytes(100))
    assert_refused(path, "no model bundle")
    path.write_text('{"arch": "unet"}')
    assert_refused(path, "no model bundle")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    assert_refused(path, "pickle")
    path.unlink()
    path.mkdir()
    assert_refused(path, "is a directory")


def test_headers_are_bounded(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 40) + b"{" + bytes(100))
    assert_refused(path, "header of 1099511627776 bytes")
    path.write_bytes(struct.pack("<Q", 5000) + b"{" + bytes(100))
    assert_refused(path, "cut short")
    path.write_bytes(struct.pack("<Q", 50) + b"{" * 100)
    assert_refused(path, "damaged")


def test_plain_safetensors_are_no_bundle(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert_refused(path, "no card")
    save_file({"weight": torch.zeros(2)}, path, metadata={"format": "pt"})
    assert_refused(path, "no card")
    for text in ("", "nonsense", "[" * 100_000, "[]", "{}", '{"format_version": "1"}'):
        save_file({"weight": torch.zeros(2)}, path, metadata={"geoseg": text})
        assert_refused(path, "its card")


def test_a_newer_format_is_refused(saved):
    rewrite(saved, format_version=FORMAT_VERSION + 1, whatever="new")
    assert_refused(saved, "format version 2, this geoseg reads up to 1. Install a newer geoseg")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"surprise": 1}, "surprise"),
        ({"window": 0}, "window"),
        ({"stride": 65}, "stride 65 is larger than window 64"),
        ({"bands": ["red"]}, "1 bands for 2 input channels"),
        ({"dtype": "object"}, "dtype"),
        ({"dtype": "complex64"}, "dtype"),
        ({"activation": "relu"}, "activation"),
        ({"resolution": -1}, "resolution"),
        ({"stats": {"mean": [1.0, 2.0]}}, "stats"),
        ({"legend": {"classes": []}}, "legend"),
        ({"legend": Legend.of_values([0, 1]).to_dict()}, "2 classes for 3 channels"),
        ({"scaling": {"kind": "standardize", "mean": [1], "std": [1]}}, "scaling of 1 bands"),
        ({"spec": {"arch": "nosuch", "in_channels": 2, "classes": 3}}, "cannot be built"),
        ({"spec": {"arch": "linear", "in_channels": 2, "classes": 0}}, "spec.classes"),
        (
            {"spec": {"arch": "unet", "encoder": "resnet18", "in_channels": 2, "classes": 3}},
            "lacks weights",
        ),
    ],
)
def test_wrong_cards_are_refused(saved, changes, pattern):
    rewrite(saved, **changes)
    assert_refused(saved, pattern)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda t: t.pop("network.bias"), "lacks weights .1, such as network.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unknown weights .1, such as extra"),
        (lambda t: t.update({"network.bias": torch.zeros(4)}), "network.bias is .4,.*wants .3,"),
        (lambda t: t["network.bias"].fill_(torch.nan), "network.bias is not finite"),
        (lambda t: t["network.weight"][0].fill_(torch.inf), "network.weight is not finite"),
        (lambda t: t.update({"network.bias": torch.zeros(3, dtype=torch.int64)}), "of type"),
    ],
)
def test_wrong_weights_are_refused(saved, change, pattern):
    tensors = load_file(saved)
    change(tensors)
    rewrite(saved, tensors)
    assert_refused(saved, pattern)


def test_weights_of_one_byte_are_taken_and_looked_at(saved):
    """PyTorch has no extremes of such numbers."""
    tensors = {key: tensor.to(torch.float8_e4m3fn) for key, tensor in load_file(saved).items()}
    rewrite(saved, tensors)
    assert ModelBundle.open(saved).build().network.bias.dtype == torch.float32
    tensors["network.bias"] = torch.full((3,), torch.nan).to(torch.float8_e4m3fn)
    rewrite(saved, tensors)
    assert_refused(saved, "network.bias is not finite")


def test_a_bundle_that_contradicts_itself_is_not_written(tmp_path):
    network = build_model(LINEAR)
    with torch.no_grad():
        network.network.bias.fill_(torch.nan)
    with pytest.raises(BundleError, match="not finite"):
        ModelBundle.of(network, make_card())
    with pytest.raises(BundleError, match="wants"):
        ModelBundle.of(build_model(ModelSpec(arch="linear", in_channels=4, classes=3)), make_card())
    with pytest.raises(BundleError, match="lacks"):
        ModelBundle(card=make_card(), state={}).save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_metrics_that_are_not_defined_are_null_in_the_card(tmp_path):
    bundle = make_bundle(provenance={"metrics": {"iou": float("nan")}})
    bundle.save(tmp_path / "m.safetensors")
    assert ModelBundle.open(tmp_path / "m.safetensors").card.provenance["metrics"] == {"iou": None}
