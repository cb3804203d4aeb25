"""Two paths change names in one step: nobody who looks all the while misses either."""

import subprocess
import sys

import pytest

from geoseg.geo.exchange import exchange

SWAPPER = """
import sys
from pathlib import Path
from geoseg.geo.outputs import publish_folder
print("begun", flush=True)
for number in range(100):
    with publish_folder(sys.argv[1]) as folder:
        (folder / "a.txt").write_text(str(number))
"""


@pytest.fixture(autouse=True)
def _able(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    if not exchange(tmp_path / "x", tmp_path / "y"):
        pytest.skip("this system, or this file system, cannot exchange names")
    (tmp_path / "x").rmdir()
    (tmp_path / "y").rmdir()


def test_folders_and_files_change_names(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "in").write_text("a")
    (tmp_path / "ü").write_text("file")
    assert exchange(tmp_path / "a b", tmp_path / "ü")
    assert (tmp_path / "a b").read_text() == "file"
    assert (tmp_path / "ü" / "in").read_text() == "a"


def test_what_is_missing_is_told(tmp_path):
    (tmp_path / "a").mkdir()
    assert not exchange(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_replaced_is_there_all_the_while(tmp_path):
    target = tmp_path / "tiles"
    target.mkdir()
    (target / "a.txt").write_text("first")
    words = [sys.executable, "-W", "ignore", "-c", SWAPPER, target]
    looks = 0
    with subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        while process.poll() is None:
            assert target.is_dir()
            looks += 1
    assert process.returncode == 0
    assert looks > 50
    assert (target / "a.txt").read_text() == "99"
