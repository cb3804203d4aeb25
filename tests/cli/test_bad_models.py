"""Bad bundles, and options of `predict` are refused in one line."""

import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

GEOSEG = Path(sys.executable).with_name("geoseg")
READERS = {
    "predict": "predict scene.tif -o out.tif -m {}",
    "info": "info {}",
    "train": "train train.toml -o out --set model.weights={}",
}


@pytest.fixture(params=READERS)
def reader(request):
    """Each command, with a place for the model."""
    return READERS[request.param]


def test_missing(refuse, reader):
    if "info" in reader:
        refuse(reader.format("none.safetensors"), "none.safetensors: ", cure="Check the path")
        return
    problem = "none.safetensors: no such file or directory"
    refuse(reader.format("none.safetensors"), problem, cure="Check the path")


def test_a_folder(refuse, place):
    (place / "folder").mkdir()
    refuse(READERS["predict"].format("folder"), "folder: is a directory", cure="Check the path")


def test_empty(refuse, reader, place):
    (place / "bad.safetensors").touch()
    problem = "bad.safetensors: is empty"
    refuse(reader.format("bad.safetensors"), problem, cure="geoseg reads the .safetensors")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.999])
def test_cut(refuse, reader, place, share):
    content = (place / "model.safetensors").read_bytes()
    (place / "bad.safetensors").write_bytes(content[: max(int(len(content) * share), 1)])
    refuse(reader.format("bad.safetensors"), "bad.safetensors: ")


def test_flipped_bit(refuse, reader, place):
    content = bytearray((place / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (place / "model.safetensors").write_bytes(content)
    problem = "model.safetensors: is damaged: its checksum differs"
    refuse(reader.format("model.safetensors"), problem, cure="Copy it again")


@pytest.mark.parametrize("name", ["scene.tif", "legend.toml", "roofs.gpkg"])
def test_not_a_bundle(refuse, place, name):
    problem = f"{name}: is no model bundle"
    refuse(READERS["predict"].format(name), problem, cure="geoseg train")


@pytest.mark.parametrize("how", ["pickle", "zip", "old zip name"])
def test_a_pickle_is_never_run(refuse, reader, place, burglar, how):
    if how == "pickle":
        path = place / "evil.pth"
        path.write_bytes(pickle.dumps(burglar))
    else:
        path = place / ("evil.pth" if how == "zip" else "evil.safetensors")
        torch.save({"state_dict": burglar}, path)
    assert not (place / "burgled").exists()
    refuse(reader.format(path.name), f"{path.name}: is a pickle", cure="geoseg train")
    assert not (place / "burgled").exists()


def test_a_burglar_would_have_succeeded(place, burglar):
    """The test above means something."""
    pickle.loads(pickle.dumps(burglar))
    assert (place / "burgled").exists()


def test_weights_without_a_card(refuse, reader, place):
    save_file({"a": torch.zeros(3)}, place / "bare.safetensors")
    refuse(
        reader.format("bare.safetensors"), "bare.safetensors: holds weights", cure="geoseg train"
    )


@pytest.mark.parametrize(
    ("card", "part"),
    [
        ("no json", "is no JSON"),
        ("{}", "format version"),
        ('{"format_version": 99}', "99"),
        ('{"format_version": 1}', "card is wrong"),
        ('{"format_version": 1, "spec": {"arch": "linear"}, "surprise": 1}', "card is wrong"),
    ],
)
def test_a_wrong_card(refuse, reader, place, card, part):
    save_file({"a": torch.zeros(3)}, place / "bad.safetensors", metadata={"geoseg": card})
    refuse(reader.format("bad.safetensors"), "bad.safetensors: ", part)


def test_a_header_larger_than_memory(refuse, reader, place):
    content = struct.pack("<Q", 1 << 60) + b"{" + b" " * 99
    (place / "bad.safetensors").write_bytes(content)
    refuse(reader.format("bad.safetensors"), "bad.safetensors: has a header", cure="copy it again")


def test_weights_that_are_no_numbers(refuse, place):
    with safe_open(place / "model.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors = {key: value * float("nan") for key, value in tensors.items()}
    save_file(tensors, place / "nan.safetensors", metadata)
    refuse(READERS["predict"].format("nan.safetensors"), "nan.safetensors: ")


def test_another_network_to_start_from(refuse):
    words = READERS["train"].format("model.safetensors") + " --set model.arch=unet"
    refuse(words, "model.weights: ", "holds another network", cure="Set [model] as there")


@pytest.mark.parametrize(
    ("words", "parts", "cure"),
    [
        ("--window 0", ["'--window'"], "See geoseg predict --help"),
        ("--stride 0", ["'--stride'"], "See geoseg predict --help"),
        ("--stride 17", ["stride", "17", "16"], "stride"),
        ("--window 8 --stride 9", ["stride", "9", "8"], "stride"),
        ("--batch-size 0", ["'--batch-size'"], "See geoseg predict --help"),
        ("--exclude wall", ["wall"], "ground, "),
        ("--exclude roof --exclude ground", ["--exclude", "all classes"], "Leave one out"),
        ("--device tpu", ["--device: 'tpu'"], "Give auto, cpu or cuda"),
        ("--device mps", ["--device: 'mps'"], "Give auto, cpu or cuda"),
        ("--device cuda:99", ["--device: cuda:99 is not there"], "Give cpu"),
        ("--device cpu --precision fp16", ["--precision: fp16 needs a GPU"], "fp32"),
        ("--scale much", ["'--scale'"], "See geoseg predict --help"),
        ("--scale nan", ["scale", "above 0"], "Give such as"),
        ("--scale 0", ["scale", "above 0"], "Give such as"),
        ("--blend none", ["'--blend'"], "See geoseg predict --help"),
        ("--aoi none.gpkg", ["none.gpkg: does not exist"], "Check the path"),
        ("--aoi legend.toml", ["legend.toml: is not a vector file"], "Check the file"),
        ("--aoi far.gpkg", ["far.gpkg: does not touch scene.tif"], "Check the CRS"),
        ("--aoi bare.gpkg", ["bare.gpkg: has no CRS"], "CRS"),
        ("--scale inf", ["scale"], "Give such as"),
        ("--resolution nan", ["--resolution: nan is not above 0"], "Give metres"),
        ("--resolution 1e5", ["--resolution: pixels of 100000 m"], "Give fewer metres"),
        ("--resolution 0", ["'--resolution'"], "See geoseg predict --help"),
        ("--batch-size many", ["'--batch-size'", "nor auto"], "See geoseg predict --help"),
        ("--overlap 1", ["'--overlap'"], "See geoseg predict --help"),
        ("--overlap nan", ["--overlap: nan is not within"], "Give 0.5"),
        ("--overlap 0.5 --stride 4", ["--overlap: is given together with --stride"], "one of them"),
        ("--tta all", ["'--tta'"], "See geoseg predict --help"),
        ("--scales 1,two", ["'--scales'"], "See geoseg predict --help"),
        ("--scales 0,1", ["--scales: 0.0 is not within"], "Give such as"),
        ("--scales nan", ["--scales: nan is not within"], "Give such as"),
        ("--combine both", ["'--combine'"], "See geoseg predict --help"),
        ("--max-memory much", ['--max-memory: "much" is not a size'], "4G"),
        ("--max-memory 0", ["--max-memory: "], "4G"),
        ("--max-memory 20M", ["--max-memory: 20 MiB is too small", "at least"], "--max-memory "),
        ("--max-memory 20M --dry-run", ["20 MiB is too small"], "--max-memory "),
        ("--precision int8 --backend torch", ["--precision: "], "openvino"),
        ("-m legend.toml", ["legend.toml: is no model bundle"], "geoseg train"),
    ],
)
def test_options_of_predict(refuse, make_labels, words, parts, cure):
    make_labels("far.gpkg", corner=(9e5, 54e5))
    make_labels("bare.gpkg", crs=None)
    refuse(f"predict scene.tif -m model.safetensors -o out.tif {words}", *parts, cure=cure)


def test_as_a_process(place, burglar):
    torch.save({"state_dict": burglar}, place / "evil.pth")
    words = [GEOSEG, *READERS["predict"].format("evil.pth").split()]
    before = sorted(place.iterdir())
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("Error: evil.pth: is a pickle")
    assert sorted(place.iterdir()) == before


def test_values_far_beyond_training(refuse, make_scene):
    make_scene(np.full((3, 16, 16), 7e4, "float32"), "far.tif")
    words = READERS["predict"].replace("scene.tif", "far.tif").format("model.safetensors")
    refuse(words, "far.tif: has values to about 7e+04", cure="--scale")
