"""`geoseg import`: what was typed reaches the job, refusals take one line, results are told."""

import importlib
import json

import pytest
import torch
from click.testing import CliRunner
from foreign_weights import clay

from geoseg.import_model import ImportOptions
from geoseg.nn.bundle import read_card

command = importlib.import_module("geoseg_cli.import_").command
LINEAR = {"weight": torch.ones(3, 2, 1, 1), "bias": torch.zeros(3)}


class Called(Exception):  # noqa: N818 - no error: it carries what the job was called with
    def __init__(self, *values, **named):
        super().__init__(values, named)
        self.values, self.named = values, named


def options_of(monkeypatch, *words):
    """The options that `geoseg import a.pth -o m.safetensors WORDS` calls the job with."""

    def record(*values, **named):
        raise Called(*values, **named)

    module = importlib.import_module("geoseg.import_model")
    monkeypatch.setattr(module, "import_model", record)
    result = CliRunner().invoke(command, ["a.pth", "-o", "m.safetensors", *words])
    assert isinstance(result.exception, Called), result.output
    source, output, options = result.exception.values
    assert (source, str(output)) == ("a.pth", "m.safetensors")
    return options


def test_defaults_are_those_of_the_library(monkeypatch):
    assert options_of(monkeypatch) == ImportOptions()


def test_every_option_is_handed_on(monkeypatch):
    words = [
        *("--arch", "unet", "--encoder", "resnet34", "--option", "encoder_depth=4"),
        *("--option", "decoder_channels=[64, 32, 16, 8]", "--option", "kind=scse"),
        *("--bands", "red, nir", "--legend", "l.toml", "--window", "256", "--resolution", "0.5"),
        *("--divisor", "255", "--mean", "0.1,0.2", "--std", "0.3", "--dtype", "uint8"),
        *("--partial", "--overwrite"),
    ]
    assert options_of(monkeypatch, *words) == ImportOptions(
        arch="unet",
        encoder="resnet34",
        options={"encoder_depth": 4, "decoder_channels": [64, 32, 16, 8], "kind": "scse"},
        bands=("red", "nir"),
        legend="l.toml",
        window=256,
        resolution=0.5,
        divisor=255,
        mean=(0.1, 0.2),
        std=(0.3,),
        dtype="uint8",
        partial=True,
        overwrite=True,
    )


def test_what_is_told_of_the_result(place):
    torch.save({**LINEAR, "extra.weight": torch.ones(1)}, place / "a.pth")
    words = ["a.pth", "-o", "b.safetensors", "--arch", "linear", "-q"]
    found = CliRunner().invoke(command, words, catch_exceptions=False).stdout.split()
    assert found == [
        *("a.pth", "->", "b.safetensors", "weights", "taken", "2", "missing", "0"),
        *("not", "used", "1"),
    ]
    words += ["--json", "--overwrite"]
    told = json.loads(CliRunner().invoke(command, words, catch_exceptions=False).stdout)
    assert (told["path"], told["matched"], told["missing"]) == ("b.safetensors", 2, [])
    assert told["unexpected"] == ["extra.weight"]
    assert (told["spec"]["arch"], told["spec"]["in_channels"]) == ("linear", 2)
    assert read_card(place / "b.safetensors").spec.classes == 3


@pytest.mark.parametrize("wrapped", [True, False])
def test_code_is_not_run(refuse, place, burglar, wrapped):
    torch.save({"state_dict": {**LINEAR, "a": burglar}} if wrapped else burglar, place / "evil.pth")
    problem = "evil.pth: needs posix.system to be read, which could run code; it was not read"
    refuse("import evil.pth -o out.safetensors --arch linear", problem, cure="state_dict()")
    assert not (place / "burgled").exists()


@pytest.mark.parametrize(
    ("words", "part", "cure"),
    [
        ("import none.pth -o out.safetensors --arch linear", "none.pth: no such file", "path"),
        ("import a.pth -o out.safetensors", "--arch: is needed", "Give one of"),
        ("import a.pth -o out.safetensors --arch unet", "--encoder: is needed", "resnet34"),
        ("import a.pth -o out.safetensors --arch unett", "is no architecture", "Did you mean"),
        ("import legend.toml -o out.safetensors --arch linear", "legend.toml: ", "state_dict()"),
        ("import model.safetensors -o out.safetensors", "a bundle of geoseg already", "as it is"),
        ("import a.pth -o model.safetensors --arch linear", "already exists", "--overwrite"),
        ("import a.pth -o none/out.safetensors --arch linear", "none", ""),
        ("import a.pth -o out.safetensors --arch linear --bands a", "--bands: 1 are given", ""),
        ("import a.pth -o out.safetensors --arch linear --legend legend.toml", "2 classes", ""),
        ("import a.pth -o out.safetensors --arch linear --window 0", "--window", "--help"),
        ("import a.pth -o out.safetensors --arch linear --option x", "KEY=VALUE", "--help"),
        ("import a.pth -o out.safetensors --arch linear --option x=1", "model.options.x", ""),
        ("import torchgeo:Unet_Weights.FTW -o out.safetensors", "torchgeo has no such", "Near"),
    ],
)
def test_refusals_take_one_line(refuse, place, words, part, cure):
    torch.save(LINEAR, place / "a.pth")
    refuse(words, part, cure=cure)


def test_clay_is_refused(refuse, place):
    torch.save({"state_dict": clay()}, place / "clay.ckpt")
    problem = "clay.ckpt: none of its 30 weights is of segformer with mit_b0, which has 192"
    words = "import clay.ckpt -o out.safetensors --arch segformer --encoder mit_b0"
    refuse(words, problem, cure="Give the --arch and --encoder it was trained with")


@pytest.mark.parametrize(
    ("model", "part", "cure"),
    [
        ("model.arch=linear", "linear has no encoder for torchgeo:ResNet18_Weights.NONE", "none"),
        ("model.arch=unet", "torchgeo:ResNet18_Weights.NONE: torchgeo has no such", "Near"),
    ],
)
def test_training_refuses_weights_that_do_not_exist(refuse, model, part, cure):
    weights = "model.weights=torchgeo:ResNet18_Weights.NONE"
    refuse(f"train train.toml -o out --set {weights} --set {model}", part, cure=cure)
