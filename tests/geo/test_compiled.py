"""Compiled functions are kept where they cannot be mistaken for those of other sources."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import geoseg

SOURCES = sorted(Path(geoseg.__file__).parent.rglob("*.py"))
MARKS = {"compiled", "inlined"}

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


def marks(node):
    found = {getattr(mark, "id", None) for mark in getattr(node, "decorator_list", ())}
    return found & MARKS


def with_compiled():
    """Each file with compiled functions, and its syntax."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
    return {p: t for p, t in trees.items() if any(map(marks, ast.walk(t)))}


def imported(tree):
    """The module of each name that is imported from our own."""
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    ours = (node for node in froms if node.module.startswith("geoseg"))
    return {alias.asname or alias.name: node.module for node in ours for alias in node.names}


def names_in(*nodes):
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def test_compiled_functions_use_what_the_name_of_the_folder_covers():
    """That of all constants, types and functions that are compiled into them."""
    files = with_compiled()
    covered = {f"geoseg.geo.{path.stem}" for path in files} | {"geoseg.geo.compiled"}
    assert {path.parent.name for path in files} == {"geo"}
    for path, tree in files.items():
        assert b"from geoseg.geo.compiled import" in path.read_bytes()
        constants = (n for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign))
        tuples = (n for n in tree.body if isinstance(n, ast.ClassDef))
        kept = [t for t in tuples if "NamedTuple" in names_in(*t.bases)]
        used = names_in(*filter(marks, ast.walk(tree)), *constants, *kept)
        origins = imported(tree)
        assert {origins[name] for name in used & origins.keys()} <= covered, path


def test_inlined_functions_are_called_by_compiled_ones_only():
    """They have no entry for Python: to call them there would end it."""
    files = with_compiled()
    inlined = {
        (f"geoseg.geo.{path.stem}", node.name)
        for path, tree in files.items()
        for node in tree.body
        if marks(node) == {"inlined"}
    }
    assert len(inlined) > 50
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        here = {name for module, name in inlined if module.endswith(f".{path.stem}")}
        there = {name for name, module in imported(tree).items() if (module, name) in inlined}
        python = [node for node in tree.body if not marks(node)]
        assert not names_in(*python) & (here | there), path
