"""Checkpoints of strangers: read as tensors and plain values, or refused in one line."""

import io
import os
import zipfile

import pytest
import torch

from geoseg.errors import ConfigError
from geoseg.nn.checkpoints import read_checkpoint, write_checkpoint

STATE = {"state_dict": {"a": torch.arange(4.0)}, "epoch": 3, "loss": [0.5, None]}


class Burglar:
    """Makes the file `burgled` when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)


def repacked(path, compress):
    """What torch saved, with 64 MiB of zeros more."""
    whole = io.BytesIO()
    torch.save(STATE, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", compress) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/data/9", bytes(64 << 20))


def test_what_is_written_is_read(tmp_path):
    write_checkpoint(STATE, tmp_path / "a.ckpt")
    found = read_checkpoint(tmp_path / "a.ckpt")
    assert found["state_dict"]["a"].tolist() == [0, 1, 2, 3]
    assert (found["epoch"], found["loss"]) == (3, [0.5, None])


@pytest.mark.parametrize("new", [True, False], ids=["archive", "old form"])
def test_nothing_is_unpickled(tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    content = {**STATE, "sampler": Burglar()}
    torch.save(content, "a.ckpt", _use_new_zipfile_serialization=new)
    with pytest.raises(ConfigError, match=r"a\.ckpt: is no .* it needs \S*system to be"):
        read_checkpoint("a.ckpt")
    assert not os.path.exists("burgled")


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    repacked(tmp_path / "a.ckpt", zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.ckpt").stat().st_size < 1 << 20
    with pytest.raises(ConfigError, match="compressed records"):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(99), b"\x80\x02}q\x00."]
)
def test_what_is_none_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_checkpoint(tmp_path / "a.ckpt")
    assert "\n" not in str(caught.value)
    assert "without --resume" in str(caught.value)


def test_a_missing_one_is_refused(tmp_path):
    with pytest.raises(ConfigError):
        read_checkpoint(tmp_path / "none.ckpt")
