"""Compiled functions are kept where they cannot be mistaken for those of other sources."""

import os
import subprocess
import sys
import textwrap

import pytest

CODE = """

import numba
import numpy as np
from geoseg.geo.region_stream import RegionStream

labels = RegionStream(3).push(np.array([[0, 1, 1], [0, 0, 1]], np.uint8))
print(labels.tolist(), numba.config.CACHE_DIR)
"""


def run(home, code=CODE, **environ):
    kept = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**kept, "HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def kept_in(home):
    return sorted((home / ".cache" / "geoseg").glob("compiled-*"))


def test_code_is_kept_in_the_users_cache_and_old_states_go(tmp_path):
    for number in range(6):
        old = tmp_path / ".cache" / "geoseg" / f"compiled-{number}"
        old.mkdir(parents=True, mode=0o700)
        os.utime(old, (number, number))
    (tmp_path / ".cache" / "geoseg").chmod(0o700)
    assert run(tmp_path) == "[[1, 2, 2], [1, 1, 2]]"  # and numba's own setting is left as it was
    names = [folder.name for folder in kept_in(tmp_path)]
    assert {"compiled-3", "compiled-4", "compiled-5"} < set(names)
    assert len(names) == 4
    (ours,) = (f for f in kept_in(tmp_path) if len(f.name) > len("compiled-1"))
    assert any(ours.rglob("*.nbi"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_without_a_cache_nothing_is_kept(tmp_path):
    tmp_path.chmod(0o500)
    assert run(tmp_path).startswith("[[1")


def test_without_a_home_nothing_is_kept(tmp_path):
    (tmp_path / "home").write_text("no folder")
    assert run(tmp_path / "home").startswith("[[1")


def test_a_folder_that_the_user_named_is_used(tmp_path):
    (tmp_path / "named").mkdir()
    named = str(tmp_path / "named")
    assert run(tmp_path, NUMBA_CACHE_DIR=named).endswith(named)
    assert any((tmp_path / "named").rglob("*.nbi"))
    assert not kept_in(tmp_path)


def test_compiling_is_told_once_and_loading_is_not(tmp_path):
    code = "import logging\nlogging.basicConfig(level=20, stream=__import__('sys').stdout)" + CODE
    first, second = run(tmp_path, code=code), run(tmp_path, code=code)
    assert first.count("compiling for this machine") == 1
    assert "compiling" not in second
