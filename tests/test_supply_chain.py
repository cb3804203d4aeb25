"""What is installed is locked by hashes, and bears licences that let geoseg be used."""

import re
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


@pytest.mark.parametrize(("name", "licence"), [(name, licence) for name, _, licence in ROWS])
def test_licences_are_known_and_bind_nobody(name, licence):
    assert FREE.search(licence)
    assert not BINDING.search(licence)


@pytest.mark.parametrize("licence", ["AGPL-3.0-only", "GNU General Public License v3", "unknown"])
def test_a_binding_licence_would_be_seen(licence):
    assert BINDING.search(licence)
