"""Bad models and scenes of `export`, and bad exported models, are refused in one line."""

import pytest


def test_bundles_that_are_none(refuse, place):
    (place / "bad.safetensors").write_bytes(b"hello" * 9)
    refuse("export none.safetensors -o a.onnx", "none.safetensors: ", cure="Check the path")
    refuse("export bad.safetensors -o a.onnx", "bad.safetensors: is no model bundle")


def test_places(refuse, place):
    (place / "old.onnx").touch()
    refuse("export model.safetensors -o old.onnx", "old.onnx: already exists", cure="--overwrite")
    refuse("export model.safetensors -o none/a.onnx", "folder none does not exist")
    refuse("export model.safetensors -o a.tif", "suffix of another format", cure="Name it *.onnx")


def test_a_scene_that_does_not_fit(refuse, make_bundle):
    make_bundle("other.safetensors", bands=("u", "v", "w", "x", "y"))
    refuse("export other.safetensors -o a.onnx --check scene.tif", "bands")
    refuse("export model.safetensors -o a.onnx --check none.tif", "none.tif: ")


@pytest.mark.parametrize("words", ["predict scene.tif -o out.tif -m {}", "info {}"])
def test_exported_models_that_are_none(refuse, place, words):
    (place / "a.onnx").write_bytes(b"hello" * 9)
    (place / "a.pt2").write_bytes(b"PK\x03\x04" + bytes(99))
    (place / "a.xml").write_text("<net")
    (place / "a.bin").touch()
    refuse(words.format("none.onnx"), "none.onnx: ", cure="Check the path")
    refuse(words.format("a.onnx"), "a.onnx: is no ONNX file", cure="Copy it again")
    refuse(words.format("a.pt2"), "could run code when it is read")
    refuse(words.format("a.xml"), "a.xml: is no XML")
