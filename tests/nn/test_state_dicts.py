"""Files of weights: read as tensors and plain values, or refused without running anything."""

import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geoseg.errors import BundleError
from geoseg.nn.state_dicts import read_state_dict, safetensors_metadata

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Burglar:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)


def assert_same(state):
    assert state.keys() == STATE.keys()
    assert all(state[key].equal(value) for key, value in STATE.items())


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".safetensors"])
def test_a_state_dict_by_any_suffix(tmp_path, suffix):
    torch.save(STATE, tmp_path / f"a{suffix}")
    assert_same(read_state_dict(tmp_path / f"a{suffix}"))


def test_safetensors_and_what_they_tell(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors", metadata={"format": "pt"})
    assert_same(read_state_dict(tmp_path / "a.safetensors"))
    assert safetensors_metadata(tmp_path / "a.safetensors") == {"format": "pt"}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "loss": 0.5},
        lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {"model_state_dict": OrderedDict(state)},
        lambda state: {"model": {"state_dict": state}, "args": {"lr": 1e-3}},
        lambda state: {**state, "version": 2},
        lambda state: {key: torch.nn.Parameter(value) for key, value in state.items()},
    ],
    ids=["state_dict", "model", "ordered", "nested", "with more", "parameters"],
)
def test_what_checkpoints_are_wrapped_in(tmp_path, wrap):
    torch.save(wrap(STATE), tmp_path / "a.pth")
    assert_same(read_state_dict(tmp_path / "a.pth"))


def test_the_old_format_of_torch(tmp_path):
    torch.save(STATE, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert_same(read_state_dict(tmp_path / "a.pth"))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_that_runs_code_does_not(tmp_path, monkeypatch, old, wrapped):
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": {**STATE, "x": Burglar()}} if wrapped else Burglar()
    torch.save(content, "evil.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(BundleError, match=r"system to be read, which could run code; it was not"):
        read_state_dict("evil.pth")
    assert not (tmp_path / "burgled").exists()


def test_a_bare_pickle_does_not_run_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Burglar()))
    with pytest.raises(BundleError, match=r"evil\.pth"):
        read_state_dict("evil.pth")
    assert not (tmp_path / "burgled").exists()
    pickle.loads((tmp_path / "evil.pth").read_bytes())  # the test means something
    assert (tmp_path / "burgled").exists()


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(BundleError, match=r"needs torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(tmp_path / "a.pth")


def test_records_that_grow_without_end_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in source.infolist():
            bomb.writestr(entry.filename, source.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 1 << 17
    with pytest.raises(BundleError, match="compressed records"):
        read_state_dict(tmp_path / "bomb.pth")


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pt"))
    with pytest.raises(BundleError, match="TorchScript"):
        read_state_dict(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"no weights at all", "is no file of weights"),
        (b"PK\x03\x04 broken", "a.pth"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{", "is damaged"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path, content, problem):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(BundleError, match=problem):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_that_is_cut(tmp_path, share):
    torch.save({"a": torch.rand(1000)}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=r"a\.pth"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [{}, {"lr": 1e-3}, [torch.ones(2)], {"state_dict": {"a": 1}}])
def test_a_file_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(BundleError, match="holds no weights by name"):
        read_state_dict(tmp_path / "a.pth")


def test_missing_and_folder(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        read_state_dict(tmp_path / "a.pth")
    with pytest.raises(BundleError, match="is a folder"):
        read_state_dict(tmp_path)
    assert safetensors_metadata(tmp_path / "a.safetensors") == {}


def test_numpy_scalars_of_a_checkpoint_are_told_of(tmp_path):
    """Many checkpoints hold a best score as a numpy number: the message must name it."""
    torch.save({"state_dict": STATE, "best": np.float64(1)}, tmp_path / "a.ckpt")
    with pytest.raises(BundleError, match="numpy"):
        read_state_dict(tmp_path / "a.ckpt")
