"""What is installed is locked by hashes, and bears licences that let geoseg be used."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})")
LOCK = {
    found[1]: found[2]
    for line in (ROOT / ".ci" / "lock.txt").read_text().splitlines()
    if not line.startswith("#") and (found := LINE.fullmatch(line))
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
PAGE = (ROOT / "docs" / "licences.md").read_text()
ROWS = re.findall(r"^\| ([a-z0-9-]+) \| (\S+) \| (.+) \|$", PAGE, re.MULTILINE)
FREE = re.compile(
    r"\b(MIT|MIT-0|MIT-CMU|0?BSD|Apache|ISC|MPL|Mozilla Public License|PSF|Zlib|CC0|BSL"
    r"|Python Software Foundation|NVIDIA)\b"
)
BINDING = re.compile(r"GPL|Affero|General Public|SSPL|non-?commercial|unknown", re.IGNORECASE)


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_each_line_is_one_version_with_its_hash():
    lines = (ROOT / ".ci" / "lock.txt").read_text().splitlines()
    assert len(LOCK) == sum(not line.startswith("#") for line in lines) >= 100


@pytest.mark.parametrize("wanted", WANTED)
def test_the_lock_is_within_the_ranges(wanted):
    requirement = Requirement(wanted)
    assert requirement.specifier.contains(LOCK[canonical(requirement.name)]), "run `make lock`"


def test_the_page_tells_the_licence_of_everything_locked():
    assert {(name, version) for name, version, _ in ROWS} == set(LOCK.items())


def is_free(licence):
    """Whether an expression of SPDX, or a list of licences that all hold, leaves a free choice."""
    while nested := re.search(r"\(([^()]*\b(?:AND|OR)\b[^()]*)\)", licence):
        word = "MIT" if is_free(nested[1]) else "unknown"
        licence = licence[: nested.start()] + word + licence[nested.end() :]
    return any(
        all(FREE.search(one) and not BINDING.search(one) for one in re.split(r" AND |,", choice))
        for choice in licence.split(" OR ")
    )


@pytest.mark.parametrize(("name", "licence"), [(name, licence) for name, _, licence in ROWS])
def test_licences_are_known_and_bind_nobody(name, licence):
    assert is_free(licence)


@pytest.mark.parametrize(
    "licence",
    ["AGPL-3.0-only", "GNU General Public License v3", "unknown", "GPL-3.0 AND MIT",
     "Elastic-2.0 AND MIT", "MIT License, Elastic License", "(Elastic-2.0 OR SSPL-1.0) AND MIT",
     "GPL-2.0 OR Elastic-2.0", "GPL-2.0 WITH Classpath-exception-2.0"],
)  # fmt: skip
def test_a_binding_licence_would_be_seen(licence):
    assert not is_free(licence)


@pytest.mark.parametrize(
    "licence",
    ["GPL-2.0 OR MIT", "MIT AND (Apache-2.0 OR GPL-3.0)", "Mozilla Public License 2.0 (MPL 2.0)",
     "Apache-2.0 WITH LLVM-exception AND BSL-1.0"],
)  # fmt: skip
def test_one_free_choice_is_enough(licence):
    assert is_free(licence)


def test_the_lock_is_resolved_with_the_arguments_for_pip(monkeypatch):
    """As `make lock PIP_ARGS=...` hands them on: an index of one's own, say."""
    called = []
    monkeypatch.setattr(sys, "argv", ["lock.py", "--index-url", "https://index.example"])
    monkeypatch.setattr(subprocess, "run", lambda words, **_: called.append(words))
    with pytest.raises(AttributeError):  # nothing was resolved
        runpy.run_path(str(ROOT / ".ci" / "lock.py"), run_name="__main__")
    assert called[0][1:4] == ["-m", "pip", "install"]
    assert called[0][-2:] == ["--index-url", "https://index.example"]
    recipe = (ROOT / "Makefile").read_text().partition("\nlock:")[2].split("\n\n")[0]
    assert ".ci/lock.py $(PIP_ARGS)" in recipe
