"""Compiled networks on disk: only where nobody else can write them."""

import os
from pathlib import Path

import pytest

from geoseg.engine import disk_cache
from geoseg.engine.disk_cache import ModelCache, keep_inductor_code
from geoseg.geo.user_cache import cache_folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    return tmp_path


def test_folder_is_the_users_own(home):
    folder = cache_folder("openvino")
    assert folder == home / "cache" / "geoseg" / "openvino"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_without_a_whole_path_it_lies_in_the_home(home, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(home))
    assert cache_folder("onnx") == home / ".cache" / "geoseg" / "onnx"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
@pytest.mark.parametrize("part", ["geoseg", "geoseg/openvino"])
def test_a_folder_that_others_write_to_is_not_used(home, mode, part):
    cache_folder("openvino")
    (home / "cache" / part).chmod(mode)
    assert cache_folder("openvino") is None


def test_a_folder_of_somebody_else_is_not_used(monkeypatch):
    cache_folder("openvino")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert cache_folder("openvino") is None


def test_a_link_is_not_followed(home):
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    cache_folder("openvino").rmdir()
    (home / "cache" / "geoseg" / "openvino").symlink_to(elsewhere)
    assert cache_folder("openvino") is None


def test_a_file_in_the_way_is_no_error(home):
    (home / "cache").write_text("")
    assert cache_folder("openvino") is None
    cache = ModelCache("openvino", ("key",))
    cache.store(b"model")
    assert cache.load() is None


def test_what_is_stored_is_found_under_its_key():
    ModelCache("onnx", ("a", 1)).store(b"model")
    assert ModelCache("onnx", ("a", 1)).load() == b"model"
    assert ModelCache("onnx", ("a", 2)).load() is None
    assert ModelCache("openvino", ("a", 1)).load() is None


def test_without_a_key_nothing_is_kept(home):
    ModelCache("onnx", ()).store(b"model")
    assert ModelCache("onnx", ()).load() is None
    assert not (home / "cache").exists()


def test_a_damaged_model_is_not_used(home):
    ModelCache("onnx", ("a",)).store(b"model")
    (file,) = (home / "cache" / "geoseg" / "onnx").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert ModelCache("onnx", ("a",)).load() is None


def test_a_full_disk_is_no_error(home, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    cache = ModelCache("onnx", ("a",))
    monkeypatch.setattr(Path, "replace", full)
    cache.store(b"model")
    assert cache.load() is None
    assert not list((home / "cache" / "geoseg" / "onnx").iterdir())


def test_the_oldest_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(disk_cache, "MOST_BYTES", 4000)
    for age, name in enumerate("abcd"):
        cache = ModelCache("onnx", (name,))
        cache.store(bytes(900))
        os.utime(cache._path, (1000 - age * 100,) * 2)
    assert ModelCache("onnx", ("d",)).load() is not None  # used again: now the youngest
    ModelCache("onnx", ("e",)).store(bytes(900))
    there = [name for name in "abcde" if ModelCache("onnx", (name,)).load() is not None]
    assert there == ["a", "b", "d", "e"]


def test_inductor_keeps_its_code_in_the_users_cache(home, monkeypatch):
    keep_inductor_code()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(home / "cache" / "geoseg" / "inductor")


def test_a_folder_that_the_user_named_for_inductor_is_left(home, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(home / "mine"))
    keep_inductor_code()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(home / "mine")


def test_without_a_cache_inductor_gets_a_folder_of_this_process(home):
    (home / "cache").write_text("")
    keep_inductor_code()
    folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert folder.name.startswith("geoseg-")
    assert folder.stat().st_mode & 0o777 == 0o700
