import os
import subprocess
import sys
import time

import pytest

from geoseg.geo import temporary
from geoseg.geo.temporary import temporary_path


@pytest.fixture
def dead_pid():
    """The number of a process that ran and ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_temporary_files_of_the_dead_are_removed(tmp_path, dead_pid):
    machine = temporary_path(tmp_path / "sub" / "x").name.split("-")[1]
    mine, theirs = f".geoseg-{machine}", ".geoseg-00000000"
    kept = [
        f"{mine}-{os.getpid()}-999.tif",
        f"{mine}-1-0.tif",
        f"{theirs}-{dead_pid}-0.tif",
        ".geoseg-notes",
        "scene.tif",
    ]
    dead = [f"{mine}-{dead_pid}-0.tif", f"{mine}-{dead_pid}-1.tif.aux.xml", f"{theirs}-1-1.tif"]
    for name in kept + dead:
        (tmp_path / name).write_text("x")
    (tmp_path / f"{mine}-{dead_pid}-2").mkdir()
    (tmp_path / f"{mine}-{dead_pid}-2" / "tile.tif").write_text("x")
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(tmp_path / dead[-1], (long_ago, long_ago))
    temporary_path(tmp_path / "a.tif")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_temporary_names_are_new(tmp_path, monkeypatch):
    first = temporary_path(tmp_path / "a.tif")
    monkeypatch.setattr(temporary, "_counter", iter(range(int(first.stem.split("-")[-1]), 10**9)))
    first.write_text("of a process with the same number, killed before")
    assert temporary_path(tmp_path / "a.tif") != first
